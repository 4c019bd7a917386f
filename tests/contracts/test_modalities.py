"""What every registered modality keeps to, shipped or not yet written."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import io
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from gait3dlib import config, registry
from gait3dlib.errors import ConfigError
from gait3dlib.fusion import weights
from gait3dlib.modalities import Modality, Sample
from gait3dlib.modalities.silhouette import Silhouette
from gait3dlib.types import STREAM_SPECS, GaitSequence, Stream, StreamSpec, Tokens

NAMES = registry.names("modality")


MAX_BYTES = 4_000_000  # of an encoder of the default set


DIM = 32


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def modality(name: str) -> Modality:
    made: Modality = config.build(registry.get("modality", name), {})
    return made


@pytest.fixture
def samples(modality: Modality, strolls: list[GaitSequence]) -> list[Sample]:
    found = [modality.sample(seq) for seq in strolls[:3]]
    assert all(found), (
        "the simulation gives no stream that this modality reads; teach it, or extend the fixture"
    )
    return [sample for sample in found if sample is not None]


def test_the_file_is_the_class(name: str) -> None:
    module = importlib.import_module(f"gait3dlib.modalities.{name}")
    made = getattr(module, registry.class_name(name))
    assert made is registry.get("modality", name)
    assert made.__module__ == module.__name__
    assert issubclass(made, Modality)
    assert not inspect.isabstract(made)
    assert inspect.getdoc(made)


def test_streams_are_specs_that_everybody_shares(modality: Modality) -> None:
    assert modality.streams
    for spec in modality.streams:
        assert isinstance(spec, StreamSpec)
        assert STREAM_SPECS.get(spec.name, spec) is spec


def test_settings_are_its_attributes_and_rebuild_it(name: str, modality: Modality, tmp_path: Path) -> None:
    """Caches, fingerprints and weights files keep ``vars(modality)`` as its settings."""
    made = type(modality)
    assert vars(modality) == config.check(made, {})
    assert vars(config.build(made, vars(modality))) == vars(modality)
    with pytest.raises(ConfigError, match="not_a_setting: unknown key"):
        config.build(made, {"not_a_setting": 1})
    assert vars(tiny.sent(modality)) == vars(modality)
    config.write(tmp_path / "settings.yaml", vars(modality))
    assert config.read(tmp_path / "settings.yaml") == weights.resolved(name, {})


def test_a_sample_is_plain_numpy_on_the_walks_clock(modality: Modality, strolls: list[GaitSequence]) -> None:
    seq = strolls[0]
    sample = modality.sample(seq)
    assert sample is not None
    assert sample.frames.dtype in (np.uint8, np.float32)
    assert 0 < len(sample) == len(sample.frames) == len(sample.t_s)
    assert np.isfinite(sample.frames).all()
    assert sample.t_s.dtype == np.float32
    assert (np.diff(sample.t_s) > 0).all()
    assert sample.t_s[0] >= 0
    assert sample.t_s[-1] <= seq.duration_s + 1e-6
    assert set(sample.used) <= set(seq.streams)
    assert sample.used
    part = sample.take(np.array([2, 0]))
    np.testing.assert_array_equal(part.frames, sample.frames[[2, 0]])
    np.testing.assert_array_equal(part.t_s, sample.t_s[[2, 0]])
    assert part.used == sample.used


def test_a_sample_travels_and_is_the_same_again(modality: Modality, strolls: list[GaitSequence]) -> None:
    first, again = modality.sample(strolls[0]), modality.sample(tiny.sent(strolls[0]))
    assert first is not None
    assert again is not None
    for other in (again, tiny.sent(first)):
        np.testing.assert_array_equal(other.frames, first.frames)
        np.testing.assert_array_equal(other.t_s, first.t_s)
        assert other.used == first.used


def test_other_streams_change_nothing(modality: Modality, strolls: list[GaitSequence]) -> None:
    seq = strolls[0]
    whole = modality.sample(seq)
    assert whole is not None
    others = [
        name for name in seq.streams if name not in {s.name for s in modality.streams} | set(whole.used)
    ]
    assert others, "the walk must hold a stream that this modality does not read"
    alone = modality.sample(seq.without(*others))
    assert alone is not None
    np.testing.assert_array_equal(whole.frames, alone.frames)


def test_without_its_streams_there_is_no_sample(modality: Modality, strolls: list[GaitSequence]) -> None:
    seq = strolls[0]
    for spec in modality.streams[1:]:
        assert modality.sample(seq.without(spec.name)) is None
    sample = modality.sample(seq)
    assert sample is not None
    unrelated = GaitSequence({"nobody_reads_this": seq.streams[sample.used[0]]})
    assert modality.sample(unrelated) is None


def test_collate_pads_and_marks_who_lacks_it(modality: Modality, samples: list[Sample]) -> None:
    short = samples[1].take(np.arange(2))
    batch = modality.collate([samples[0], None, short])
    assert len(batch) == 3
    assert batch.lengths.tolist() == [len(samples[0]), 0, 2]
    assert batch.present.tolist() == [True, False, True]
    assert batch.frames.shape == (3, len(samples[0]), *samples[0].frames.shape[1:])
    assert batch.frames.dtype == torch.from_numpy(samples[0].frames[:0]).dtype
    np.testing.assert_array_equal(batch.frames[2, :2].numpy(), short.frames)
    np.testing.assert_array_equal(batch.t_s[0].numpy(), samples[0].t_s)
    assert batch.t_s[2, 2:].isnan().all()
    frames, owner = batch.real_frames()
    assert owner.tolist() == [0] * len(samples[0]) + [2, 2]
    np.testing.assert_array_equal(frames.numpy(), np.concatenate([samples[0].frames, short.frames]))
    with pytest.raises(ValueError, match="at least one walk that has the modality"):
        modality.collate([None, None])


def test_the_encoder_gives_tokens(modality: Modality, samples: list[Sample]) -> None:
    encoder = modality.encoder(DIM).eval()
    batch = modality.collate([samples[0], None, samples[1]])
    with torch.inference_mode():
        tokens = encoder(batch)
    assert isinstance(tokens, Tokens)
    b, n, d = tokens.values.shape
    assert (b, d) == (3, DIM)
    assert tokens.values.dtype == torch.float32
    assert tokens.values.isfinite().all()
    assert (tokens.real.shape, tokens.real.dtype) == ((b, n), torch.bool)
    assert tokens.real.any(dim=1).tolist() == [True, False, True]
    assert tokens.height.shape == (n,)
    known = tokens.height[~tokens.height.isnan()]
    assert ((known >= 0) & (known <= 1)).all()
    assert tokens.t_s.shape == (b, n)
    assert not torch.allclose(tokens.values[0], tokens.values[2]), "two people come out as one"


def test_the_encoder_learns_and_lies_within_the_size_of_the_default_set(
    modality: Modality, samples: list[Sample]
) -> None:
    encoder = modality.encoder(128)
    encoder.train()(modality.collate([*samples, None])).values.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())
    size = sum(t.numel() * t.element_size() for t in encoder.state_dict().values())
    assert size < MAX_BYTES
    held = io.BytesIO()
    torch.save(encoder.state_dict(), held)
    held.seek(0)
    modality.encoder(128).load_state_dict(torch.load(held, weights_only=True))


class FromDepth(Silhouette):
    """A modality that can make its first stream, and needs a second one beside it."""

    streams = (STREAM_SPECS["silhouette"], STREAM_SPECS["keypoints"])
    derives_from = ("depth",)

    def derive(self, seq: GaitSequence) -> Stream | None:
        """The outline of what the depth camera sees."""
        if "depth" not in seq.streams:
            return None
        depth = seq.streams["depth"]
        return Stream(np.where(depth.data > 0, 255, 0).astype(np.uint8), depth.t_ns)


def test_the_first_stream_may_be_made_from_others_and_the_rest_must_be_there(
    strolls: list[GaitSequence],
) -> None:
    seq, modality = strolls[0], FromDepth()
    given, made = modality.sample(seq), modality.sample(seq.without("silhouette"))
    assert given is not None
    assert made is not None
    np.testing.assert_array_equal(given.frames, Silhouette().sample(seq).frames)  # type: ignore[union-attr]
    assert made.frames.shape == given.frames.shape
    assert given.used == ("silhouette",)
    assert made.used == ("depth",), "the credit goes to what was recorded"
    assert np.mean(made.frames != given.frames) < 0.2, "the outline of one body, by two sensors"
    assert modality.sample(seq.without("keypoints")) is None
    assert modality.sample(seq.without("silhouette", "depth")) is None


def emptied(name: str, stream: Stream) -> Stream:
    """The same frames, in which the sensor found nobody."""
    if stream.offsets is not None:
        return dataclasses.replace(stream, data=stream.data[:0], offsets=np.zeros_like(stream.offsets))
    nothing = np.nan if name == "joints" else 0
    return dataclasses.replace(stream, data=np.full_like(stream.data, nothing))


def test_a_walk_without_a_usable_frame_has_no_sample(modality: Modality, strolls: list[GaitSequence]) -> None:
    """Whichever of the streams it was made from is empty, and all of them."""
    sample = modality.sample(strolls[0])
    assert sample is not None
    held = {name: strolls[0].streams[name] for name in sample.used}
    empty = {name: emptied(name, stream) for name, stream in held.items()}
    assert modality.sample(GaitSequence(held)) is not None
    assert modality.sample(GaitSequence(empty)) is None
    for name in held:
        assert modality.sample(GaitSequence({**held, name: empty[name]})) is None, name
