"""What an encoder is trained against and loses afterwards."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from gait3dlib.modalities import Batch
from gait3dlib.types import Tokens


class Head(nn.Module):
    """Identity per strip, attributes over all.

    Identity follows BNNeck (Luo et al., CVPR workshops 2019): triplet before the batch norm, cosine classes
    after it. Traits, where a simulator tells them, are read linearly off the same normed tokens: they say
    what differs between people, and say the same from every view.
    """

    def __init__(self, dim: int, strips: int, people: int, traits: int = 0) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(strips * dim)
        self.traits = nn.Linear(strips * dim, traits) if traits else None
        self.classes = nn.Parameter(torch.randn(strips, dim, people) * dim**-0.5)
        self.attributes = nn.Sequential(nn.BatchNorm1d(dim), nn.Linear(dim, 3))

    def forward(self, tokens: Tokens) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Cosine logits ``[b, strips, people]``, attributes ``[b, 3]`` (age, BMI standardised; gender) and
        traits ``[b, n]``, standardised."""
        values = tokens.values.to(self.classes.dtype)
        flat = self.norm(values.flatten(1))
        normed = functional.normalize(flat.view_as(values), dim=2)
        cosine = torch.einsum("bsd,sdp->bsp", normed, functional.normalize(self.classes, dim=1))
        # scaled, or one step of Adam moves the sum of so many inputs too far
        scaled = flat * flat.shape[1] ** -0.5
        traits = flat.new_empty(len(flat), 0) if self.traits is None else self.traits(scaled)
        return cosine, self.attributes(values.mean(dim=1)), traits


class EncoderAndHead(nn.Module):
    """Encoder and head as one module, as Fabric wants it."""

    def __init__(self, encoder: nn.Module, head: Head, supervisor: nn.Module | None = None) -> None:
        super().__init__()
        self.encoder, self.head, self.supervisor = encoder, head, supervisor

    def forward(
        self,
        frames: torch.Tensor,
        lengths: torch.Tensor,
        t_s: torch.Tensor,
        told: torch.Tensor | None = None,
        share: float = 1.0,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
        """A batch as plain tensors (Fabric converts no frozen dataclass) -> tokens, answers, other losses."""
        batch, others = Batch(frames, lengths, t_s), {}
        if self.supervisor is None or told is None:
            tokens: Tokens = self.encoder(batch)
        else:
            tokens, others = self.supervisor(self.encoder, batch, told, share)
        with torch.autocast(frames.device.type, enabled=False):
            return tokens.values, *self.head(tokens), others

    def absorb_norm(self) -> None:
        """Hand the head's norm over to an encoder that can take it, once training has ended."""
        absorb = getattr(self.encoder, "absorb", None)
        if callable(absorb):
            absorb(self.head.norm)
