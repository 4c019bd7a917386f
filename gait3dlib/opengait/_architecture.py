"""An architecture of OpenGait: our network for it, its settings read off shapes, its tensors' names.

A rename table maps our names to OpenGait's. A row names a module or a tensor; what lies below a module has
the same name on both sides (``weight``, ``running_mean``, ...). ``*`` stands for a number, the same on both.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import nn

from gait3dlib.config import build, check
from gait3dlib.errors import Gait3DError

State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Theirs:
    """OpenGait's side of a row, where more differs than the name.

    name: their pattern; trailing: dimensions of size 1 that end their shape and not ours; stacked: ours is
    one tensor, theirs are as many as its first axis is long, counted by the last ``*`` of their pattern.
    """

    name: str
    trailing: int = 0
    stacked: bool = False


Names = Mapping[str, str | Theirs]


class Shapes(dict[str, tuple[int, ...]]):
    """Names and shapes of a state, and the questions that settings are read off with.

    A question raises KeyError where the state has no such tensor.
    """

    def dim(self, key: str, axis: int) -> int:
        """One extent of a tensor."""
        shape = self[key]
        if not -len(shape) <= axis < len(shape):
            raise KeyError(key)
        return shape[axis]

    def count(self, prefix: str) -> int:
        """How many different numbers follow this prefix, as in ``layer2.0.conv1``, ``layer2.1.conv1``."""
        numbers = {key.removeprefix(prefix).partition(".")[0] for key in self if key.startswith(prefix)}
        if not any(number.isdigit() for number in numbers):
            raise KeyError(prefix)
        return sum(number.isdigit() for number in numbers)

    def classes(self, key: str) -> int | None:
        """The last extent of a tensor that need not be there."""
        return self.dim(key, -1) if key in self else None


@dataclass(frozen=True)
class Architecture:
    """How one of OpenGait's architectures is built and named here.

    Args:
        network: our class, built by keywords that all have defaults. It keeps no buffer out of its state.
        read: keywords of ``network`` from OpenGait's names and shapes; KeyError = not this architecture.
        names: the rename table, ours -> OpenGait's.
        example: inputs that a network of default settings takes, with so many walks and frames.
        always: keywords of ``network`` that make it this architecture and no other.
    """

    network: Callable[..., nn.Module]
    read: Callable[[Shapes], dict[str, Any]]
    names: Names
    example: Callable[[int, int], tuple[torch.Tensor, ...]]
    always: Mapping[str, Any] = field(default_factory=dict)

    @property
    def keywords(self) -> list[str]:
        """What the network's constructor can be asked for."""
        return list(inspect.signature(self.network).parameters)

    def settings(self, shapes: Shapes) -> dict[str, Any] | None:
        """The keywords that these shapes ask for, or None where they are not of this architecture."""
        try:
            return check(self.network, {**self.always, **self.read(shapes)})
        except (KeyError, ValueError, ArithmeticError, Gait3DError):
            return None

    def built(self, settings: Mapping[str, Any]) -> nn.Module:
        """The network without memory for its tensors.

        Raises:
            ConfigError: a setting is unknown or impossible.
        """
        with torch.device("meta"):
            return build(self.network, {**self.always, **settings})

    def sketch(self, settings: Mapping[str, Any]) -> nn.Module | None:
        """As :meth:`built`, but None where the settings ask for the impossible."""
        try:
            return self.built(settings)
        except (RuntimeError, ValueError, TypeError, ArithmeticError):
            return None

    def fitting(self, shapes: Shapes) -> nn.Module | None:
        """The network without memory that has these tensors, all of them and no other; else None."""
        settings = self.settings(shapes)
        network = None if settings is None else self.sketch(settings)
        return network if network is not None and self.shapes(network) == shapes else None

    def tells(self, network: nn.Module) -> bool:
        """Whether a network of this shape can be built again from its tensors under OpenGait's names."""
        try:
            again = self.fitting(self.shapes(network))
        except KeyError:
            return False
        held = {key: tensor.shape for key, tensor in network.state_dict().items()}
        return again is not None and held == {key: t.shape for key, t in again.state_dict().items()}

    def theirs(self, state: Mapping[str, torch.Tensor]) -> State:
        """Our state under OpenGait's names.

        Raises:
            KeyError: a tensor has no row in the table.
        """
        return {name: part for key, tensor in state.items() for name, part in self._renamed(key, tensor)}

    def ours(self, state: Mapping[str, torch.Tensor], network: nn.Module) -> State:
        """OpenGait's state under the names of that network, which it must fit; the tensors are copies."""
        out: State = {}
        for key, tensor in network.state_dict().items():
            parts = [state[name] for name, _ in self._renamed(key, tensor)]
            out[key] = torch.stack(parts).detach().reshape(tensor.shape).to(tensor.dtype)
        return out

    def shapes(self, network: nn.Module) -> Shapes:
        """OpenGait's names and shapes of the network's tensors."""
        return Shapes((key, tuple(t.shape)) for key, t in self.theirs(network.state_dict()).items())

    def _renamed(self, key: str, tensor: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
        theirs, numbers, leaf = self._row(key)
        parts = tensor.unbind() if theirs.stacked else (tensor,)
        for index, part in enumerate(parts):
            name = theirs.name
            for number in [*numbers, str(index)][: name.count("*")]:
                name = name.replace("*", number, 1)
            yield name + leaf, part.reshape((*part.shape, *[1] * theirs.trailing))

    def _row(self, key: str) -> tuple[Theirs, Sequence[str], str]:
        for pattern, theirs in self.names.items():
            if found := _compiled(pattern).fullmatch(key):
                *numbers, leaf = found.groups()
                return Theirs(theirs) if isinstance(theirs, str) else theirs, numbers, leaf or ""
        raise KeyError(key)


def nested(ours: str, theirs: str, names: Names) -> dict[str, str | Theirs]:
    """A table for what lies below a module."""
    out: dict[str, str | Theirs] = {}
    for inner, name in names.items():
        row = Theirs(name) if isinstance(name, str) else name
        out[f"{ours}.{inner}"] = Theirs(f"{theirs}.{row.name}", row.trailing, row.stacked)
    return out


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(re.escape(pattern).replace(r"\*", r"(\d+)") + r"(\.[^.]+)?")
