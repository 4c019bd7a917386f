"""What every fusion is: tokens of any modalities in, parts of identity and a vector a task out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import torch
from torch import nn
from torch.nn import functional

from gait3dlib.config import Count, Share
from gait3dlib.errors import ConfigError
from gait3dlib.types import Tokens

HEIGHT_WAVES = 6
TIME_WAVES = 6
Dropping = Literal["modality", "count"]
Fused = tuple[torch.Tensor, dict[str, torch.Tensor], dict[str, torch.Tensor]]


class FusionKind(nn.Module, ABC):
    """The interface of a fusion.

    Args:
        dim: size of a token; encoders are asked for tokens of this size.
        parts: the embedding is ``parts`` unit vectors of ``part_dim``.
        part_dim: ``parts * part_dim`` is the size of a template.
        modality_dropout: probability, in training, that a modality is left out of a walk; by "count": that
            any is left out at all.
        modality_dropout_by: "modality": each by itself, so that few are seldom left of many; "count": how
            many stay is drawn first, evenly from one to all: every size of subset is trained as often.
        token_dropout: probability, in training, that a single token is left out.
        modalities: whose tokens it can take.
        tasks: of "age", "bmi" and "gender", the questions beside identity.
    """

    heads: int = 1
    one_space: ClassVar[bool] = False  # each modality alone is embedded into the same space (see `each`)
    closed_form: ClassVar[bool] = False  # some of it is found at once, without gradients (see `fit`)

    def __init__(
        self,
        dim: int,
        parts: int,
        part_dim: int,
        modalities: Sequence[str],
        tasks: Sequence[str],
        modality_dropout: float,
        modality_dropout_by: Dropping,
        token_dropout: float,
    ) -> None:
        super().__init__()
        self.dim, self.parts, self.part_dim = dim, parts, part_dim
        self.names = tuple(sorted(modalities))
        self.tasks = tuple(tasks)
        self.modality_dropout, self.modality_dropout_by = modality_dropout, modality_dropout_by
        self.token_dropout = token_dropout

    @abstractmethod
    def forward(self, tokens: Mapping[str, Tokens]) -> Fused:
        """Fuse the tokens of every modality that is there.

        Returns:
            identity parts ``[b, parts, part_dim]`` (not normalised), one vector ``[b, dim]`` a task, and the
            share of identity ``[b]`` a modality.

        A walk without any evidence may get anything; the callers refuse such walks before they come here.
        """

    def each(self, tokens: Mapping[str, Tokens]) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        """Unit parts ``[b, parts, part_dim]`` of each modality alone, and which walks have it ``[b]``.

        Only where :attr:`one_space` says so.
        """
        raise NotImplementedError

    def fit(
        self,
        variants: Sequence[Mapping[str, Tokens]],
        people: torch.Tensor,
        compared: torch.Tensor,
        labels: torch.Tensor,
    ) -> dict[str, float]:
        """Set in closed form what can be, from walks of known people, before the first step.

        Only where :attr:`closed_form` says so.

        Args:
            variants: tokens of all walks by modality, several times, each time of other frames.
            people: int ``[walks]``.
            compared: bool ``[walks, walks]``: which of two walks is searched for by which; False for a walk
                with itself.
            labels: ``[walks, tasks]``: age and BMI standardised, gender 1 (female) or -1; NaN = not known.

        Returns:
            what was found, by name.
        """
        raise NotImplementedError

    def thin(self, real: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """In training, leave out whole modalities and single tokens, but never all that a walk has."""
        if not self.training:
            return real
        names = list(real)
        present = torch.stack([real[n].any(dim=1) for n in names], dim=1)
        kept = self._some(present) if self.modality_dropout_by == "count" else self._each_alone(present)
        thinned = {}
        for column, name in enumerate(names):
            chosen = real[name] & kept[:, column, None]
            survivors = chosen & (torch.rand(chosen.shape, device=chosen.device) >= self.token_dropout)
            thinned[name] = torch.where(survivors.any(dim=1, keepdim=True), survivors, chosen)
        return thinned

    def _each_alone(self, present: torch.Tensor) -> torch.Tensor:
        keep = torch.rand(present.shape, device=present.device) >= self.modality_dropout
        kept = present & keep
        # where nothing would be left, one of the modalities that are there stays, at random
        lottery = torch.rand(present.shape, device=present.device).masked_fill(~present, -1)
        rescue = functional.one_hot(lottery.argmax(dim=1), present.shape[1]).bool()
        return torch.where(kept.any(dim=1, keepdim=True), kept, rescue & present)

    def _some(self, present: torch.Tensor) -> torch.Tensor:
        draw = torch.rand((len(present), 2), device=present.device)
        held = present.sum(dim=1)
        stay = torch.where(draw[:, 0] < self.modality_dropout, (draw[:, 1] * held).long() + 1, held)
        lottery = torch.rand(present.shape, device=present.device).masked_fill(~present, -1)
        place = lottery.argsort(dim=1, descending=True).argsort(dim=1)
        return present & (place < stay[:, None])


class HeightPool(nn.Module):
    """What the encoders say near the height of each part: part 0 at the head, the last at the feet."""

    def __init__(self, parts: int) -> None:
        super().__init__()
        self.focus = nn.Parameter(torch.tensor(2.0 * parts))
        self.register_buffer("height", 1 - (torch.arange(parts) + 0.5) / parts, persistent=False)

    def forward(self, tokens: Tokens, real: torch.Tensor) -> torch.Tensor:
        """Tokens ``[b, n, d]`` -> ``[b, parts, d]`` of unit tokens, averaged; 0 where nothing is real."""
        there = real.any(dim=1)
        said = unit(tokens)
        height: torch.Tensor = self.height  # type: ignore[assignment]
        distance = (height[:, None] - tokens.height[None, :]).nan_to_num()
        # where nothing is real, all count, or the gradient of a softmax of nothing is NaN
        among = (real | ~there[:, None])[:, None, :]
        score = (-(self.focus * distance).square()).masked_fill(~among, -torch.inf)
        return (score.softmax(dim=2) @ said) * there[:, None, None]


class PlacedFusion(FusionKind):
    """Tokens enter with what they are (modality), where (body height) and when (seconds) they were."""

    def __init__(
        self,
        dim: Count,
        parts: Count,
        part_dim: Count,
        modalities: Sequence[str],
        tasks: Sequence[str],
        modality_dropout: Share,
        modality_dropout_by: Dropping,
        token_dropout: Share,
    ) -> None:
        super().__init__(
            dim, parts, part_dim, modalities, tasks, modality_dropout, modality_dropout_by, token_dropout
        )
        names = self.names
        self.enter = nn.ModuleDict({m: nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, dim)) for m in names})
        self.modality = nn.ParameterDict({m: nn.Parameter(0.02 * torch.randn(dim)) for m in names})
        self.height = nn.Linear(2 * HEIGHT_WAVES, dim)
        self.time = nn.Linear(2 * TIME_WAVES, dim)

    def entered(self, name: str, values: torch.Tensor, tokens: Tokens, start: torch.Tensor) -> torch.Tensor:
        """Tokens of a modality with their places; times count from ``start``."""
        x: torch.Tensor = self.enter[name](values) + self.modality[name]
        since = (tokens.t_s - start) / 10
        return x + waves(self.height, tokens.height) + waves(self.time, since)


def check_heads(dim: int, heads: int) -> None:
    """Refuse attention whose heads would not be of one size.

    Raises:
        ConfigError: the heads do not divide ``dim``.
    """
    if dim % heads:
        raise ConfigError(f"fusion.heads: {heads} heads do not divide the {dim} numbers of a token")


def trusted(trust: nn.ParameterDict, names: Sequence[str], there: torch.Tensor) -> torch.Tensor:
    """Weights ``[b, m]`` of the modalities that are ``there`` (bool ``[b, m]``), by the trust in each."""
    of_each = torch.stack([trust[name] for name in names])
    return of_each.expand(there.shape).masked_fill(~there, -torch.inf).softmax(dim=1)


def start_of(tokens: Sequence[Tokens]) -> torch.Tensor:
    """When the evidence of each walk begins ``[b, 1]``: times count from there, so that a modality which is
    left out does not shift the clock of the others."""
    far = [t.t_s.masked_fill(~t.real | t.t_s.isnan(), torch.inf) for t in tokens]
    first = torch.cat(far, dim=1).amin(dim=1, keepdim=True)
    return first.masked_fill(first.isinf(), 0.0)


def waves(project: nn.Linear, place: torch.Tensor) -> torch.Tensor:
    """Sine and cosine waves of a place in 0..1, projected; nothing where the place is not known (NaN)."""
    known = ~place.isnan()
    rising = 2.0 ** torch.arange(project.in_features // 2, device=place.device)
    angle = place.nan_to_num()[..., None] * rising * torch.pi
    features = torch.cat([angle.sin(), angle.cos()], dim=-1).to(project.weight.dtype)
    projected: torch.Tensor = project(features)
    return projected * known[..., None]


def blanked(tokens: Tokens) -> torch.Tensor:
    """The values, 0 where there is no evidence: it may hold anything, and weight 0 does not silence NaN."""
    return tokens.values.masked_fill(~tokens.real[..., None], 0.0)


def unit(tokens: Tokens) -> torch.Tensor:
    """What the encoder says, every token of unit length."""
    return functional.normalize(blanked(tokens), dim=2)


def average(tokens: Tokens, real: torch.Tensor) -> torch.Tensor:
    """The mean of the unit tokens ``[b, d]``; 0 where nothing is real."""
    total = (unit(tokens) * real[..., None]).sum(dim=1)
    return total / real.sum(dim=1).clamp(min=1)[:, None].to(total.dtype)


def orthogonal(*shape: int) -> nn.Parameter:
    """Matrices ``[..., inputs, outputs]`` that turn and change no angle, as far as their shape lets them."""
    made = nn.Parameter(torch.empty(shape))
    if not made.is_meta:  # built only to learn the shapes of a file that may be hostile
        for turn in made.view(-1, *shape[-2:]):
            nn.init.orthogonal_(turn)
    return made
