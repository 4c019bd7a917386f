"""Strips that look along time: one clock for all walks, order and rate, and what they learn from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from gait3dlib import training
from gait3dlib.errors import ConfigError, WeightsError
from gait3dlib.fusion import weights
from gait3dlib.modalities import Batch
from gait3dlib.modalities._clock import LONGEST_GAP_S, RATE_HZ, on_one_clock
from gait3dlib.modalities._motion import MotionStrips
from gait3dlib.modalities._stride_strips import PATHS, TOKENS, StrideStrips
from gait3dlib.modalities._strips import StripEncoder
from tests import tiny

MOTION = {"silhouette": {"encoder": "motion", "width": 8, "strips": 4}}


def batch_of(*times: list[float]) -> tuple[Batch, torch.Tensor]:
    """Walks with frames at these times, and whose frames they are."""
    t_s = torch.zeros(len(times), max(map(len, times)))
    for row, held in enumerate(times):
        t_s[row, : len(held)] = torch.tensor(held)
    lengths = torch.tensor([len(held) for held in times])
    frames = torch.zeros(*t_s.shape, 1)
    return Batch(frames, lengths, t_s), torch.repeat_interleave(torch.arange(len(times)), lengths)


def noisy(*lengths: int, rate: float = 15.0, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    frames = torch.randint(0, 256, (len(lengths), max(lengths), 1, 64, 44), generator=generator)
    t_s = (torch.arange(max(lengths)) / rate).expand(len(lengths), -1)
    return Batch(frames.to(torch.uint8), torch.tensor(lengths), t_s)


def ready(seed: int = 0) -> MotionStrips:
    torch.manual_seed(seed)
    return MotionStrips(1, 8, width=8, strips=4, motion=8).eval()


@pytest.fixture(params=["motion", "stride"])
def encoder(request: pytest.FixtureRequest) -> MotionStrips | StrideStrips:
    torch.manual_seed(0)
    return ready() if request.param == "motion" else StrideStrips(1, 8, width=8, strips=4).eval()


def test_what_changes_evenly_is_the_same_at_every_rate() -> None:
    times = [[k / rate for k in range(round(rate) + 1)] for rate in (15.0, 30.0, 10.0, 7.0)]
    batch, owner = batch_of(*times)
    values = torch.cat([torch.tensor(held) for held in times])[:, None]
    steps, known = on_one_clock(values, owner, batch)
    assert steps.shape == (4, 16, 1)
    assert known.all()
    torch.testing.assert_close(steps[..., 0], (torch.arange(16) / RATE_HZ).expand(4, -1), atol=1e-5, rtol=0)


def test_nothing_is_guessed_across_a_gap() -> None:
    batch, owner = batch_of([0.0, 0.1, 0.1 + 2 * LONGEST_GAP_S, 0.8])
    steps, known = on_one_clock(torch.ones(4, 1), owner, batch)
    at = torch.arange(known.shape[1]) / RATE_HZ
    inside = (at > 0.1 + 0.6 / RATE_HZ) & (at < 0.6 - 0.6 / RATE_HZ)
    assert inside.sum() >= 5
    assert not known[0, inside].any()
    assert known[0, (at < 0.1 + 0.4 / RATE_HZ) | (at > 0.6 - 0.4 / RATE_HZ)].all()
    assert steps[0, inside].abs().max() == 0


def test_a_walk_s_own_start_and_the_order_of_frames_count_for_nothing(
    encoder: MotionStrips | StrideStrips,
) -> None:
    batch = noisy(12)
    mixed = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        wanted = encoder(batch).values
        later = encoder(Batch(batch.frames, batch.lengths, batch.t_s + 3.0)).values
        shuffled = encoder(Batch(batch.frames[:, mixed], batch.lengths, batch.t_s[:, mixed])).values
    torch.testing.assert_close(later, wanted, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(shuffled, wanted, atol=1e-5, rtol=1e-5)


def test_frames_at_other_times_are_another_walk(encoder: MotionStrips | StrideStrips) -> None:
    """Else it would be a set of frames again."""
    batch = noisy(12)
    with torch.inference_mode():
        backwards = encoder(Batch(batch.frames.flip(1), batch.lengths, batch.t_s)).values
        assert (backwards - encoder(batch).values).abs().max() > 1e-3


def test_a_ragged_batch_equals_its_walks_one_by_one(encoder: MotionStrips | StrideStrips) -> None:
    batch = noisy(12, 1, 0, 7)
    with torch.inference_mode():
        tokens = encoder(batch)
        for row, length in enumerate(batch.lengths.tolist()):
            if not length:
                assert not tokens.real[row].any()
                assert not tokens.values[row].any()
                continue
            one = Batch(
                batch.frames[row : row + 1, :length], batch.lengths[row : row + 1], batch.t_s[:1, :length]
            )
            torch.testing.assert_close(tokens.values[row], encoder(one).values[0], atol=1e-5, rtol=1e-5)


def test_a_wrong_stamp_costs_no_memory() -> None:
    batch = noisy(3)
    t_s = torch.tensor([[0.0, 0.1, 1e9]])
    with torch.inference_mode():
        assert ready()(Batch(batch.frames, batch.lengths, t_s)).values.isfinite().all()


def test_it_starts_as_the_strips_it_was_given(small_world: Path, tmp_path: Path) -> None:
    strips = tiny.train_encoder("silhouette", small_world, tmp_path / "strips")
    run(small_world, strips, tmp_path / "motion", steps=2)
    before, _ = weights.read(strips)
    after, info = weights.read(tmp_path / "motion" / "silhouette.safetensors")
    assert info["config"]["encoder"] == "motion"
    trunk = [name for name in before if name.startswith("trunk.")]
    assert trunk
    for name in trunk:
        torch.testing.assert_close(after[name], before[name], atol=0, rtol=0)
    assert not (tmp_path / "motion" / "features.npy").exists()


def test_kept_features_are_what_the_whole_encoder_sees(small_world: Path, tmp_path: Path) -> None:
    """Trained from features of frames, used from frames: the same tokens, but for the features' rounding."""
    torch.manual_seed(0)
    encoder, batch = MotionStrips(1, 8, width=8, strips=4).eval(), noisy(9, 5)
    frames, owner = batch.real_frames()
    with torch.inference_mode():
        kept = encoder.features(frames).half().float()
        torch.testing.assert_close(
            encoder.tokens(kept, owner, batch).values, encoder(batch).values, atol=2e-3, rtol=2e-3
        )


def test_a_run_that_was_cut_off_ends_in_the_same_weights(small_world: Path, tmp_path: Path) -> None:
    strips = tiny.train_encoder("silhouette", small_world, tmp_path / "strips")
    whole = run(small_world, strips, tmp_path / "whole", steps=4)

    class CutOff(Exception):
        pass

    def cut(text: str) -> None:
        if text.startswith("step 2/"):
            raise CutOff

    with pytest.raises(CutOff):
        run(small_world, strips, tmp_path / "cut", steps=4, report=cut)
    again = run(small_world, strips, tmp_path / "cut", steps=4, resume=True)
    for name, tensor in weights.read(whole)[0].items():
        torch.testing.assert_close(weights.read(again)[0][name], tensor, atol=0, rtol=0)


def test_the_stride_is_motion_and_paths_side_by_side(small_world: Path, tmp_path: Path) -> None:
    strips = tiny.train_encoder("silhouette", small_world, tmp_path / "strips")
    moving = run(small_world, strips, tmp_path / "motion", steps=2)
    seeing = {"encoder": "paths", "width": PATHS, "strips": TOKENS}
    pose = train_encoder(small_world, tmp_path / "paths", seeing, steps=2)
    both = {**MOTION["silhouette"], "encoder": "stride"}
    path = train_encoder(small_world, tmp_path / "stride", both, steps=0, start=[moving, pose])
    batch, found = noisy(12, 7), []
    for made in (moving, pose, path):
        tensors, info = weights.read(made)
        encoder = weights.make_modality("silhouette", info["config"]).encoder(16).eval()
        encoder.load_state_dict(tensors)
        with torch.inference_mode():
            found.append(encoder(batch).values)
    torch.testing.assert_close(found[2], torch.cat(found[:2], dim=1), atol=1e-4, rtol=1e-4)
    shape = weights.sized({"silhouette": both}, {"kind": "discriminant", "dim": 16})
    assert shape["tokens"] == {"silhouette": found[2].shape[1]}


def train_encoder(
    data: Path, out: Path, settings: dict[str, object], *, steps: int, start: list[Path] | None = None
) -> Path:
    tiny.prepare(data, {"silhouette": settings})
    return training.train_encoder(
        modality={"silhouette": settings},
        data=data,
        out=out,
        dim=16,
        validation_people=1,
        schedule={**tiny.SCHEDULE, "steps": steps, "frames": 8},
        start=start,
        report=lambda text: None,
    )


def test_a_part_that_nobody_gave_is_refused(small_world: Path, tmp_path: Path) -> None:
    strips = tiny.train_encoder("silhouette", small_world, tmp_path / "strips")
    both = {**MOTION["silhouette"], "encoder": "stride"}
    with pytest.raises(WeightsError):
        train_encoder(small_world, tmp_path / "stride", both, steps=0, start=[strips])


def test_absorbing_a_norm_of_both_kinds_of_tokens_is_the_norm() -> None:
    torch.manual_seed(0)
    encoder, batch = StrideStrips(1, 8, width=8, strips=4).eval().double(), noisy(12, 9, 10)
    norm = torch.nn.BatchNorm1d((4 + TOKENS) * 8).double().eval()
    for held in (norm.running_mean, norm.weight.data, norm.bias.data):
        assert held is not None
        held.normal_()
    with torch.inference_mode():
        wanted = norm(encoder(batch).values.flatten(1))
        encoder.absorb(norm)
        torch.testing.assert_close(encoder(batch).values.flatten(1), wanted)


def test_only_strips_can_be_given_motion(small_world: Path, tmp_path: Path) -> None:
    strips = tiny.train_encoder("silhouette", small_world, tmp_path / "strips")
    with pytest.raises(ConfigError, match="trains motion"):
        run(small_world, strips, tmp_path / "a", modality={"silhouette": {"width": 8, "strips": 4}})
    other = {"silhouette": {**MOTION["silhouette"], "width": 16}}
    with pytest.raises(WeightsError):
        run(small_world, strips, tmp_path / "b", modality=other)


def run(data: Path, start: Path, out: Path, *, steps: int = 2, **words: object) -> Path:
    settings = {
        "modality": MOTION,
        "start": start,
        "data": data,
        "out": out,
        "dim": 16,
        "validation_people": 1,
        "schedule": {**tiny.SCHEDULE, "steps": steps, "frames": 8},
        "report": lambda text: None,
        **words,
    }
    tiny.prepare(data, settings["modality"])  # type: ignore[arg-type]
    return training.train_motion(**settings)  # type: ignore[arg-type]


def test_tokens_without_motion_are_those_of_strips() -> None:
    motion, strips = ready(), StripEncoder(1, 8, 8, 4).eval()
    held = {k: v for k, v in motion.state_dict().items() if not k.startswith("motion.")}
    looks = held["project"][:, :64]
    strips.load_state_dict({**held, "project": looks})
    with torch.no_grad():
        motion.project[:, 64:] = 0
        batch = noisy(6, 4)
        torch.testing.assert_close(motion(batch).values, strips(batch).values, atol=1e-6, rtol=1e-6)


def test_the_config_is_written_and_read_again(tmp_path: Path) -> None:
    made = weights.make_modality("silhouette", weights.resolved("silhouette", MOTION["silhouette"]))
    again = json.loads(json.dumps(vars(made)))
    assert isinstance(weights.make_modality("silhouette", again).encoder(8), MotionStrips)
