"""Layers on sparse tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from gait3dlib.errors import ConfigError, InputError
from gait3dlib.sparse import _backends, _spconv
from gait3dlib.sparse._pairs import strided_book, strided_shape, submanifold_book
from gait3dlib.sparse._sites import SparseTensor


class _Convolution(nn.Module):
    """A kernel without bias: ``weight`` is ``[product of the kernel, inputs, outputs]``, last axis fastest.

    It works in the precision of its weights, also under autocast: a rule-book adds into rows, and sums of
    half precision lose too much.
    """

    def __init__(self, inputs: int, outputs: int, kernel: Sequence[int]) -> None:
        super().__init__()
        self.kernel = tuple(int(size) for size in kernel)
        if not self.kernel or min(self.kernel) < 1 or inputs < 1 or outputs < 1:
            raise ConfigError(
                f"a convolution needs at least one channel and a kernel of at least 1 along every axis, "
                f"not {inputs} to {outputs} channels and {list(self.kernel)}"
            )
        self.weight = nn.Parameter(torch.empty(math.prod(self.kernel), inputs, outputs))
        # He et al., ICCV 2015: the fan-in of a dense kernel, of which few cells are active on a surface
        nn.init.normal_(self.weight, std=(2 / (math.prod(self.kernel) * inputs)) ** 0.5)

    def _features(self, x: SparseTensor) -> torch.Tensor:
        axes, channels = len(self.kernel), self.weight.shape[1]
        if len(x.sites.shape) != axes or x.features.shape[1] != channels:
            raise InputError(
                f"this layer reads {channels} channels on {axes} axes, "
                f"not {x.features.shape[1]} on {len(x.sites.shape)}"
            )
        return x.features.to(self.weight.dtype)

    def extra_repr(self) -> str:
        """Channels and kernel, as ``print`` shows them."""
        return f"{self.weight.shape[1]}, {self.weight.shape[2]}, kernel={self.kernel}"


class SubmanifoldConv(_Convolution):
    """A convolution whose output cells are its input cells (Graham et al., CVPR 2018).

    Equals a dense convolution with zeros in the cells that are not active, read at the active ones.

    Args:
        inputs: channels before.
        outputs: channels after.
        kernel: an odd size an axis.

    Raises:
        ConfigError: an even kernel.
    """

    def __init__(self, inputs: int, outputs: int, kernel: Sequence[int]) -> None:
        super().__init__(inputs, outputs, kernel)
        if any(size % 2 == 0 for size in self.kernel):
            raise ConfigError(
                f"a submanifold kernel has a middle: make every size odd, not {list(self.kernel)}"
            )

    def forward(self, x: SparseTensor) -> SparseTensor:
        """The same cells, other features.

        Raises:
            InputError: other channels or axes than the layer has.
        """
        features = self._features(x)
        with torch.autocast(features.device.type, enabled=False):
            if _backends.current_backend() == "spconv" and len(x):
                half = tuple(size // 2 for size in self.kernel)
                out, _ = _spconv.convolve(features, self.weight, x.sites, self.kernel, None, half)
            else:
                out = _backends.convolve(features, self.weight, submanifold_book(x.sites, self.kernel))
        return x.with_features(out)


class StridedConv(_Convolution):
    """A convolution whose output cells are all that see an active cell.

    Equals a dense strided convolution there; elsewhere the dense one is 0.

    Args:
        inputs: channels before.
        outputs: channels after.
        kernel: a size an axis.
        stride: a step an axis, None = the kernel (no overlap).
        padding: cells on both sides of an axis, None = 0.

    Raises:
        ConfigError: stride or padding does not fit the kernel.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: Sequence[int],
        stride: Sequence[int] | None = None,
        padding: Sequence[int] | None = None,
    ) -> None:
        super().__init__(inputs, outputs, kernel)
        self.stride = self.kernel if stride is None else tuple(int(step) for step in stride)
        self.padding = (0,) * len(self.kernel) if padding is None else tuple(int(edge) for edge in padding)
        fits = len(self.stride) == len(self.padding) == len(self.kernel)
        if not fits or min(self.stride) < 1 or min(self.padding) < 0:
            raise ConfigError(
                f"stride {list(self.stride)} and padding {list(self.padding)} must name every axis of the "
                f"kernel {list(self.kernel)}, steps of at least 1 and edges of at least 0"
            )

    def forward(self, x: SparseTensor) -> SparseTensor:
        """Other cells, other features.

        Raises:
            InputError: other channels or axes than the layer has, or no cell is left along an axis.
        """
        features, where = self._features(x), (self.kernel, self.stride, self.padding)
        if 0 in strided_shape(x.sites.shape, *where):
            raise InputError(f"a grid of {list(x.sites.shape)} is too small for a kernel of {self.kernel}")
        with torch.autocast(features.device.type, enabled=False):
            if _backends.current_backend() == "spconv" and len(x):
                return SparseTensor(*_spconv.convolve(features, self.weight, x.sites, *where))
            book = strided_book(x.sites, *where)
            return SparseTensor(_backends.convolve(features, self.weight, book), book.sites)


class SparseNorm(nn.BatchNorm1d):
    """Batch norm over the active cells (Ioffe and Szegedy, ICML 2015), optionally with ReLU behind.

    A batch with fewer than two active cells has no spread: it is normalised by the running statistics.

    Args:
        channels: of the features.
        relu: cut off below 0.
    """

    def __init__(self, channels: int, *, relu: bool = True) -> None:
        super().__init__(channels)
        self.relu = relu

    def forward(self, x: SparseTensor) -> SparseTensor:  # type: ignore[override]
        """The same cells, normalised features."""
        if self.training and len(x) >= 2:
            out = super().forward(x.features)
        else:
            out = functional.batch_norm(
                x.features, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return x.with_features(torch.relu(out) if self.relu else out)
