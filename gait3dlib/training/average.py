"""The exponential moving average of the weights: less noisy than the last step's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


class Average:
    """A copy of a module's state that follows it slowly (Polyak and Juditsky, 1992).

    ``average <- d * average + (1 - d) * weights`` with ``d = min(decay, (1 + step) / (10 + step))``, so that
    the first steps do not hang on to the random start. Counters are copied.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Follow the module after its step of that number, counted from 0."""
        keep = min(self.decay, (1 + step) / (10 + step))
        for name, tensor in module.state_dict().items():
            held = self.state[name] = self.state[name].to(tensor.device)
            if held.is_floating_point():
                held.lerp_(tensor, 1 - keep)
            else:
                held.copy_(tensor)

    @contextmanager
    def inside(self, module: nn.Module) -> Iterator[None]:
        """The module holds the average for a while."""
        own = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
        module.load_state_dict(self.state)
        try:
            yield
        finally:
            module.load_state_dict(own)
