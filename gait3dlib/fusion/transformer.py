"""Fusion: tokens of any modalities -> an identity embedding and an answer a task.

Every token carries what it is (modality), where it is (body height) and when it was (seconds), so that
attention can align strips of different sensors at the same height. One mask, ``real``, is True where there is
evidence; attention inverts it here and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from gait3dlib.config import Count, Share
from gait3dlib.errors import ConfigError
from gait3dlib.types import Tokens

HEIGHT_WAVES = 6
TIME_WAVES = 6


class Attention(nn.Module):
    """Multi-head attention (Vaswani et al., 2017) that also returns its weights, averaged over heads."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(
        self,
        queries: torch.Tensor,
        tokens: torch.Tensor,
        real: torch.Tensor,
        bias: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """``[b, q, d]``, ``[b, n, d]``, ``real [b, n]`` -> ``[b, q, d]`` and weights ``[b, q, n]``.

        ``bias [q, n]`` is added to the scores before the softmax.
        """
        b, q, d = queries.shape
        size = d // self.heads
        key, value = self.key_value(tokens).view(b, -1, 2, self.heads, size).permute(2, 0, 3, 1, 4)
        query = self.query(queries).view(b, q, self.heads, size).transpose(1, 2)
        scores = query @ key.transpose(2, 3) / math.sqrt(size)
        if bias is not None:
            scores = scores + bias
        scores = scores.masked_fill(~real[:, None, None, :], -torch.inf)
        weights = scores.softmax(dim=-1)
        mixed = functional.dropout(weights, self.dropout, self.training) @ value
        return self.out(mixed.transpose(1, 2).reshape(b, q, d)), weights.mean(dim=1)


class Block(nn.Module):
    """Pre-norm attention and feed-forward, each with a residual."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm_query = nn.LayerNorm(dim)
        self.norm_token = nn.LayerNorm(dim)
        self.norm_feed = nn.LayerNorm(dim)
        self.attention = Attention(dim, heads, dropout)
        self.feed = nn.Sequential(
            nn.Linear(dim, 2 * dim),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(2 * dim, dim),
            nn.Dropout(dropout),
        )

    def forward(
        self,
        queries: torch.Tensor,
        tokens: torch.Tensor,
        real: torch.Tensor,
        bias: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Queries read tokens; returns the new queries and the attention weights."""
        update, weights = self.attention(self.norm_query(queries), self.norm_token(tokens), real, bias)
        queries = queries + update
        return queries + self.feed(self.norm_feed(queries)), weights


class Fusion(nn.Module):
    """Self-attention over all tokens, then queries that read them: identity parts and one a task.

    Args:
        dim: size of a token; encoders are asked for tokens of this size.
        depth: self-attention blocks before the queries read.
        heads: attention heads.
        parts: identity queries; the embedding is ``parts`` unit vectors of ``part_dim``.
        part_dim: ``parts * part_dim`` is the size of a template.
        dropout: in attention and feed-forward.
        modality_dropout: probability, in training, that a modality is left out of a walk.
        token_dropout: probability, in training, that a single token is left out.
        modalities: whose tokens it can take.
        tasks: of "age", "bmi" and "gender", the questions beside identity.

    Raises:
        ConfigError: the heads do not divide ``dim``.
    """

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
    ) -> None:
        super().__init__()
        if dim % heads:
            raise ConfigError(f"fusion.heads: {heads} heads do not divide the {dim} numbers of a token")
        self.dim = dim
        self.heads = heads
        self.parts = parts
        self.modality_dropout = modality_dropout
        self.token_dropout = token_dropout
        self.tasks = tuple(tasks)
        names = sorted(modalities)
        self.enter = nn.ModuleDict({m: nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, dim)) for m in names})
        self.modality = nn.ParameterDict({m: nn.Parameter(0.02 * torch.randn(dim)) for m in names})
        self.height = nn.Linear(2 * HEIGHT_WAVES, dim)
        self.time = nn.Linear(2 * TIME_WAVES, dim)
        self.blocks = nn.ModuleList(Block(dim, heads, dropout) for _ in range(depth))
        self.identity = nn.Parameter(0.02 * torch.randn(parts, dim))
        self.task = nn.Parameter(0.02 * torch.randn(len(self.tasks), dim))
        self.read = Block(dim, heads, dropout)
        # identity starts as what the encoders say near each part's height, turned so that no angle changes;
        # what the transformer adds to it starts at nothing
        self.part = nn.Parameter(torch.empty(parts, dim, part_dim))
        if not self.part.is_meta:  # built only to learn the shapes of a file that may be hostile
            for turn in self.part:
                nn.init.orthogonal_(turn)
        self.focus = nn.Parameter(torch.tensor(2.0 * parts))
        self.gate = nn.Parameter(torch.zeros(()))
        # how much each modality has to say about identity beside the others, as a logarithm
        self.trust = nn.ParameterDict({m: nn.Parameter(torch.zeros(())) for m in names})
        # identity queries start spread over the body: part 0 at the head, the last at the feet
        self.register_buffer("query_height", 1 - (torch.arange(parts) + 0.5) / parts, persistent=False)

    def forward(
        self, tokens: Mapping[str, Tokens]
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """Fuse the tokens of every modality that is there.

        Returns:
            identity parts ``[b, parts, part_dim]`` (not normalised), one vector ``[b, dim]`` a task, and the
            share of identity attention ``[b]`` a modality.

        A walk without any evidence gets NaN; the callers refuse such walks before they come here.
        """
        names = sorted(tokens)
        real = self._thin({name: tokens[name].real for name in names})
        # what is no evidence may hold anything, and weight 0 does not silence NaN: it is blanked first
        values = {n: tokens[n].values.masked_fill(~tokens[n].real[..., None], 0.0) for n in names}
        said = torch.cat([functional.normalize(values[name], dim=2) for name in names], dim=1)
        start = self._start([tokens[name] for name in names])
        x = torch.cat([self._enter(name, values[name], tokens[name], start) for name in names], dim=1)
        mask = torch.cat([real[name] for name in names], dim=1)
        for block in self.blocks:
            x, _ = block(x, x, mask)
        height: torch.Tensor = self.query_height  # type: ignore[assignment]
        queries = torch.cat([self.identity + self._where(self.height, height), self.task])
        trust = [self.trust[name].expand(len(tokens[name].height)) for name in names]
        near = self._near(torch.cat([tokens[name].height for name in names]), torch.cat(trust))
        answers, weights = self.read(queries.expand(len(x), -1, -1), x, mask, near)
        pooled = weights[:, : self.parts] @ said.to(weights.dtype)
        mixed = pooled + self.gate * answers[:, : self.parts]
        parts = torch.einsum("bpd,pde->bpe", mixed, self.part)
        shares = weights[:, : self.parts].mean(dim=1).split([real[n].shape[1] for n in names], dim=1)
        tasks = {task: answers[:, self.parts + i] for i, task in enumerate(self.tasks)}
        return parts, tasks, {n: share.sum(dim=1) for n, share in zip(names, shares, strict=True)}

    def _near(self, height: torch.Tensor, trust: torch.Tensor) -> torch.Tensor:
        """Bias ``[queries, n]`` of attention: identity parts look at their own height and at whom they trust.

        Minus the squared distance in height times ``focus`` (nothing for tokens of no height), plus the trust
        in the token's modality; nothing for tasks.
        """
        query: torch.Tensor = self.query_height  # type: ignore[assignment]
        distance = (query[:, None] - height[None, :]).nan_to_num()
        near = trust - (self.focus * distance).square()
        return torch.cat([near, near.new_zeros(len(self.task), len(height))])

    @staticmethod
    def _start(tokens: Sequence[Tokens]) -> torch.Tensor:
        """When the evidence of each walk begins ``[b, 1]``: times count from there, so that a modality which
        is left out does not shift the clock of the others."""
        far = [t.t_s.masked_fill(~t.real | t.t_s.isnan(), torch.inf) for t in tokens]
        first = torch.cat(far, dim=1).amin(dim=1, keepdim=True)
        return first.masked_fill(first.isinf(), 0.0)

    def _enter(self, name: str, values: torch.Tensor, tokens: Tokens, start: torch.Tensor) -> torch.Tensor:
        x: torch.Tensor = self.enter[name](values) + self.modality[name]
        since = (tokens.t_s - start) / 10
        return x + self._where(self.height, tokens.height) + self._where(self.time, since)

    @staticmethod
    def _where(project: nn.Linear | nn.Module, place: torch.Tensor) -> torch.Tensor:
        """Sine and cosine waves of a place in 0..1, projected; nothing where the place is not known (NaN)."""
        known = ~place.isnan()
        assert isinstance(project, nn.Linear)
        waves = 2.0 ** torch.arange(project.in_features // 2, device=place.device)
        angle = place.nan_to_num()[..., None] * waves * torch.pi
        features = torch.cat([angle.sin(), angle.cos()], dim=-1).to(project.weight.dtype)
        projected: torch.Tensor = project(features)
        return projected * known[..., None]

    def _thin(self, real: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """In training, leave out whole modalities and single tokens, but never all that a walk has."""
        if not self.training:
            return real
        names = list(real)
        present = torch.stack([real[n].any(dim=1) for n in names], dim=1)
        keep = torch.rand(present.shape, device=present.device) >= self.modality_dropout
        kept = present & keep
        # where nothing would be left, one of the modalities that are there stays, at random
        lottery = torch.rand(present.shape, device=present.device).masked_fill(~present, -1)
        rescue = functional.one_hot(lottery.argmax(dim=1), len(names)).bool()
        kept = torch.where(kept.any(dim=1, keepdim=True), kept, rescue & present)
        thinned = {}
        for column, name in enumerate(names):
            chosen = real[name] & kept[:, column, None]
            survivors = chosen & (torch.rand(chosen.shape, device=chosen.device) >= self.token_dropout)
            thinned[name] = torch.where(survivors.any(dim=1, keepdim=True), survivors, chosen)
        return thinned
