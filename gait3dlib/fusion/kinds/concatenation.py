"""The ``concatenation`` fusion: what all modalities say at a height, side by side, through one matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from gait3dlib.config import Count, Share
from gait3dlib.fusion.kinds._base import Dropping, Fused, FusionKind, HeightPool, average, orthogonal
from gait3dlib.types import Tokens


class Concatenation(FusionKind):
    """Concatenation: zeros stand for a modality that is not there.

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
        self.part = orthogonal(len(self.names), parts, dim, part_dim)
        self.say = nn.Sequential(
            nn.Linear(len(self.names) * dim, dim), nn.GELU(), nn.Linear(dim, len(self.tasks) * dim)
        )

    def forward(self, tokens: Mapping[str, Tokens]) -> Fused:
        """Fuse the tokens of every modality that is there; see :meth:`FusionKind.forward`."""
        names = sorted(tokens)
        real = self.thin({name: tokens[name].real for name in names})
        some = tokens[names[0]].values
        nothing = some.new_zeros(some.shape[0], self.dim)
        turned = [
            torch.einsum("bpd,pde->bpe", self.pool(tokens[n], real[n]), self.part[self.names.index(n)])
            for n in names
        ]
        # what attributes teach ends here: it does not reach the encoders
        held = {n: average(tokens[n], real[n]).detach() for n in names}
        said = self.say(torch.cat([held.get(n, nothing) for n in self.names], dim=1))
        said = said.view(some.shape[0], len(self.tasks), self.dim)
        tasks = {task: said[:, i] for i, task in enumerate(self.tasks)}
        size = torch.stack([x.flatten(1).norm(dim=1) for x in turned], dim=1).detach()
        share = size / size.sum(dim=1, keepdim=True).clamp(min=1e-12)
        return torch.stack(turned).sum(dim=0), tasks, {n: share[:, i] for i, n in enumerate(names)}
