"""The ``shared_trunk`` fusion: a tokenizer a modality, and one network for all of them: one metric space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from gait3dlib.config import Count, Share
from gait3dlib.fusion.kinds._attention import Block
from gait3dlib.fusion.kinds._base import (
    Dropping,
    Fused,
    HeightPool,
    PlacedFusion,
    blanked,
    check_heads,
    orthogonal,
    start_of,
    trusted,
    waves,
)
from gait3dlib.types import Tokens


class SharedTrunk(PlacedFusion):
    """One trunk for every modality, as MMGait's OmniGait (CVPR 2026) has it, on tokens.

    A modality's encoder and a linear map are its tokenizer. Blocks, queries and parts are the same for all,
    and see one modality at a time; training compares every modality of a walk with every other's, so that a
    LiDAR probe finds a silhouette gallery. A walk with several has the mean of their embeddings, weighted by
    trust. What the blocks add to identity passes a gate that starts at 0, and nothing goes back from them to
    the encoders.

    Args:
        dim: size of a token.
        depth: blocks of the trunk.
        heads: attention heads.
        parts: of the embedding.
        part_dim: of a part.
        dropout: in attention and feed-forward.
        modality_dropout: see :class:`~gait3dlib.fusion.kinds._base.FusionKind`, and there the rest.
        token_dropout: probability, in training, that a single token is left out.
        modalities: whose tokens it can take.
        tasks: of "age", "bmi" and "gender".
        modality_dropout_by: "modality" or "count".

    Raises:
        ConfigError: the heads do not divide ``dim``.
    """

    one_space: ClassVar[bool] = True

    def __init__(
        self,
        *,
        dim: Count = 128,
        depth: Annotated[int, Field(ge=0, le=64)] = 2,
        heads: Count = 4,
        parts: Count = 8,
        part_dim: Count = 128,
        dropout: Share = 0.1,
        modality_dropout: Share = 0.3,
        token_dropout: Share = 0.1,
        modalities: Sequence[str] = ("silhouette", "skeleton_map"),
        tasks: Sequence[str] = ("age", "bmi", "gender"),
        modality_dropout_by: Dropping = "modality",
    ) -> None:
        check_heads(dim, heads)
        super().__init__(
            dim, parts, part_dim, modalities, tasks, modality_dropout, modality_dropout_by, token_dropout
        )
        self.heads = heads
        self.turn = nn.ParameterDict({m: nn.Parameter(torch.eye(dim)) for m in self.names})
        self.blocks = nn.ModuleList(Block(dim, heads, dropout) for _ in range(depth))
        self.query = nn.Parameter(0.02 * torch.randn(parts + len(self.tasks), dim))
        self.read = Block(dim, heads, dropout)
        self.pool = HeightPool(parts)
        self.part = orthogonal(parts, dim, part_dim)
        self.gate = nn.Parameter(torch.zeros(()))
        self.trust = nn.ParameterDict({m: nn.Parameter(torch.zeros(())) for m in self.names})

    def forward(self, tokens: Mapping[str, Tokens]) -> Fused:
        """Fuse the tokens of every modality that is there; see :meth:`FusionKind.forward`."""
        names = sorted(tokens)
        real = self.thin({name: tokens[name].real for name in names})
        there = torch.stack([real[name].any(dim=1) for name in names], dim=1)
        alone = [self._alone(name, tokens[name], real[name]) for name in names]
        weight = trusted(self.trust, names, there)
        parts = torch.einsum("bm,bmpe->bpe", weight, torch.stack([e for e, _ in alone], dim=1))
        even = there / there.sum(dim=1, keepdim=True)
        said = torch.einsum("bm,bmtd->btd", even, torch.stack([t for _, t in alone], dim=1))
        tasks = {task: said[:, i] for i, task in enumerate(self.tasks)}
        return parts, tasks, {n: weight[:, i] for i, n in enumerate(names)}

    def each(self, tokens: Mapping[str, Tokens]) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        """Unit parts of each modality alone, and which walks have it; see :meth:`FusionKind.each`."""
        return {n: (self._alone(n, t, t.real)[0], t.real.any(dim=1)) for n, t in sorted(tokens.items())}

    def _alone(self, name: str, tokens: Tokens, real: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Unit parts and task vectors from one modality; anything finite where it is not there."""
        there = real.any(dim=1)
        mask = real | ~there[:, None]  # attention to nothing has no gradient: where nothing is, all counts
        x = self.entered(name, blanked(tokens).detach(), tokens, start_of([tokens]))
        for block in self.blocks:
            x, _ = block(x, x, mask)
        height: torch.Tensor = self.pool.height  # type: ignore[assignment]
        where = torch.cat([waves(self.height, height), x.new_zeros(len(self.tasks), self.dim)])
        answers, _ = self.read((self.query + where).expand(x.shape[0], -1, -1), x, mask)
        mixed = self.pool(tokens, real) @ self.turn[name] + self.gate * answers[:, : self.parts]
        parts = torch.einsum("bpd,pde->bpe", mixed, self.part)
        return functional.normalize(parts, dim=2) * there[:, None, None], answers[:, self.parts :]
