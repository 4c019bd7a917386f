"""The whole network: encoders, fusion, task heads; one code path for every subset of modalities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.nn import functional

from gait3dlib.errors import ConfigError, NoEvidence, did_you_mean
from gait3dlib.fusion.kinds._base import FusionKind
from gait3dlib.modalities import Batch, Modality
from gait3dlib.types import Outputs, Tokens

# adults of the training world, only a start: training replaces it by the mean and sd of its own labels
_START = {"age": (40.0, 20.0), "bmi": (25.0, 5.0)}


class Regression(nn.Module):
    """A number with its spread: a Gaussian whose mean and log standard deviation are linear in the query.

    The scale of the labels lives in buffers, so outputs are in years or kg/m^2.
    """

    def __init__(self, dim: int, mean: float, sd: float) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, 2)
        self.label_mean: torch.Tensor
        self.label_sd: torch.Tensor
        self.register_buffer("label_mean", torch.tensor(mean))
        self.register_buffer("label_sd", torch.tensor(sd))

    def rescale(self, mean: float, sd: float) -> None:
        """Set the scale of the labels, before training."""
        self.label_mean.fill_(mean)
        self.label_sd.fill_(sd)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[b, dim]`` -> ``[b, 2]``: mean and standard deviation."""
        raw = self.linear(x)
        mean = self.label_mean + self.label_sd * raw[:, 0]
        # between 2 % and 4.5 times the spread of the labels: a density without bounds can diverge
        sd = self.label_sd * (raw[:, 1].clamp(-4.0, 1.5)).exp()
        return torch.stack([mean, sd], dim=1)


class GaitModel(nn.Module):
    """Encoders of the chosen modalities, the fusion, and a head a task.

    Args:
        modalities: name -> modality.
        fusion: the transformer, or another kind; its ``modalities`` must cover the names.

    Raises:
        ConfigError: the fusion was built without one of the modalities, or for a task that has no head.
    """

    def __init__(self, modalities: Mapping[str, Modality], fusion: FusionKind) -> None:
        super().__init__()
        unknown = sorted(set(modalities) - set(fusion.names))
        if unknown:
            raise ConfigError(
                f"the fusion was built without {unknown[0]!r}{did_you_mean(unknown[0], fusion.names)}"
            )
        self.modalities = dict(modalities)
        self.encoders = nn.ModuleDict({n: m.encoder(fusion.dim) for n, m in sorted(modalities.items())})
        self.fusion = fusion
        heads: dict[str, nn.Module] = {}
        for task in fusion.tasks:
            if task not in (*_START, "gender"):
                known = did_you_mean(task, [*_START, "gender"])
                raise ConfigError(f"fusion.tasks: there is no task {task!r}{known}")
            heads[task] = (
                nn.Linear(fusion.dim, 1) if task == "gender" else Regression(fusion.dim, *_START[task])
            )
        self.heads = nn.ModuleDict(heads)

    def forward(self, batch: Mapping[str, Batch], drop: Sequence[str] = ()) -> Outputs:
        """Batches by modality -> :class:`Outputs`; ``drop`` leaves modalities out as if never recorded.

        Raises:
            NoEvidence: some walk of the batch has none of the modalities that are left.
        """
        return self.fuse(self.tokens(batch, drop))

    def tokens(self, batch: Mapping[str, Batch], drop: Sequence[str] = ()) -> dict[str, Tokens]:
        """The tokens of every modality that is there and not dropped."""
        for name in drop:
            if name not in self.modalities:
                raise ConfigError(f"cannot drop {name!r}{did_you_mean(name, self.modalities)}")
        used = [n for n in self.encoders if n in batch and n not in drop and batch[n].present.any()]
        return {name: self.encoders[name](batch[name]) for name in used}

    def fuse(self, tokens: Mapping[str, Tokens]) -> Outputs:
        """Outputs from tokens, encoded now or earlier."""
        if not tokens or not torch.stack([t.real.any(dim=1) for t in tokens.values()]).any(dim=0).all():
            raise NoEvidence(
                "a walk has no stream that any chosen modality can read; "
                f"chosen: {', '.join(sorted(self.modalities))}"
            )
        parts, tasks, shares = self.fusion(tokens)
        names = sorted(self.modalities)
        nothing = parts.new_zeros(len(parts))
        gender = self.heads["gender"](tasks["gender"])[:, 0] if "gender" in tasks else None
        return Outputs(
            embedding=functional.normalize(parts, dim=2),
            age_years=self.heads["age"](tasks["age"]) if "age" in tasks else None,
            bmi_kg_m2=self.heads["bmi"](tasks["bmi"]) if "bmi" in tasks else None,
            gender_logits=gender,
            weights=torch.stack([shares.get(n, nothing) for n in names], dim=1),
        )
