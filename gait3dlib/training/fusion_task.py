"""What the fusion learns: the network, the losses of a step, the figures to watch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from gait3dlib.data.sampler import PeopleSampler
from gait3dlib.data.tokens import fuse_walks
from gait3dlib.evaluation.impostors import impostor_tail, subsets
from gait3dlib.fusion.losses import gaussian_nll, masked_bce
from gait3dlib.fusion.model import GaitModel, Regression
from gait3dlib.training.cache import Fields, WalkFrames, WalkTokens, encode_fields
from gait3dlib.training.identity import IdentityLoss
from gait3dlib.training.labels import Targets, Wanted
from gait3dlib.training.loop import Loop, freeze_norms
from gait3dlib.training.validation import cross_view_rank1, not_compared
from gait3dlib.types import Outputs, Tokens

TaskWeighting = Literal["fixed", "learned"]
MOST_WATCHED = 4  # of so many modalities every subset is watched, of more those of one and of all

_LEAST_LOG_VARIANCE = 3.0  # a weight stays within a factor of 20


class FusionAndHeads(nn.Module):
    """The part of the model that is trained, with the identity classes it loses afterwards.

    Args:
        model: encoders, fusion and heads.
        people: identities.
        finetune: train the encoders too, their batch norms held still.
        learned: learn the weight of every task.
    """

    def __init__(
        self, model: GaitModel, people: int, *, finetune: bool = False, learned: bool = False
    ) -> None:
        super().__init__()
        self.model, self.finetune = model, finetune
        # in a list they are no submodule: neither trained nor saved with every checkpoint
        self._encoders_aside = [model.encoders]
        if not finetune:
            model.encoders = nn.ModuleDict()
        parts, width = model.fusion.parts, model.fusion.part_dim
        self.norm = nn.BatchNorm1d(parts * width)
        self.classes = nn.Parameter(torch.randn(parts, width, people) * width**-0.5)
        tasks = len(model.fusion.tasks)
        self.log_variance = nn.Parameter(torch.zeros(tasks)) if learned and tasks else None

    def train(self, mode: bool = True) -> FusionAndHeads:
        """As any module, but the encoders' norms keep the statistics they were trained with."""
        super().train(mode)
        freeze_norms(self.model.encoders)
        return self

    def forward(self, fields: dict[str, Fields]) -> dict[str, torch.Tensor]:
        """Tokens, or frames, as plain tensors (Fabric converts no frozen dataclass) -> outputs and logits.

        "logits" has a row a walk and, where the fusion embeds each modality into one space, then one for each
        walk and modality that is there: "alone" ``[b, m, parts, dim]`` where "there" ``[b, m]``.
        """
        if self.finetune:
            tokens = encode_fields(dict(self.model.encoders.items()), fields)
        else:
            tokens = {name: Tokens(*held) for name, held in fields.items()}
        outputs = self.model.fuse(tokens)
        answers = {"embedding": outputs.embedding, "age": outputs.age_years}
        answers |= {"bmi": outputs.bmi_kg_m2, "gender": outputs.gender_logits}
        answers["log_variance"] = self.log_variance
        rows = outputs.embedding
        if self.model.fusion.one_space and len(tokens) > 1:
            each = list(self.model.fusion.each(tokens).values())
            alone, there = (torch.stack([pair[i] for pair in each], dim=1) for i in range(2))
            answers |= {"alone": alone, "there": there}
            rows = torch.cat([rows, alone[there]])
        with torch.autocast(rows.device.type, enabled=False):
            normed = self.norm(rows.float().flatten(1)).view_as(rows)
            answers["logits"] = torch.einsum(
                "bpd,pdc->bpc", functional.normalize(normed, dim=2), functional.normalize(self.classes, dim=1)
            )
        found = {name: answer for name, answer in answers.items() if answer is not None}
        return {name: a.float() if a.is_floating_point() else a for name, a in found.items()}

    def whole(self) -> GaitModel:
        """The model with its encoders back in place."""
        (self.model.encoders,) = self._encoders_aside
        return self.model


@dataclass(frozen=True)
class TaskWeights:
    """How much the tasks count beside identity.

    ``weight``: of each. "learned": by the uncertainty of each (Kendall, Gal and Cipolla, CVPR 2018):
    ``weight (exp(-s) loss + s)`` with a learned ``s`` within 3 of 0; a task for which nobody of the batch has
    a label adds nothing, ``s`` included.
    """

    weight: Mapping[str, float]
    weighting: TaskWeighting

    def __call__(
        self, losses: Mapping[str, torch.Tensor], known: Mapping[str, bool], log_variance: torch.Tensor | None
    ) -> dict[str, torch.Tensor]:
        """The losses of the tasks, weighted; ``log_variance`` has one entry each, in their order."""
        weighted = {}
        for place, (task, loss) in enumerate(losses.items()):
            if log_variance is not None:
                s = log_variance[place].clamp(-_LEAST_LOG_VARIANCE, _LEAST_LOG_VARIANCE)
                loss = ((-s).exp() * loss + s) * float(known[task])
            weighted[task] = self.weight[task] * loss
        return weighted


class FusionTask:
    """The batch and the losses of a step, and the figures of the people held out."""

    def __init__(
        self,
        model: GaitModel,
        walks: WalkTokens | WalkFrames,
        loop: Loop,
        identity: IdentityLoss,
        tasks: TaskWeights,
    ) -> None:
        self.model, self.walks, self.identity, self.tasks = model, walks, identity, tasks
        self.seed, self.device, self.ranks = loop.seed, loop.fabric.device, loop.ranks
        self.report = loop.report
        self.targets = Targets(walks.train)
        for task, (mean, sd) in self.targets.scale.items():
            head = dict(model.heads.items()).get(task)
            if isinstance(head, Regression):
                head.rescale(mean, sd)
        people, plan = [walk.subject for walk in walks.train], loop.schedule
        self.sampler = PeopleSampler(people, people=plan.people, walks=plan.walks, seed=self.seed)
        torch.manual_seed(self.seed)
        finetune, learned = isinstance(walks, WalkFrames), tasks.weighting == "learned"
        self.module = FusionAndHeads(model, len(self.targets.people), finetune=finetune, learned=learned)

    def fit(self) -> None:
        """Let the fusion set in closed form what it can, and tell what it found and how it does so far."""
        if not self.model.fusion.closed_form:
            return
        people = torch.from_numpy(np.unique([w.subject for w in self.walks.train], return_inverse=True)[1])
        compared = torch.from_numpy(~not_compared(self.walks.train))
        labels = self.targets.standardised(self.model.fusion.tasks)
        found = self.model.fusion.fit(self.walks.variants(), people, compared, labels)
        self.report(f"fitted to {len(people)} walks of {len(self.targets.people)} people")
        found |= self.validate(self.module)
        self.report("  ".join(f"{name} {value:.4g}" for name, value in found.items()))

    def batch(self, number: int) -> tuple[NDArray[np.int64], slice, dict[str, Fields]]:
        """The walks of a step, and what the network reads of this process's: a function of the number."""
        rows = self.sampler.batch(number)
        mine = self.ranks.share(len(rows))
        rng = np.random.default_rng([self.seed, 3, number])
        return rows, mine, self.walks.of_step(rows, mine, rng, number)

    def losses(
        self, network: nn.Module, made: tuple[NDArray[np.int64], slice, dict[str, Fields]]
    ) -> dict[str, torch.Tensor]:
        """Identity by triplet and classes; age and BMI as densities, gender as a probability."""
        rows, mine, fields = made
        held = {name: tuple(f.to(self.device) for f in some) for name, some in fields.items()}
        answers = network(held)
        wanted = self.targets.of(rows, self.device)
        losses = self._identity_losses(answers, wanted, wanted.person[mine])
        tasks, known = self._task_losses(answers, wanted)
        return losses | self.tasks(tasks, known, answers.get("log_variance"))

    def _identity_losses(
        self, answers: Mapping[str, torch.Tensor], wanted: Wanted, mine: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        embedding, people = self.ranks.whole(answers["embedding"]), wanted.person
        if "alone" not in answers:
            return self.identity(embedding, people, answers["logits"], mine)
        there = self.ranks.whole(answers["there"].float()) > 0
        alone = self.ranks.whole(answers["alone"])
        # whoever lacks a modality has nothing to be compared in it: below 0 = not known
        of_alone = people[:, None].expand(there.shape).masked_fill(~there, -1).flatten()
        of_logits = torch.cat([mine, mine[:, None].expand(answers["there"].shape)[answers["there"]]])
        every = torch.cat([embedding, alone.flatten(0, 1)])
        return self.identity(every, torch.cat([people, of_alone]), answers["logits"], of_logits)

    def _task_losses(
        self, answers: Mapping[str, torch.Tensor], wanted: Wanted
    ) -> tuple[dict[str, torch.Tensor], dict[str, bool]]:
        losses: dict[str, torch.Tensor] = {}
        known: dict[str, bool] = {}
        for task in self.model.fusion.tasks:
            answer = self.ranks.whole(answers[task])
            if task == "gender":
                losses[task] = masked_bce(answer, wanted.female, wanted.gender_known)
                known[task] = bool(wanted.gender_known.any())
                continue
            mean, sd = self.targets.scale[task]
            truth = getattr(wanted, task) * sd + mean
            losses[task] = gaussian_nll(answer, truth, ~truth.isnan())
            known[task] = not bool(truth.isnan().all())
        return losses, known

    def check_tokens(self, model: GaitModel) -> dict[str, Tokens]:
        """The tokens of the held-out walks, of all their frames."""
        if isinstance(self.walks, WalkTokens):
            return self.walks.check
        return self.walks.encoded(dict(model.encoders.items()), next(model.parameters()).device)

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Cross-view rank-1 of people kept out of training: of every subset of few modalities, of many those
        of one and of all."""
        tokens = self.check_tokens(self.model)
        return {
            "rank1_" + "+".join(names): cross_view_rank1(
                self._outputs(self.model, tokens, names).embedding.numpy(), self.walks.validation
            )
            for names in self.watched(tokens)
        }

    def watched(self, names: Mapping[str, Any]) -> list[tuple[str, ...]]:
        """The subsets whose rank-1 is watched; all modalities come last."""
        every = subsets(sorted(names))
        return every if len(names) <= MOST_WATCHED else [s for s in every if len(s) in (1, len(names))]

    def impostors(self, whole: GaitModel) -> dict[str, list[list[float]]]:
        """The tail of impostor scores of the same people, for every subset of the modalities."""
        people, tokens = [walk.subject for walk in self.walks.validation], self.check_tokens(whole)
        return {
            "+".join(names): impostor_tail(self._outputs(whole, tokens, names).embedding.numpy(), people)
            for names in subsets(sorted(tokens))
        }

    def _outputs(self, model: GaitModel, tokens: Mapping[str, Tokens], names: Sequence[str]) -> Outputs:
        return fuse_walks(model, {name: tokens[name] for name in names})
