"""Convolutions over the few cells of a grid that hold something: points of a LiDAR, in space and time.

A :class:`SparseTensor` is features of active cells at integer coordinates, of any number of axes. A
:class:`SubmanifoldConv` keeps the active cells as they are (Graham et al., CVPR 2018); a
:class:`StridedConv` activates every cell that sees an active one. Both equal a dense convolution at their
cells. Which cell meets which weight, the rule-book, is worked out once for a set of cells and kept with it.

Two backends give the same answer from the same weights: pure torch, and spconv (the ``sparse`` extra).

>>> import torch
>>> from gait3dlib.sparse import SparseTensor, SubmanifoldConv, backend
>>> coords = torch.tensor([[0, 3, 1, 2], [0, 3, 2, 2]])  # walk, then one number an axis
>>> x = SparseTensor.of(coords, torch.ones(2, 4), shape=(8, 8, 8))
>>> layer = SubmanifoldConv(4, 16, (3, 3, 3))
>>> layer(x).features.shape
torch.Size([2, 16])
>>> with backend("torch"):
...     y = layer(x)
"""

from gait3dlib.sparse._backends import Backend, backend, current_backend
from gait3dlib.sparse._layers import SparseNorm, StridedConv, SubmanifoldConv
from gait3dlib.sparse._pooling import counts, pool
from gait3dlib.sparse._sites import Sites, SparseTensor

__all__ = [
    "Backend",
    "Sites",
    "SparseNorm",
    "SparseTensor",
    "StridedConv",
    "SubmanifoldConv",
    "backend",
    "counts",
    "current_backend",
    "pool",
]
