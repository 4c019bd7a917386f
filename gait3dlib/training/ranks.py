"""Several processes, one batch: who draws which walks, and how losses come out as in one process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from gait3dlib._optional import require
from gait3dlib.errors import ConfigError
from gait3dlib.training.schedule import Precision


class Ranks:
    """The processes that train together, as ``torchrun`` started them; one where nobody did.

    Each process encodes its own share of every batch. What losses compare is gathered from all of them, with
    gradients, and whatever is drawn at random is drawn for the whole batch and cut: but for the statistics of
    batch norms, the losses are those of one process.
    """

    def __init__(self, precision: Precision) -> None:
        fabric = require("lightning.fabric")
        world = int(os.environ.get("WORLD_SIZE", "1"))
        asked: dict[str, Any] = {"accelerator": "auto", "devices": 1, "precision": precision}
        if world > 1 and "LOCAL_RANK" in os.environ:
            local = int(os.environ.get("LOCAL_WORLD_SIZE", world))
            asked |= {"devices": local, "num_nodes": world // local}
            asked["strategy"] = require("lightning.fabric.strategies").DDPStrategy(
                find_unused_parameters=True
            )
            asked["plugins"] = [require("lightning.fabric.plugins.environments").TorchElasticEnvironment()]
        self.fabric = fabric.Fabric(**asked)
        self.fabric.launch()
        self.rank, self.count = int(self.fabric.global_rank), int(self.fabric.world_size)

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def share(self, walks: int) -> slice:
        """Which of the walks of a batch are this process's.

        Raises:
            ConfigError: the walks cannot be shared out evenly.
        """
        if walks % self.count:
            raise ConfigError(
                f"schedule.people x schedule.walks: {walks} walks a batch cannot be shared by {self.count} "
                "processes; choose a multiple"
            )
        each = walks // self.count
        return slice(self.rank * each, (self.rank + 1) * each)

    def whole(self, mine: torch.Tensor) -> torch.Tensor:
        """``[b, ...]`` of this process -> ``[processes * b, ...]`` of all, with gradients."""
        if self.count == 1:
            return mine
        gathered: torch.Tensor = self.fabric.all_gather(mine, sync_grads=True)
        return gathered.flatten(0, 1)

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        """A number, averaged over the processes; for the log."""
        if self.count == 1:
            return value
        averaged: torch.Tensor = self.fabric.all_reduce(value.detach().clone(), reduce_op="mean")
        return averaged

    @contextmanager
    def drawing(self, walks: int) -> Iterator[None]:
        """Random tensors of this process's walks are its share of those of the whole batch of ``walks``."""
        with nullcontext() if self.count == 1 else _Cut(self.share(walks), walks):
            yield


class _Cut(TorchFunctionMode):
    """Draws whose first dimension is this process's walks are made for all walks, and cut."""

    def __init__(self, rows: slice, walks: int) -> None:
        super().__init__()
        self.rows, self.walks = rows, walks

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in (torch.rand, torch.randn, torch.randint):
            return self._filled(func, args, kwargs)
        if func is torch.dropout or func is functional.dropout:
            return self._dropout(*args, **kwargs)
        return func(*args, **kwargs)

    def _mine(self, shape: Any) -> bool:
        return len(shape) > 0 and shape[0] == self.rows.stop - self.rows.start

    def _filled(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
        # the size is one tuple, or, for rand and randn, may also be written as several numbers
        place = next((i for i, value in enumerate(args) if isinstance(value, (tuple, list))), None)
        size = kwargs.pop("size", None) or (args if place is None else args[place])
        before = () if func is not torch.randint else args[: place or 0]
        if not self._mine(size):
            drawn: torch.Tensor = func(*before, tuple(size), **kwargs)
            return drawn
        whole: torch.Tensor = func(*before, (self.walks, *size[1:]), **kwargs)
        return whole[self.rows]

    def _dropout(self, input: torch.Tensor, p: float, training: bool, inplace: bool = False) -> torch.Tensor:
        if not training or p == 0 or not self._mine(input.shape):
            return torch.dropout(input, p, training)
        kept = input.new_empty(self.walks, *input.shape[1:]).bernoulli_(1 - p).div_(max(1 - p, 1e-9))
        return input * kept[self.rows]
