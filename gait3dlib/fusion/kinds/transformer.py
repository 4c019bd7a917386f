"""The ``transformer`` fusion: self-attention over the tokens of all modalities, read by queries.

Every token carries what it is (modality), where it is (body height) and when it was (seconds), so that
attention can align strips of different sensors at the same height. One mask, ``real``, is True where there is
evidence; attention inverts it in one place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from gait3dlib.config import Count, Share
from gait3dlib.fusion.kinds._attention import Block
from gait3dlib.fusion.kinds._base import (
    Dropping,
    Fused,
    PlacedFusion,
    blanked,
    check_heads,
    orthogonal,
    start_of,
    waves,
)
from gait3dlib.types import Tokens


class Transformer(PlacedFusion):
    """Self-attention over all tokens, then queries that read them: identity parts and one a task.

    Identity is what the encoders say near each part's height, turned by an orthogonal map, plus a gated
    residual of what the transformer adds; the gate starts at 0. With ``protect`` the gates are the only way
    from the transformer to identity: where a part looks follows from height and trust, and from attention as
    far as a second gate (from 0) lets it; and nothing goes back from the transformer to the encoders. So age,
    BMI and gender, which train the transformer, cannot move identity but through the gates.

    Args:
        dim: size of a token; encoders are asked for tokens of this size.
        depth: self-attention blocks before the queries read.
        heads: attention heads.
        parts: identity queries; the embedding is ``parts`` unit vectors of ``part_dim``.
        part_dim: ``parts * part_dim`` is the size of a template.
        dropout: in attention and feed-forward.
        modality_dropout: see :class:`~gait3dlib.fusion.kinds._base.FusionKind`, and there the next two.
        token_dropout: probability, in training, that a single token is left out.
        modalities: whose tokens it can take.
        tasks: of "age", "bmi" and "gender", the questions beside identity.
        modality_dropout_by: "modality" or "count".
        protect: only the gates lead from the transformer to identity.

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
        modality_dropout_by: Dropping = "modality",
        protect: bool = False,
    ) -> None:
        check_heads(dim, heads)
        super().__init__(
            dim, parts, part_dim, modalities, tasks, modality_dropout, modality_dropout_by, token_dropout
        )
        self.heads, self.protect = heads, protect
        self.blocks = nn.ModuleList(Block(dim, heads, dropout) for _ in range(depth))
        self.identity = nn.Parameter(0.02 * torch.randn(parts, dim))
        self.task = nn.Parameter(0.02 * torch.randn(len(self.tasks), dim))
        self.read = Block(dim, heads, dropout)
        # turned so that no angle between what the encoders say changes
        self.part = orthogonal(parts, dim, part_dim)
        self.focus = nn.Parameter(torch.tensor(2.0 * parts))
        self.gate = nn.Parameter(torch.zeros(()))
        # how much each modality has to say about identity beside the others, as a logarithm
        self.trust = nn.ParameterDict({m: nn.Parameter(torch.zeros(())) for m in self.names})
        if protect:
            self.attend = nn.Parameter(torch.zeros(()))
        # identity queries start spread over the body: part 0 at the head, the last at the feet
        self.register_buffer("query_height", 1 - (torch.arange(parts) + 0.5) / parts, persistent=False)

    def forward(self, tokens: Mapping[str, Tokens]) -> Fused:
        """Fuse the tokens of every modality that is there; see :meth:`FusionKind.forward`."""
        names = sorted(tokens)
        real = self.thin({name: tokens[name].real for name in names})
        values = {n: blanked(tokens[n]) for n in names}
        said = torch.cat([functional.normalize(values[name], dim=2) for name in names], dim=1)
        start = start_of([tokens[name] for name in names])
        if self.protect:
            values = {name: value.detach() for name, value in values.items()}
        x = torch.cat([self.entered(name, values[name], tokens[name], start) for name in names], dim=1)
        mask = torch.cat([real[name] for name in names], dim=1)
        for block in self.blocks:
            x, _ = block(x, x, mask)
        height: torch.Tensor = self.query_height  # type: ignore[assignment]
        queries = torch.cat([self.identity + waves(self.height, height), self.task])
        trust = [self.trust[name].expand(len(tokens[name].height)) for name in names]
        near = self._near(torch.cat([tokens[name].height for name in names]), torch.cat(trust))
        answers, weights = self.read(queries.expand(x.shape[0], -1, -1), x, mask, near)
        looks = weights[:, : self.parts]
        if self.protect:
            likely = near[: self.parts].masked_fill(~mask[:, None, :], -torch.inf).softmax(dim=2)
            looks = likely + self.attend * (looks - likely)
        pooled = looks @ said.to(looks.dtype)
        mixed = pooled + self.gate * answers[:, : self.parts]
        parts = torch.einsum("bpd,pde->bpe", mixed, self.part)
        shares = looks.mean(dim=1).split([real[n].shape[1] for n in names], dim=1)
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
