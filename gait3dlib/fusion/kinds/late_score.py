"""The ``late_score`` fusion: every modality scores by itself, and the scores are added up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.nn import functional

from gait3dlib.config import Count, Share
from gait3dlib.errors import ConfigError
from gait3dlib.fusion.kinds._base import (
    Dropping,
    Fused,
    FusionKind,
    HeightPool,
    average,
    orthogonal,
    trusted,
)
from gait3dlib.types import Tokens


class LateScore(FusionKind):
    """Late fusion of scores, in one template.

    Every modality has its own block of each part: a unit vector times the root of its weight. The dot product
    of two parts is then the weighted sum of the modalities' cosines; what one of the two walks lacks adds
    nothing. Attributes are the mean of what each modality says.

    Args:
        dim: size of a token.
        parts: of the embedding.
        part_dim: of a part; shared out among the modalities.
        modality_dropout: see :class:`~gait3dlib.fusion.kinds._base.FusionKind`, and there the rest.
        token_dropout: probability, in training, that a single token is left out.
        modalities: whose tokens it can take.
        tasks: of "age", "bmi" and "gender".
        modality_dropout_by: "modality" or "count".

    Raises:
        ConfigError: fewer numbers in a part than modalities.
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
        count = len(self.names)
        if part_dim < count:
            raise ConfigError(f"fusion.part_dim: {part_dim} numbers cannot be shared by {count} modalities")
        widths = [part_dim // count + (i < part_dim % count) for i in range(count)]
        self.widths = dict(zip(self.names, widths, strict=True))
        self.pool = HeightPool(parts)
        self.part = nn.ParameterDict({m: orthogonal(parts, dim, self.widths[m]) for m in self.names})
        self.trust = nn.ParameterDict({m: nn.Parameter(torch.zeros(())) for m in self.names})
        self.say = nn.ModuleDict({m: nn.Linear(dim, len(self.tasks) * dim) for m in self.names})

    def forward(self, tokens: Mapping[str, Tokens]) -> Fused:
        """Fuse the tokens of every modality that is there; see :meth:`FusionKind.forward`."""
        names = sorted(tokens)
        real = self.thin({name: tokens[name].real for name in names})
        there = torch.stack([real[name].any(dim=1) for name in names], dim=1)
        weight = trusted(self.trust, names, there)
        some = tokens[names[0]].values
        blocks, said = [], some.new_zeros(some.shape[0], len(self.tasks), self.dim)
        for name in self.names:
            if name not in names:
                blocks.append(some.new_zeros(some.shape[0], self.parts, self.widths[name]))
                continue
            own = torch.einsum("bpd,pde->bpe", self.pool(tokens[name], real[name]), self.part[name])
            share = weight[:, names.index(name), None, None]
            # the root of nothing has no gradient
            blocks.append(functional.normalize(own, dim=2) * share.clamp(min=1e-12).sqrt())
            present = there[:, names.index(name), None]
            # what attributes teach ends here: it does not reach the encoders
            heard = self.say[name](average(tokens[name], real[name]).detach()) * present
            said = said + heard.view_as(said)
        said = said / there.sum(dim=1)[:, None, None]
        tasks = {task: said[:, i] for i, task in enumerate(self.tasks)}
        return torch.cat(blocks, dim=2), tasks, {n: weight[:, i] for i, n in enumerate(names)}
