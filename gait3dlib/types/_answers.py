"""What models pass around, and what users get."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class Tokens:
    """What an encoder hands to the fusion.

    values ``[b, n, d]``; real ``[b, n]`` bool, True where there is evidence; height ``[n]`` in 0 (feet)
    to 1 (head) or NaN; t_s ``[b, n]`` seconds or NaN.
    """

    values: torch.Tensor
    real: torch.Tensor
    height: torch.Tensor
    t_s: torch.Tensor


@dataclass(frozen=True, eq=False)
class Outputs:
    """What the model says of a batch.

    embedding ``[b, parts, dim]`` with unit-length parts; age_years and bmi_kg_m2 ``[b, 2]`` mean and
    standard deviation; gender_logits ``[b]``, positive = female; weights ``[b, modalities]`` the share of
    identity attention on each modality; any task that the model lacks is None.
    """

    embedding: torch.Tensor
    age_years: torch.Tensor | None = None
    bmi_kg_m2: torch.Tensor | None = None
    gender_logits: torch.Tensor | None = None
    weights: torch.Tensor | None = None


@dataclass(frozen=True)
class Estimate:
    """A number with its spread (one standard deviation)."""

    mean: float
    sd: float


@dataclass(frozen=True)
class Candidate:
    """Somebody of the gallery, with the similarity (cosine, at most 1)."""

    subject: str
    score: float


UNKNOWN = "unknown"


@dataclass(frozen=True)
class Recognition:
    """The answer to "who is it": an enrolled pseudonym or "unknown", and what else the walk tells.

    ``score`` is the best candidate's; the answer is "unknown" when it is below ``threshold``.
    ``calibrated`` is False when the threshold comes from simulated walkers instead of the user's site.
    ``female`` is a probability. ``weights`` is the share of attention each modality got, ``streams`` the
    streams that each modality used. Times are on the walk's own clock. ``reason`` says why nobody was
    searched for where what was seen is not enough to judge; then the score is NaN.
    """

    identity: str
    score: float
    threshold: float
    calibrated: bool
    candidates: tuple[Candidate, ...]
    age_years: Estimate | None = None
    bmi_kg_m2: Estimate | None = None
    female: float | None = None
    weights: Mapping[str, float] = field(default_factory=dict)
    streams: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    track: int | None = None
    start_ns: int = 0
    stop_ns: int = 0
    reason: str = ""

    @property
    def known(self) -> bool:
        """Whether an enrolled person was named."""
        return self.identity != UNKNOWN

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings, lists and dicts, ready for JSON."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Verification:
    """Whether two walks are of the same person: similarity, threshold, decision."""

    same: bool
    score: float
    threshold: float
    calibrated: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return dataclasses.asdict(self)
