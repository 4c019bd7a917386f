"""Attention that also tells its weights."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional


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
