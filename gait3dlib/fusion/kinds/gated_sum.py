"""The ``gated_sum`` fusion: at every height a weighted mean of what the modalities say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from gait3dlib.config import Count, Share
from gait3dlib.fusion.kinds._base import Dropping, Fused, FusionKind, HeightPool, orthogonal
from gait3dlib.types import Tokens


class GatedSum(FusionKind):
    """Gates as in MMGait (CVPR 2026): each modality tells from its own tokens how much it should count.

    Args:
        dim: size of a token.
        parts: of the embedding.
        part_dim: of a part.
        modality_dropout: see :class:`~gait3dlib.fusion.kinds._base.FusionKind`, and there the rest.
        token_dropout: probability, in training, that a single token is left out.
        modalities: whose tokens it can take.
        tasks: of "age", "bmi" and "gender".
        modality_dropout_by: "modality" or "count".
    """

    def __init__(
        self,
        *,
        dim: Count = 128,
        parts: Count = 8,
        part_dim: Count = 128,
        modality_dropout: Share = 0.3,
        token_dropout: Share = 0.1,
        modalities: Sequence[str] = ("silhouette", "skeleton_map"),
        tasks: Sequence[str] = ("age", "bmi", "gender"),
        modality_dropout_by: Dropping = "modality",
    ) -> None:
        super().__init__(
            dim, parts, part_dim, modalities, tasks, modality_dropout, modality_dropout_by, token_dropout
        )
        self.pool = HeightPool(parts)
        self.part = orthogonal(parts, dim, part_dim)
        self.weigh = nn.ModuleDict({m: nn.Linear(dim, 1) for m in self.names})
        self.turn = nn.ParameterDict({m: nn.Parameter(torch.eye(dim)) for m in self.names})
        self.say = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, len(self.tasks) * dim))

    def forward(self, tokens: Mapping[str, Tokens]) -> Fused:
        """Fuse the tokens of every modality that is there; see :meth:`FusionKind.forward`."""
        names = sorted(tokens)
        real = self.thin({name: tokens[name].real for name in names})
        there = torch.stack([real[name].any(dim=1) for name in names], dim=1)
        pooled = torch.stack([self.pool(tokens[name], real[name]) for name in names], dim=2)
        gates = [torch.sigmoid(self.weigh[name](pooled[:, :, i])) for i, name in enumerate(names)]
        gate = torch.cat(gates, dim=2).masked_fill(~there[:, None, :], -torch.inf).softmax(dim=2)
        turned = torch.stack([pooled[:, :, i] @ self.turn[name] for i, name in enumerate(names)], dim=2)
        mixed = torch.einsum("bpm,bpmd->bpd", gate, turned)
        # what attributes teach ends here: it does not reach the gates or the encoders
        said = self.say(mixed.detach().mean(dim=1)).view(mixed.shape[0], len(self.tasks), self.dim)
        tasks = {task: said[:, i] for i, task in enumerate(self.tasks)}
        share = gate.mean(dim=1)
        parts = torch.einsum("bpd,pde->bpe", mixed, self.part)
        return parts, tasks, {n: share[:, i] for i, n in enumerate(names)}
