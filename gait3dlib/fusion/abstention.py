"""When a model says nothing about age, BMI or gender, because it knows no more than anybody would."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from gait3dlib.config import Positive, build
from gait3dlib.errors import ConfigError, WeightsError
from gait3dlib.fusion.model import GaitModel, Regression
from gait3dlib.types import Outputs


class Abstention:
    """The rules; a task whose rule is null always answers.

    Args:
        age: no answer where the spread is above this share of the spread of the people it was trained on.
        bmi: the same for the body-mass index.
        gender: no answer where the likelier one is less probable than this.
    """

    def __init__(
        self, *, age: Positive | None = 0.95, bmi: Positive | None = 0.95, gender: Positive | None = 0.6
    ) -> None:
        self.age, self.bmi, self.gender = age, bmi, gender

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> Abstention:
        """The rules in the header of weights; those of old weights always answer.

        Raises:
            WeightsError: the header holds something else.
        """
        try:
            return build(cls, info.get("abstain") or {"age": None, "bmi": None, "gender": None}, "abstain")
        except ConfigError as error:
            raise WeightsError(f"the weights hold no usable rules of abstention: {error}") from error

    def __call__(self, model: GaitModel, outputs: Outputs) -> dict[str, torch.Tensor]:
        """Which walks get no answer, bool ``[b]`` a task that the model has."""
        silent = {}
        for task, answer in (("age", outputs.age_years), ("bmi", outputs.bmi_kg_m2)):
            head, share = dict(model.heads.items()).get(task), getattr(self, task)
            if answer is not None and isinstance(head, Regression):
                silent[task] = (
                    torch.zeros(len(answer), dtype=torch.bool, device=answer.device)
                    if share is None
                    else ~(answer[:, 1] <= share * head.label_sd)
                )
        if (logits := outputs.gender_logits) is not None:
            least = 0.0 if self.gender is None else self.gender
            silent["gender"] = ~(logits.abs().sigmoid() >= least)
        return silent
