"""Train the fusion: on the cached tokens of trained encoders, or end to end with them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gait3dlib.config import Count, Natural, NotNegative, build
from gait3dlib.data.augment import Augment
from gait3dlib.data.recordings import WalkSet
from gait3dlib.data.sets import plain
from gait3dlib.data.tokens import fuse_walks
from gait3dlib.errors import ConfigError, InputError, did_you_mean
from gait3dlib.fusion import weights
from gait3dlib.fusion.abstention import Abstention
from gait3dlib.fusion.model import GaitModel
from gait3dlib.training.cache import WalkFrames, WalkTokens
from gait3dlib.training.calibration import calibrate
from gait3dlib.training.card import write_card
from gait3dlib.training.folder import Report, file_hash, split_hashes
from gait3dlib.training.fusion_task import FusionTask, TaskWeighting, TaskWeights
from gait3dlib.training.identity import IdentityLoss
from gait3dlib.training.labels import Targets
from gait3dlib.training.loop import Loop
from gait3dlib.training.schedule import Schedule
from gait3dlib.training.split import DataSource, open_walks
from gait3dlib.training.validation import held_out

TRUST_PACE = 10.0  # one number a modality, which nobody learns by heart


def train_fusion(
    *,
    encoders: Path,
    modalities: list[str],
    data: DataSource,
    out: Path,
    fusion: dict[str, Any] | None = None,
    data_cards: list[str] | None = None,
    validation_people: Count = 60,
    variants: Count = 4,
    finetune: bool = False,
    encoder_pace: NotNegative = 0.1,
    schedule: dict[str, Any] | None = None,
    augment: dict[str, Any] | None = None,
    identity: dict[str, Any] | None = None,
    attribute_weight: NotNegative | dict[str, NotNegative] = 0.2,
    task_weights: TaskWeighting = "fixed",
    identity_pace: NotNegative = 0.02,
    abstain: dict[str, Any] | None = None,
    seed: Natural = 0,
    resume: bool = False,
    report: Report = print,
) -> Path:
    """Train the fusion and the task heads; writes a whole weights folder ``<out>/weights``.

    A task for which the training people have no labels is left out: its answers would be made up. Spreads
    and probabilities are set straight on the people held out.

    Args:
        encoders: folder with ``<modality>.safetensors`` of every modality.
        modalities: which to fuse.
        data: folder of recordings, or a data set such as ``{"sustech1k": {"root": DIR}}``; the last
            ``validation_people`` subjects are kept out of training; the default thresholds come from them.
        fusion: its kind and settings; the transformer by default.
        data_cards: names of the cards of the data, for the card of the weights.
        variants: how many augmented token sets of every walk are cached.
        finetune: train the encoders too, from the recordings instead of cached tokens.
        encoder_pace: how much slower than the rest the encoders then learn.
        identity: settings of :class:`~gait3dlib.training.identity.IdentityLoss`.
        attribute_weight: weight of age, BMI and gender beside identity, or of each by its name.
        task_weights: "fixed", or "learned" from how uncertain each task is.
        identity_pace: how much slower than the rest those weights learn that turn what the encoders say into
            an embedding. At full pace they learn the training people by heart: rank-1 of others falls.
        abstain: settings of :class:`~gait3dlib.fusion.abstention.Abstention`.
    """
    plan = build(Schedule, schedule or {}, "schedule")
    jitter = build(Augment, augment or {}, "augment")
    person = build(IdentityLoss, identity or {}, "identity")
    silent = build(Abstention, abstain or {}, "abstain")
    folder = open_walks(data)
    tasks = _learnable(folder, validation_people, fusion or {}, report)
    weighing = TaskWeights(_each(tasks, attribute_weight), task_weights)
    model, settings, shape = _assemble(encoders, modalities, {**(fusion or {}), "tasks": tasks}, seed)
    resolved = {
        "recipe": "fusion",
        "encoders": str(encoders),
        "modalities": sorted(modalities),
        "data": plain(data),
        "data_cards": data_cards,
        "fusion": shape,
        "validation_people": validation_people,
        "variants": variants,
        "finetune": finetune,
        "encoder_pace": encoder_pace,
        "schedule": vars(plan),
        "augment": augment or {},
        "identity": vars(person),
        "attribute_weight": attribute_weight,
        "task_weights": task_weights,
        "identity_pace": identity_pace,
        "abstain": vars(silent),
        "seed": seed,
    }
    loop = Loop(out, plan, seed, resolved, report)
    device = loop.fabric.device
    walks: WalkTokens | WalkFrames
    with loop.fabric.rank_zero_first():
        if finetune:
            walks = WalkFrames(folder, model, settings, validation_people)
        else:
            walks = WalkTokens(folder, model, settings, validation_people, device)
    files = {name: file_hash(encoders / f"{name}.safetensors") for name in sorted(modalities)}
    loop.keep_inputs({"data": split_hashes(walks.train, walks.validation), "encoders": files})
    if isinstance(walks, WalkTokens):
        walks.fill(variants, plan.frames, jitter, seed, loop.report)
    else:
        walks.prepare_steps(plan, jitter, seed, loop.ranks)
    task = FusionTask(model, walks, loop, person, weighing)
    if not (resume and (out / "checkpoint.pt").exists()):
        task.fit()

    def pace(parameter: str) -> float:
        if ".encoders." in parameter:
            return encoder_pace
        if ".fusion." in parameter and (".part" in parameter or parameter.endswith(".gate")):
            return identity_pace
        return TRUST_PACE if ".trust." in parameter else 1.0

    loop.run(task.module, task.losses, task.validate, batch_of=task.batch, pace=pace, resume=resume)
    target = out / "weights"
    if loop.ranks.first:
        whole = task.module.whole().cpu().eval()
        figures = loop.validation | _set_straight(whole, task, loop)
        info = {
            "trained": True,
            "impostors": task.impostors(whole),
            "people": len(task.targets.people),
            "abstain": vars(silent),
        }
        weights.save(target, whole, settings=settings, fusion=shape, info=info)
        about: dict[str, Any] = {
            "data": data_cards or ["not stated"],
            "people": len(task.targets.people),
            "metrics": {"validation people": validation_people, **figures},
            "config": str(out / "config.yaml"),
        }
        for name in modalities:
            path = target / f"{name}.safetensors"
            if finetune:
                write_card(path, task=f"The streams of {name} to tokens, tuned with the fusion.", **about)
            else:  # byte for byte what was trained: its card speaks of that file
                shutil.copyfile(encoders / path.name, path)
        write_card(
            target / f"{weights.FUSION}.safetensors",
            task=f"Tokens of {' and '.join(sorted(modalities))} to identity, age, BMI and gender.",
            **about,
        )
    loop.fabric.barrier()
    return target


def _set_straight(whole: GaitModel, task: FusionTask, loop: Loop) -> dict[str, float]:
    """Calibrate the spreads on all modalities together and on each alone; returns and logs how they cover."""
    tokens = task.check_tokens(whole)
    some = [*([name] for name in tokens), list(tokens)] if len(tokens) > 1 else [list(tokens)]
    outputs = [fuse_walks(whole, {name: tokens[name] for name in names}) for names in some]
    figures = calibrate(whole, outputs, task.walks.validation)
    if figures:
        loop.log(loop.schedule.steps, figures)
    return figures


def _each(tasks: Sequence[str], weight: float | Mapping[str, float]) -> dict[str, float]:
    """The weight of every task."""
    if not isinstance(weight, Mapping):
        return dict.fromkeys(tasks, weight)
    known = ("age", "bmi", "gender")
    for name in weight:
        if name not in known:
            raise ConfigError(f"attribute_weight.{name}: there is no such task{did_you_mean(name, known)}")
    return {task: weight.get(task, 0.2) for task in tasks}


def _learnable(
    folder: WalkSet, validation_people: int, fusion: Mapping[str, Any], report: Report
) -> list[str]:
    """The tasks of the config that the people to train on have labels for."""
    asked = list(weights.resolved_fusion(fusion)["tasks"])
    outside = held_out(folder.subjects, validation_people)
    tasks = Targets([w for w in folder.walks if w.subject not in outside]).learnable(asked)
    for task in sorted(set(asked) - set(tasks)):
        report(f"too few people have a label of {task}: it is not learnt, and the weights will not tell it")
    return tasks


def _assemble(
    encoders: Path, modalities: Sequence[str], fusion: Mapping[str, Any], seed: int
) -> tuple[GaitModel, dict[str, Any], dict[str, Any]]:
    """Trained encoders and a fresh fusion; the encoders' configs and the fusion's."""
    states = {name: weights.read(encoders / f"{name}.safetensors") for name in sorted(modalities)}
    settings = {name: meta["config"] for name, (_, meta) in states.items()}
    dims = {meta["dim"] for _, meta in states.values()}
    if len(dims) != 1:
        raise InputError(f"the encoders' tokens have different sizes {sorted(dims)}; train them with one dim")
    shape = weights.sized(settings, {"dim": dims.pop(), "modalities": sorted(modalities), **fusion})
    model = weights.untrained(settings, shape, seed)
    for name, (tensors, _) in states.items():
        model.encoders[name].load_state_dict(tensors)
    return model, settings, shape
