"""Law 8: every config builds, takes a training step on a batch of 2 x 2 walks of 4 frames, and evaluates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny

from gait3dlib import Pipeline, _resources, config, registry, training
from gait3dlib.fusion import weights
from gait3dlib.recording import open_recording

CONFIGS = _resources.shipped("configs")
ALL = sorted(p for p in CONFIGS.rglob("*.yaml") if p.parent.name != "protocols")
READ = {path.relative_to(CONFIGS).with_suffix("").as_posix(): config.read(path) for path in ALL}
JOINED = sorted(name for name, values in READ.items() if isinstance(values.get("start"), list))
ENCODERS = sorted(
    name
    for name, values in READ.items()
    if values["recipe"] == "encoder" and "/" not in name and name not in JOINED
)
MOTION = sorted(name for name, values in READ.items() if values["recipe"] == "motion")
OPENGAIT = sorted(name for name in READ if name.startswith("opengait/"))
FUSIONS = sorted(name for name, values in READ.items() if values["recipe"] == "fusion")
SMALL = [
    "schedule.steps=1",
    "schedule.people=2",
    "schedule.walks=2",
    "schedule.frames=4",
    "schedule.prefetch=0",
]
# the same layers, each with few channels: what a config says of depth, order and losses stays
THIN = {"silhouette": "network.widths=[4, 4, 8, 8]", "skeleton_silhouette": "network.widths=[4, 4, 8, 8]"}
NARROW: dict[str, dict[str, Any]] = {
    "lidar": {"width": 4, "points": 64},
    "mesh": {"source": "silhouette", "width": 4, "depth": 2},
    "force": {"width": 8},
    "silhouette": {"width": 8},
    "skeleton_map": {"width": 8},
}


def train(name: str, out: Path, *overrides: str) -> Path:
    return training.train(
        CONFIGS / f"{name}.yaml", out, overrides=[*SMALL, *overrides], report=lambda text: None
    )


@pytest.mark.parametrize("name", ENCODERS)
def test_every_encoder_takes_a_step_and_evaluates(name: str, small_world: Path, tmp_path: Path) -> None:
    tiny.prepare(small_world, READ[name]["modality"])
    made = train(name, tmp_path, f"data={small_world}", "validation_people=2")
    assert weights.read(made)[1]["trained"] is True
    assert "validation_rank1" in (tmp_path / "metrics.csv").read_text()


@pytest.mark.parametrize("name", MOTION)
def test_every_motion_goes_on_from_its_strips(name: str, small_world: Path, tmp_path: Path) -> None:
    before = name.rsplit("_", 1)[0]
    for config_of in (before, name):
        tiny.prepare(small_world, READ[config_of]["modality"])
    here = [f"data={small_world}", "validation_people=2"]
    start = train(before, tmp_path / "strips", *here)
    made = train(name, tmp_path / "motion", *here, f"start={start}")
    (settings,) = READ[name]["modality"].values()
    assert weights.read(made)[1]["config"]["encoder"] == settings["encoder"] == name.rsplit("_", 1)[1]


@pytest.mark.parametrize("name", JOINED)
def test_what_is_joined_is_what_was_trained_before(name: str, small_world: Path, tmp_path: Path) -> None:
    ((modality, settings),) = READ[name]["modality"].items()
    starts = []
    for before in READ[name]["start"]:
        config_of = Path(before).parent.name
        tiny.prepare(small_world, READ[config_of]["modality"])
        given = weights.resolved(modality, READ[config_of]["modality"][modality])
        state = weights.untrained({modality: given}, {"dim": 128}).encoders[modality].state_dict()
        meta = {"kind": "modality", "name": modality, "dim": 128, "config": given, "trained": True}
        starts.append(tmp_path / f"{config_of}.safetensors")
        weights.write(starts[-1], state, meta)
    tiny.prepare(small_world, READ[name]["modality"])
    where = [f"data={small_world}", "validation_people=2", f"start=[{','.join(map(str, starts))}]"]
    made = train(name, tmp_path / "joined", *where, "schedule.steps=0")
    assert weights.read(made)[1]["config"]["encoder"] == settings["encoder"]


def test_every_modality_has_a_config_that_trains_it() -> None:
    assert {m for name in ENCODERS for m in READ[name]["modality"]} == set(registry.names("modality"))


@pytest.fixture(scope="module")
def encoders(small_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thin encoders of every modality: what a config of a fusion says is what comes after them."""
    out = tmp_path_factory.mktemp("encoders")
    for name in registry.names("modality"):
        settings = weights.resolved(name, NARROW.get(name, {}))
        tiny.prepare(small_world, {name: settings})
        state = weights.untrained({name: settings}, {"dim": 32}).encoders[name].state_dict()
        meta = {"kind": "modality", "name": name, "dim": 32, "config": settings, "trained": True}
        weights.write(out / f"{name}.safetensors", state, meta)
    return out


@pytest.mark.parametrize("name", FUSIONS)
def test_every_fusion_takes_a_step_and_embeds(
    name: str, encoders: Path, small_world: Path, tmp_path: Path
) -> None:
    data = [f"data={small_world}", f"encoders={encoders}", "validation_people=2", "variants=1"]
    folder = train(name, tmp_path, *data)
    recording = open_recording(next(small_world.glob("*.h5")))
    with Pipeline.from_pretrained(folder, device="cpu") as pipeline, recording:
        assert pipeline.trained
        assert list(pipeline.modalities) == sorted(READ[name]["modalities"])
        assert pipeline.embed(recording.sequence(0)).size <= 1024
    assert "rank1_" in (tmp_path / "metrics.csv").read_text()


@pytest.mark.parametrize("name", OPENGAIT)
def test_opengaits_recipes_take_a_step_and_evaluate(name: str, small_world: Path, tmp_path: Path) -> None:
    """With few channels and on other data: the public data sets are their owners'."""
    values: dict[str, Any] = READ[name]
    (modality,) = values["modality"]
    thin = f"modality.{modality}.{THIN.get(modality, 'width=4')}"
    small = config.read(CONFIGS / f"{name}.yaml", [thin])["modality"]
    tiny.prepare(small_world, small)
    sampler = ["schedule.sampler.frames=4"]
    if "at_least" in values["schedule"]["sampler"]:
        sampler.append("schedule.sampler.at_least=2")
    made = train(
        name,
        tmp_path,
        f"data={small_world}",
        "validation_people=2",
        "dim=8",
        thin,
        *sampler,
        "schedule.precision=32-true",
    )
    tensors, meta = weights.read(made)
    assert meta["config"] == weights.resolved(modality, small[modality])
    assert all(t.isfinite().all() for t in tensors.values() if t.is_floating_point())
    assert "validation_rank1" in (tmp_path / "metrics.csv").read_text()


def test_opengaits_recipes_say_what_the_paper_says() -> None:
    """P, K, steps, milestones of the published recipes, from their tables."""
    wanted = {
        "deepgaitv2_gait3d": (32, 4, 60_000, [20_000, 40_000, 50_000]),
        "deepgaitv2_grew": (32, 4, 180_000, [80_000, 120_000, 150_000]),
        "deepgaitv2_casia_b": (8, 16, 60_000, [20_000, 40_000, 50_000]),
        "deepgaitv2_ou_mvlp": (32, 8, 120_000, [60_000, 80_000, 100_000]),
        "deepgaitv2_ccpg": (8, 16, 60_000, [20_000, 40_000, 50_000]),
        "deepgaitv2_sustech1k": (8, 8, 50_000, [20_000, 30_000, 40_000]),
        "gaitbase_gait3d": (32, 4, 60_000, [20_000, 40_000, 50_000]),
        "skeletongait_pp_gait3d": (32, 4, 60_000, [20_000, 30_000, 40_000]),
        "skeletongait_pp_sustech1k": (8, 8, 50_000, [20_000, 30_000, 40_000]),
        "lidargait_sustech1k": (8, 8, 40_000, [20_000, 30_000]),
        "lidargaitpp_sustech1k": (32, 4, 40_000, None),
    }
    assert {name.removeprefix("opengait/") for name in OPENGAIT} == set(wanted)
    for name, (people, walks, steps, milestones) in wanted.items():
        plan = READ[f"opengait/{name}"]["schedule"]
        assert (plan["people"], plan["walks"], plan["steps"]) == (people, walks, steps)
        assert plan.get("milestones") == milestones
        assert (plan["optimiser"], plan["lr"], plan["weight_decay"]) == ("sgd", 0.1, 0.0005)
