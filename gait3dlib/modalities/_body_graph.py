"""A network on the body's tree and along time: graph convolutions, then convolutions over frames in a row."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from gait3dlib._optional import require
from gait3dlib.body import JOINT_NAMES, PARENTS
from gait3dlib.modalities._base import Batch
from gait3dlib.modalities._forces import CHANNELS, FORCE, GROUND, LOADED, SEEN
from gait3dlib.modalities._norms import scale_and_shift
from gait3dlib.types import Tokens

Graph = Literal["dense", "geometric"]
TAPS = 5  # frames that one convolution over time spans, a dilation apart
DILATIONS = (1, 2, 4)  # 29 frames together: about a stride at 30 a second

# token -> the joints it stands for, and its height on a standing body
REGIONS: dict[str, tuple[tuple[str, ...], float]] = {
    "head": (("neck", "head"), 0.91),
    "trunk": (("spine1", "spine2", "spine3", "left_collar", "right_collar"), 0.70),
    "left_arm": (("left_shoulder", "left_elbow", "left_wrist", "left_hand"), 0.64),
    "right_arm": (("right_shoulder", "right_elbow", "right_wrist", "right_hand"), 0.64),
    "pelvis": (("pelvis",), 0.55),
    "left_hip": (("left_hip",), 0.53),
    "right_hip": (("right_hip",), 0.53),
    "left_knee": (("left_knee",), 0.28),
    "right_knee": (("right_knee",), 0.28),
    "left_ankle": (("left_ankle",), 0.05),
    "right_ankle": (("right_ankle",), 0.05),
    "left_foot": (("left_foot",), 0.02),
    "right_foot": (("right_foot",), 0.02),
}
GROUND_TOKENS = ("left_ground", "right_ground")


def tree_edges() -> torch.Tensor:
    """int64 ``[2, 46]``: every bone of the body, both ways."""
    pairs = [(child, parent) for child, parent in enumerate(PARENTS) if parent >= 0]
    return torch.tensor(pairs + [pair[::-1] for pair in pairs]).T.contiguous()


def normalised_adjacency() -> torch.Tensor:
    """``[24, 24]``: ``D^-1/2 (A + I) D^-1/2`` of the tree (Kipf and Welling, ICLR 2017)."""
    whole = torch.eye(len(PARENTS), dtype=torch.float64)
    whole[tuple(tree_edges())] = 1
    scale = whole.sum(dim=1).rsqrt()
    return (scale[:, None] * whole * scale).float()


class TreeConv(nn.Module):
    """Graph convolution on the body's tree (Kipf and Welling, ICLR 2017): ``[N, 24, c]`` -> the same shape.

    "dense" multiplies by the 24 x 24 matrix, "geometric" passes messages along the bones with
    torch-geometric (its ``GCNConv``, whose edges one may change). Both are the same sum and share weights.

    Raises:
        MissingDependency: "geometric" without torch-geometric.
    """

    def __init__(self, width: int, graph: Graph = "dense") -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, width))
        nn.init.normal_(self.weight, std=width**-0.5)
        self.adjacency: torch.Tensor
        self.register_buffer("adjacency", normalised_adjacency(), persistent=False)
        self.edges: torch.Tensor
        self.register_buffer("edges", tree_edges(), persistent=False)
        # in a list, so that its own copy of the weights is no parameter of this module
        self._passing = [_geometric(width)] if graph == "geometric" else []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, 24, c]`` -> ``[N, 24, c]``."""
        for passing in self._passing:
            weights: dict[str, torch.Tensor] = {"lin.weight": self.weight}
            passed: torch.Tensor = torch.func.functional_call(passing, weights, (x, self.edges))
            return passed
        return self.adjacency.to(x.dtype) @ (x @ self.weight.T)


def _geometric(width: int) -> nn.Module:
    made: nn.Module = require("torch_geometric.nn").GCNConv(width, width, bias=False, node_dim=-2)
    return made


class TimeConv(nn.Module):
    """Convolution over the frames of each walk; ``[N, n, c]`` -> the same, walks end to end in N.

    What lies before the first and after the last frame of a walk counts as 0, and no other walk is looked at.
    """

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.mix = nn.Linear(TAPS * width, width)
        self.shifts = [dilation * (tap - TAPS // 2) for tap in range(TAPS)]

    def forward(self, x: torch.Tensor, owner: torch.Tensor) -> torch.Tensor:
        """Args: x ``[N, n, c]``; owner ``[N]``, the walk of each frame."""
        rows = torch.arange(x.shape[0], device=x.device)
        taken = []
        for shift in self.shifts:
            index = torch.minimum((rows + shift).clamp(min=0), rows[-1:])
            same = (rows + shift == index) & (owner[index] == owner)
            taken.append(torch.where(same[:, None, None], x[index], x.new_zeros(())))
        out: torch.Tensor = self.mix(torch.cat(taken, dim=-1))
        return out


class Block(nn.Module):
    """Along the bones, along time, and the way past both."""

    def __init__(self, width: int, dilation: int, graph: Graph | None) -> None:
        super().__init__()
        self.tree = None if graph is None else TreeConv(width, graph)
        self.norm_tree = None if graph is None else nn.LayerNorm(width)
        self.norm_time = nn.LayerNorm(width)
        self.time = TimeConv(width, dilation)

    def forward(self, x: torch.Tensor, owner: torch.Tensor) -> torch.Tensor:
        """``[N, n, c]`` -> ``[N, n, c]``."""
        if self.tree is not None and self.norm_tree is not None:
            x = x + functional.relu(self.tree(self.norm_tree(x)))
        return x + functional.relu(self.time(self.norm_time(x), owner))


class BodyGraphEncoder(nn.Module):
    """Frames ``[b, T, 26, 15]`` of :func:`~gait3dlib.modalities._forces.drawn` -> a token a body region.

    Args:
        dim: size of a token.
        width: features of a joint.
        forces: whether the channels of force are read; without them there are no tokens of the ground.
        graph: how the graph is summed, see :class:`TreeConv`.
    """

    def __init__(self, dim: int, width: int = 32, *, forces: bool = True, graph: Graph = "dense") -> None:
        super().__init__()
        self.forces = forces
        read = CHANNELS if forces else FORCE.start
        self.enter = nn.Linear(read, width)
        self.joint = nn.Parameter(0.1 * torch.randn(len(JOINT_NAMES), width))
        self.body = nn.ModuleList(Block(width, d, graph) for d in DILATIONS)
        if forces:
            self.enter_ground = nn.Linear(read, width)
            self.side = nn.Parameter(0.1 * torch.randn(2, width))
            self.ground = nn.ModuleList(Block(width, d, None) for d in DILATIONS)
        share, height = _regions()
        self.share: torch.Tensor
        self.register_buffer("share", share, persistent=False)
        self.height: torch.Tensor
        heights = torch.cat([height, torch.zeros(2)]) if forces else height
        self.register_buffer("height", heights, persistent=False)
        tokens = len(self.height)
        self.project = nn.Parameter(torch.empty(tokens, 2 * width, dim))
        nn.init.normal_(self.project, std=(2 * width) ** -0.5)
        self.offset: torch.Tensor  # what centres the tokens, set when training ends (see absorb)
        self.register_buffer("offset", torch.zeros(tokens, dim))

    def forward(self, batch: Batch) -> Tokens:
        """Tokens ``[b, 15, dim]``, ``[b, 13, dim]`` without forces; what was never known is not ``real``."""
        frames, owner = batch.real_frames()
        x = frames.to(self.project.dtype)
        values, known = self._body(x[:, : GROUND.start], owner)
        if self.forces:
            on_ground, borne = self._ground(x[:, GROUND], owner)
            values, known = torch.cat([values, on_ground], 1), torch.cat([known, borne], 1)
        # pooled in the parameters' own precision: sums over many frames lose too much in bfloat16
        pooled, real = _pooled(values.to(self.project.dtype), known, owner, len(batch))
        out = torch.einsum("bnc,ncd->bnd", pooled, self.project) + self.offset
        t_s = torch.full(real.shape, torch.nan, device=out.device)
        return Tokens(out * real[..., None], real, self.height, t_s)

    def absorb(self, norm: nn.BatchNorm1d) -> None:
        """Make a batch norm of the flattened tokens part of the encoder.

        Raises:
            ValueError: the norm keeps no running statistics.
        """
        scale, shift = (part.view_as(self.offset) for part in scale_and_shift(norm))
        with torch.no_grad():
            self.offset.mul_(scale).add_(shift)
            self.project.mul_(scale[:, None])

    def _body(self, x: torch.Tensor, owner: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features ``[N, 13, c]`` of the regions, and which have a known joint."""
        seen = x[..., SEEN] > 0
        if not self.forces:
            x = x[..., : FORCE.start]
        features = torch.where(seen[..., None], self.enter(x), x.new_zeros(())) + self.joint
        for block in self.body:
            features = block(features, owner)
        # the mean over the known joints of a region
        share = self.share.to(x.dtype) * seen[:, None]
        total = share.sum(dim=-1, keepdim=True)
        return share @ features / total.clamp(min=1), total[..., 0] > 0

    def _ground(self, x: torch.Tensor, owner: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features ``[N, 2, c]`` of the reaction under both feet, and where it is known."""
        features = self.enter_ground(x) + self.side
        for block in self.ground:
            features = block(features, owner)
        return features, x[..., LOADED] > 0


def _regions() -> tuple[torch.Tensor, torch.Tensor]:
    """``[13, 24]`` 1 where a joint belongs to a region, and the regions' heights."""
    share = torch.zeros(len(REGIONS), len(JOINT_NAMES))
    for row, (names, _) in enumerate(REGIONS.values()):
        share[row, [JOINT_NAMES.index(name) for name in names]] = 1
    return share, torch.tensor([height for _, height in REGIONS.values()])


def _pooled(
    values: torch.Tensor, known: torch.Tensor, owner: torch.Tensor, walks: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Largest and mean value over the known frames of every walk ``[b, n, 2 c]``; which tokens have any."""
    n, c = values.shape[1:]
    count = values.new_zeros(walks, n).index_add(0, owner, known.to(values.dtype))
    weighed = torch.where(known[..., None], values, values.new_zeros(()))
    mean = values.new_zeros(walks, n, c).index_add(0, owner, weighed) / count.clamp(min=1)[..., None]
    least = torch.finfo(values.dtype).min
    high = torch.where(known[..., None], values, values.new_full((), least))
    index = owner.view(-1, 1, 1).expand_as(high)
    most = values.new_full((walks, n, c), least).scatter_reduce(0, index, high, "amax")
    real = count > 0
    return torch.cat([torch.where(real[..., None], most, values.new_zeros(())), mean], dim=-1), real
