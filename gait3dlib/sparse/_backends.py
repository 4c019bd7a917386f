"""Which code multiplies: pure torch, or spconv. The weights are the same, and so is the answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, get_args

import torch
from torch.autograd.function import once_differentiable

from gait3dlib.errors import ConfigError, did_you_mean
from gait3dlib.sparse._pairs import Rulebook

Backend = Literal["torch", "spconv"]
_current: ContextVar[Backend] = ContextVar("sparse_backend", default="torch")


def current_backend() -> Backend:
    """The backend that sparse layers use here and now; "torch" unless :func:`backend` says otherwise."""
    return _current.get()


@contextmanager
def backend(name: Backend) -> Iterator[None]:
    """Use another backend inside a ``with`` block.

    Nothing changes by itself where spconv happens to be installed: sums are grouped differently, and the
    last digits of an embedding would depend on the machine.

    Raises:
        ConfigError: no such backend.
        MissingDependency: spconv is not installed.
    """
    if name not in get_args(Backend):
        raise ConfigError(f"no sparse backend {name!r}{did_you_mean(name, get_args(Backend))}")
    if name == "spconv":
        from gait3dlib.sparse._spconv import load

        load()
    token = _current.set(name)
    try:
        yield
    finally:
        _current.reset(token)


class _Convolve(torch.autograd.Function):
    """Gather, multiply, add, weight by weight: no buffer of all pairs, and no two sums race on a GPU."""

    @staticmethod
    def forward(ctx: Any, features: torch.Tensor, weight: torch.Tensor, book: Rulebook) -> torch.Tensor:
        ctx.save_for_backward(features, weight)
        ctx.book = book
        out = features.new_zeros(len(book.sites), weight.shape[2])
        for matrix, source, target in zip(weight, book.sources, book.targets, strict=True):
            if source is None or target is None:
                out.addmm_(features, matrix)
            elif len(source):
                out.index_add_(0, target, features.index_select(0, source) @ matrix)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        features, weight = ctx.saved_tensors
        book: Rulebook = ctx.book
        grad = grad.contiguous()
        of_features, of_weight = torch.zeros_like(features), torch.zeros_like(weight)
        for number, (source, target) in enumerate(zip(book.sources, book.targets, strict=True)):
            matrix = weight[number]
            if source is None or target is None:
                of_features.addmm_(grad, matrix.T)
                of_weight[number] = features.T @ grad
            elif len(source):
                rows = grad.index_select(0, target)
                of_features.index_add_(0, source, rows @ matrix.T)
                of_weight[number] = features.index_select(0, source).T @ rows
        return of_features, of_weight, None


def convolve(features: torch.Tensor, weight: torch.Tensor, book: Rulebook) -> torch.Tensor:
    """Rows ``[n, inputs]`` by weights ``[kernel, inputs, outputs]`` -> ``[output cells, outputs]``."""
    out: torch.Tensor = _Convolve.apply(features, weight, book)  # type: ignore[no-untyped-call]
    return out
