"""The ``discriminant`` fusion: identity by linear discriminants in closed form, attributes by regression.

Whatever tells people apart in all tokens of a modality together is found at once from the people to train on,
and so is what tells age, BMI and gender. It stays as it is while gradients learn how sure an answer is: there
is little for them to learn by heart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from gait3dlib.config import Count, Share
from gait3dlib.errors import ConfigError
from gait3dlib.fusion.kinds._attention import Block
from gait3dlib.fusion.kinds._base import (
    Dropping,
    Fused,
    PlacedFusion,
    blanked,
    check_heads,
    orthogonal,
    start_of,
    trusted,
    unit,
)
from gait3dlib.fusion.kinds._regress import regress
from gait3dlib.fusion.kinds._separate import Fold, dealt, principal, separate, weigh
from gait3dlib.types import Tokens

FOLDS = 2
MOST_WEIGHED = 1000  # walks of a fold by which trust is chosen


class Discriminant(PlacedFusion):
    """Linear discriminants of each modality's tokens side by side, scored as by ``late_score``.

    Every modality has its own block of each part: a unit vector times the root of its weight. The dot product
    of two parts is then the weighted sum of the modalities' cosines; what one of the two walks lacks adds
    nothing. A block is the modality's unit tokens, end to end and centred, turned by the discriminants of the
    two-covariance model (see :meth:`fit`). A token without evidence counts as the mean. Age, BMI and gender
    share nothing with identity: the first number that says of each is the mean of what the modalities' ridge
    regressions say, weighted by how sure they are; the others are read by queries after self-attention over
    all tokens.

    Args:
        dim: size of a token; encoders are asked for tokens of this size.
        depth: self-attention blocks before the queries of the attributes read.
        heads: attention heads.
        parts: of the embedding. In one part the score is that of all directions together; of more, the mean.
        part_dim: of a part; shared out among the modalities. Directions beyond about 200 a modality add
            nothing.
        dropout: in attention and feed-forward.
        modality_dropout: see :class:`~gait3dlib.fusion.kinds._base.FusionKind`, and there the next two.
        token_dropout: probability, in training, that a single token is left out.
        modalities: whose tokens it can take.
        tasks: of "age", "bmi" and "gender", the questions beside identity.
        modality_dropout_by: "modality" or "count".
        learn_identity: go on from the closed form by gradients, at the slow pace of identity.
        tokens: how many tokens a walk has of each modality; told by the encoders.

    Raises:
        ConfigError: the heads do not divide ``dim``, a part has fewer numbers than there are modalities, or
            the number of a modality's tokens is not told.
    """

    closed_form = True

    def __init__(
        self,
        *,
        dim: Count = 128,
        depth: Annotated[int, Field(ge=0, le=64)] = 2,
        heads: Count = 4,
        parts: Count = 1,
        part_dim: Count = 336,
        dropout: Share = 0.1,
        modality_dropout: Share = 0.3,
        token_dropout: Share = 0.1,
        modalities: Sequence[str] = ("silhouette", "skeleton_map"),
        tasks: Sequence[str] = ("age", "bmi", "gender"),
        modality_dropout_by: Dropping = "modality",
        learn_identity: bool = False,
        tokens: Mapping[str, Count] | None = None,
    ) -> None:
        check_heads(dim, heads)
        super().__init__(
            dim, parts, part_dim, modalities, tasks, modality_dropout, modality_dropout_by, token_dropout
        )
        self.heads, count, sizes = heads, len(self.names), tokens or {}
        if part_dim < count:
            raise ConfigError(f"fusion.part_dim: {part_dim} numbers cannot be shared by {count} modalities")
        if untold := [name for name in self.names if name not in sizes]:
            raise ConfigError(f"fusion.tokens: must say how many tokens a walk has of {untold[0]!r}")
        widths = [part_dim // count + (i < part_dim % count) for i in range(count)]
        self.widths = dict(zip(self.names, widths, strict=True))
        self.blocks = nn.ModuleList(Block(dim, heads, dropout) for _ in range(depth))
        self.task = nn.Parameter(0.02 * torch.randn(len(self.tasks), dim))
        self.read = Block(dim, heads, dropout)
        # until they are fitted, the maps change angles as little as their shape lets them
        self.part = nn.ParameterDict(
            {n: orthogonal(sizes[n] * dim, parts * self.widths[n]) for n in self.names}
        )
        self.trust = nn.ParameterDict({n: nn.Parameter(torch.zeros(())) for n in self.names})
        for parameter in (*self.part.values(), *self.trust.values()):
            parameter.requires_grad_(learn_identity)
        for name in self.names:
            self.register_buffer(f"centre_{name}", torch.zeros(sizes[name] * dim))
            self.register_buffer(f"tell_{name}", torch.zeros(sizes[name] * dim, len(self.tasks)))
            self.register_buffer(f"sure_{name}", torch.zeros(len(self.tasks)))

    def forward(self, tokens: Mapping[str, Tokens]) -> Fused:
        """Fuse the tokens of every modality that is there; see :meth:`FusionKind.forward`."""
        names = sorted(tokens)
        real = self.thin({name: tokens[name].real for name in names})
        there = torch.stack([real[name].any(dim=1) for name in names], dim=1)
        weight = trusted(self.trust, names, there)
        start = start_of([tokens[name] for name in names])
        # what attributes teach ends here: it does not reach the encoders
        x = torch.cat([self.entered(n, blanked(tokens[n]).detach(), tokens[n], start) for n in names], dim=1)
        mask = torch.cat([real[name] for name in names], dim=1)
        for block in self.blocks:
            x, _ = block(x, x, mask)
        answers, _ = self.read(self.task.expand(x.shape[0], -1, -1), x, mask)
        flat = {name: self.flat(name, tokens[name], real[name]) for name in names}
        parts = []
        for name in self.names:
            if name not in names:
                parts.append(x.new_zeros(x.shape[0], self.parts, self.widths[name]))
                continue
            own = flat[name] @ self.part[name]
            block_of = functional.normalize(own.view(-1, self.parts, self.widths[name]), dim=2)
            # the root of nothing has no gradient
            share = weight[:, names.index(name), None, None].clamp(min=1e-12).sqrt()
            parts.append(block_of * share * there[:, names.index(name), None, None])
        answers = torch.cat([self._told(flat, names, there)[..., None], answers[..., 1:]], dim=2)
        tasks = {task: answers[:, i] for i, task in enumerate(self.tasks)}
        return torch.cat(parts, dim=2), tasks, {n: weight[:, i] for i, n in enumerate(names)}

    def _told(
        self, flat: Mapping[str, torch.Tensor], names: Sequence[str], there: torch.Tensor
    ) -> torch.Tensor:
        """What the regressions of all modalities say of every task ``[b, tasks]``, standardised."""
        said = torch.stack([flat[name].detach() @ getattr(self, f"tell_{name}") for name in names], dim=1)
        sure = torch.stack([getattr(self, f"sure_{name}") for name in names]) * there[..., None]
        told: torch.Tensor = (said * sure).sum(dim=1) / sure.sum(dim=1).clamp(min=1e-6)
        return told

    def flat(self, name: str, tokens: Tokens, real: torch.Tensor) -> torch.Tensor:
        """A modality's unit tokens end to end ``[b, n * dim]``, centred; 0 where nothing is real."""
        self._check(name, tokens)
        said = unit(tokens)
        return ((said - self.centre(name).view(said.shape[1:])) * real[..., None]).flatten(1)

    def centre(self, name: str) -> torch.Tensor:
        """The mean of a modality's unit tokens, end to end ``[n * dim]``."""
        held: torch.Tensor = getattr(self, f"centre_{name}")
        return held

    def _check(self, name: str, tokens: Tokens) -> None:
        told, count = len(self.centre(name)) // self.dim, tokens.values.shape[1]
        if count != told:
            raise ConfigError(
                f"fusion.tokens.{name}: walks have {count} tokens of it, not {told}; "
                f"set it to {count} and train again"
            )

    @torch.no_grad()
    def fit(
        self,
        variants: Sequence[Mapping[str, Tokens]],
        people: torch.Tensor,
        compared: torch.Tensor,
        labels: torch.Tensor,
    ) -> dict[str, float]:
        """Set maps, centres, trust and regressions in closed form; see :meth:`FusionKind.fit`.

        Trust is chosen on people whom the maps that it is chosen by were not fitted on, in two folds, by
        :func:`~gait3dlib.fusion.kinds._separate.weigh`. A modality that tells nobody apart stays as it is.

        Returns:
            by modality the number of useful directions, the three largest ratios, the trust, and the share of
            each label's variance that is told of people who were not seen.
        """
        found: dict[str, float] = {}
        fold = torch.unique(people, return_inverse=True)[1] % FOLDS
        crossed: dict[str, torch.Tensor] = {}
        there = {name: variants[0][name].real.any(dim=1) for name in self.names if name in variants[0]}
        for name, seen in there.items():
            axes, scores = principal(self._rows(name, [held[name] for held in variants], seen))
            whose = people[seen].repeat(len(variants))
            halves = fold[seen].repeat(len(variants))
            told, sure = regress(scores, labels[seen].double().repeat(len(variants), 1), halves)
            getattr(self, f"tell_{name}").copy_(axes @ told)
            getattr(self, f"sure_{name}").copy_(sure)
            for task, one in zip(self.tasks, sure.tolist(), strict=True):
                found[f"told_{task}_{name}"] = 1 - 1 / one if one else 0.0
            directions, ratios = separate(scores, whose, len(variants))
            if not len(ratios):
                continue
            made = dealt(axes @ directions, self.parts, self.widths[name])
            self.part[name].data.copy_(made.flatten(1))
            found[f"directions_{name}"] = float(len(ratios))
            found |= {f"ratio{i + 1}_{name}": float(ratio) for i, ratio in enumerate(ratios[:3])}
            most = self.parts * self.widths[name]
            crossed[name] = torch.zeros(len(people), most)
            crossed[name][seen] = _crossed(scores, whose, halves, len(variants), most)
        return found | self._weigh(crossed, there, fold, people, compared)

    def _rows(self, name: str, variants: Sequence[Tokens], seen: torch.Tensor) -> torch.Tensor:
        """Unit tokens about their mean, which is kept, of the walks that are ``seen``, all variants."""
        values, real, t_s = (
            torch.cat([getattr(t, field)[seen] for t in variants]) for field in ("values", "real", "t_s")
        )
        whole = Tokens(values.float(), real, variants[0].height, t_s)
        self._check(name, whole)
        mean = unit(whole).sum(dim=0) / real.sum(dim=0).clamp(min=1)[:, None]
        self.centre(name).copy_(mean.flatten())
        return self.flat(name, whole, real)

    def _weigh(
        self,
        crossed: Mapping[str, torch.Tensor],
        there: Mapping[str, torch.Tensor],
        fold: torch.Tensor,
        people: torch.Tensor,
        compared: torch.Tensor,
    ) -> dict[str, float]:
        """Set the trust in the modalities that were fitted."""
        if not crossed:
            return {}
        folds = []
        widest = max(held.shape[1] for held in crossed.values())
        blocks = torch.stack([functional.pad(b, (0, widest - b.shape[1])) for b in crossed.values()])
        seen = torch.stack([there[name] for name in crossed])
        for number in range(FOLDS):
            rows = ((fold == number) & seen.any(dim=0)).nonzero()[:, 0]
            # evenly, or those who come first would choose for all, and they may lack a sensor
            rows = rows[torch.linspace(0, len(rows) - 1, min(MOST_WEIGHED, len(rows))).long()]
            folds.append(Fold(blocks[:, rows], seen[:, rows], people[rows], compared[rows][:, rows]))
        for name, trust in zip(crossed, weigh(folds).tolist(), strict=True):
            self.trust[name].data.fill_(trust)
        return {f"trust_{name}": float(self.trust[name]) for name in crossed}


def _crossed(
    scores: torch.Tensor, people: torch.Tensor, fold: torch.Tensor, copies: int, most: int
) -> torch.Tensor:
    """Blocks ``[walks, most]`` of the first copy of each walk, by the other fold's discriminants."""
    walks = len(scores) // copies
    blocks = torch.zeros(walks, most)
    for number in range(FOLDS):
        mine, others = fold == number, fold != number
        directions, _ = separate(scores[others], people[others], copies)
        made = (scores[:walks][mine[:walks]] @ directions[:, :most]).float()
        blocks[mine[:walks], : made.shape[1]] = functional.normalize(made, dim=1)
    return blocks
