"""The ``cross_attention`` fusion: queries read all tokens again and again; tokens do not read each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import nn

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


class CrossAttention(PlacedFusion):
    """Cross-attention from identity parts and tasks to tokens (as in Perceiver, Jaegle et al., ICML 2021).

    Its cost grows with the tokens and not with their square. Identity is the mean of what the modalities say
    near each part's height, plus what the queries read, through a gate that starts at 0; nothing goes back
    from the queries to the encoders.

    Args:
        dim: size of a token.
        depth: how often the queries read.
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

    def __init__(
        self,
        *,
        dim: Count = 128,
        depth: Annotated[int, Field(ge=1, le=64)] = 2,
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
        self.query = nn.Parameter(0.02 * torch.randn(parts + len(self.tasks), dim))
        self.blocks = nn.ModuleList(Block(dim, heads, dropout) for _ in range(depth))
        self.pool = HeightPool(parts)
        self.part = orthogonal(parts, dim, part_dim)
        self.gate = nn.Parameter(torch.zeros(()))
        self.trust = nn.ParameterDict({m: nn.Parameter(torch.zeros(())) for m in self.names})

    def forward(self, tokens: Mapping[str, Tokens]) -> Fused:
        """Fuse the tokens of every modality that is there; see :meth:`FusionKind.forward`."""
        names = sorted(tokens)
        real = self.thin({name: tokens[name].real for name in names})
        there = torch.stack([real[name].any(dim=1) for name in names], dim=1)
        start = start_of([tokens[name] for name in names])
        x = torch.cat([self.entered(n, blanked(tokens[n]).detach(), tokens[n], start) for n in names], dim=1)
        mask = torch.cat([real[name] for name in names], dim=1)
        height: torch.Tensor = self.pool.height  # type: ignore[assignment]
        where = torch.cat([waves(self.height, height), x.new_zeros(len(self.tasks), self.dim)])
        queries = (self.query + where).expand(x.shape[0], -1, -1)
        for block in self.blocks:
            queries, _ = block(queries, x, mask)
        weight = trusted(self.trust, names, there)
        pooled = torch.stack([self.pool(tokens[name], real[name]) for name in names], dim=1)
        mixed = torch.einsum("bm,bmpd->bpd", weight, pooled) + self.gate * queries[:, : self.parts]
        tasks = {task: queries[:, self.parts + i] for i, task in enumerate(self.tasks)}
        parts = torch.einsum("bpd,pde->bpe", mixed, self.part)
        return parts, tasks, {n: weight[:, i] for i, n in enumerate(names)}
