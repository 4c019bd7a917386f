"""Recordings: what is written comes back, and what is damaged or hostile is refused in one sentence."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import gait3dlib
from gait3dlib.errors import InputError, RecordingError
from gait3dlib.recording import Truth, _hdf5, load, open_recording, save
from gait3dlib.types import Calibration, GaitSequence, Labels, Meta, Stream


def assert_same_stream(have: Stream, want: Stream) -> None:
    for name in ("data", "t_ns", "offsets", "boxes"):
        a, b = getattr(have, name), getattr(want, name)
        assert (a is None) == (b is None), name
        if b is not None:
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)
    assert (have.units, have.layout) == (want.units, want.layout)
    assert (have.calibration is None) == (want.calibration is None)
    if want.calibration is not None and have.calibration is not None:
        a, b = dataclasses.asdict(have.calibration), dataclasses.asdict(want.calibration)
        np.testing.assert_array_equal(a.pop("extrinsics"), b.pop("extrinsics"))
        assert a == b


def assert_same_walk(have: GaitSequence, want: GaitSequence) -> None:
    assert set(have.streams) == set(want.streams)
    for name, stream in want.streams.items():
        assert_same_stream(have.streams[name], stream)
    assert (have.subject, have.meta) == (want.subject, want.meta)


# ---- what is written comes back -------------------------------------------------------------------


def test_a_walk_comes_back_as_it_was(tmp_path: Path, walk: GaitSequence) -> None:
    path = gait3dlib.save(tmp_path / "walk.h5", walk)
    assert path == tmp_path / "walk.h5"
    assert_same_walk(gait3dlib.load(str(path)), walk)
    assert os.listdir(tmp_path) == ["walk.h5"]


def test_an_anonymous_walk_without_labels_comes_back(tmp_path: Path, walk: GaitSequence) -> None:
    bare = GaitSequence({"silhouette": walk.streams["silhouette"]})
    assert_same_walk(load(save(tmp_path / "w.h5", bare)), bare)


dtypes = st.sampled_from(["uint8", "int16", "uint16", "int64", "float16", "float32", ">f8", "bool"])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_stream_comes_back(tmp_path: Path, data: Any) -> None:
    frames = data.draw(st.integers(1, 6))
    ragged = data.draw(st.booleans())
    offsets = None
    if ragged:
        counts = data.draw(st.lists(st.integers(0, 5), min_size=frames, max_size=frames))
        offsets = np.cumsum([0, *counts])
    rows = int(offsets[-1]) if offsets is not None else frames
    tail = data.draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5))
    array = data.draw(hnp.arrays(data.draw(dtypes), (rows, *tail)))
    steps = data.draw(st.lists(st.integers(1, 10**10), min_size=frames, max_size=frames))
    number = st.floats(allow_nan=False, allow_infinity=False)
    calibration = Calibration(
        640,
        480,
        *data.draw(st.tuples(number, number, number, number)),
        extrinsics=data.draw(hnp.arrays("float64", (4, 4), elements=number)),
        depth_scale_m=data.draw(st.none() | number),
    )
    stream = Stream(
        array,
        np.cumsum(steps),
        data.draw(st.sampled_from(["1", "m", "", "kg·m²"])),
        offsets,
        data.draw(st.none() | st.sampled_from(["coco17", "own"])),
        data.draw(st.none() | hnp.arrays("float32", (frames, 4))),
        calibration,
    )
    walk = GaitSequence({"plugin": stream}, meta=Meta(covariates={"µ": "ß"}))
    assert_same_walk(load(save(tmp_path / "any.h5", walk)), walk)


def test_a_stream_larger_than_a_chunk_comes_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    depth = rng.integers(0, 5000, (40, 90, 120), dtype=np.uint16)
    walk = GaitSequence({"depth": Stream(depth, np.arange(40) + 1, "mm")})
    path = save(tmp_path / "depth.h5", walk)
    assert_same_walk(load(path), walk)
    with h5py.File(path) as file:
        data = file["walks/0/depth/data"]
        assert (data.compression, data.compression_opts, data.shuffle) == ("gzip", 1, True)
        assert data.chunks == (3, 90, 120)  # as many whole frames as 64 KiB hold


def test_several_walks_want_a_choice(tmp_path: Path, walk: GaitSequence) -> None:
    other = dataclasses.replace(walk.without("points"), subject=None, meta=Meta(view_deg=0.0))
    path = save(tmp_path / "walks.h5", walk, other)
    with pytest.raises(InputError, match=r"0: p01, 0\.4 s, keypoints, points, silhouette; 1: nobody named"):
        load(path)
    assert_same_walk(load(path, 1), other)
    for wrong in (2, -1):
        with pytest.raises(InputError, match=f"has no walk {wrong}"):
            load(path, wrong)
    with open_recording(path) as recording:
        assert len(recording) == 2
        assert [info.subject for info in recording.walks] == ["p01", None]
        assert recording.walks[0].duration_s == pytest.approx(walk.duration_s)
        assert recording.walks[0].start_ns == walk.start_ns
        assert recording.walks[1].meta.view_deg == 0.0
        assert list(recording.streams) == []
        assert len(recording.streams) == 0
        assert recording.recovered == {}
        for have, want in zip(recording, (walk, other), strict=True):
            assert_same_walk(have, want)


def test_long_lists_of_walks_are_cut_short(tmp_path: Path, walk: GaitSequence) -> None:
    tiny = walk.without("points", "keypoints")
    with open_recording(save(tmp_path / "many.h5", *[tiny] * 13)) as recording:
        assert recording.summary().endswith("; and 3 more")


def test_truth_is_kept_apart_from_the_streams(tmp_path: Path, walk: GaitSequence) -> None:
    truth = Truth(
        Labels(age_years=np.float32(30.0), gender="male"),  # type: ignore[arg-type]
        {"joints": np.arange(12.0).reshape(2, 2, 3), "speed": np.array(1.25), "none": np.zeros((0, 3))},
    )
    path = save(tmp_path / "sim.h5", walk, walk, truths=[None, truth], consent_ref="none needed: simulated")
    with open_recording(path) as recording:
        assert recording.truth(0) is None
        kept = recording.truth(1)
        assert recording.consent_ref == "none needed: simulated"
        assert recording.clock == "own"
    assert kept is not None
    assert kept.labels == Labels(age_years=30.0, gender="male")
    assert set(kept.arrays) == {"joints", "speed", "none"}
    for name, array in truth.arrays.items():
        np.testing.assert_array_equal(kept.arrays[name], array)
        assert kept.arrays[name].dtype == array.dtype
    assert_same_walk(load(path, 1), walk)
    with open_recording(save(tmp_path / "real.h5", walk)) as recording:
        assert recording.truth(0) is None


def test_frames_larger_than_a_chunk_may_be_are_cut() -> None:
    assert _hdf5.chunk_shape((0, 480, 640), 2) == (1, 480, 640)
    assert _hdf5.chunk_shape((7, 0), 4) == (16384, 1)
    chunk = _hdf5.chunk_shape((3, 20_000, 20_001, 3), 4)
    assert np.prod(chunk) * 4 <= _hdf5.MAX_CHUNK_BYTES
    assert min(chunk) >= 1


# ---- what cannot be written -----------------------------------------------------------------------


def test_save_refuses_what_it_could_not_give_back(tmp_path: Path, walk: GaitSequence) -> None:
    path = tmp_path / "w.h5"
    replace = dataclasses.replace
    stream = walk.streams["silhouette"]
    color = GaitSequence({"color": Stream(np.zeros((1, 2, 2, 3), np.uint8), np.array([1]))})
    truth = Truth(Labels(), {"x": np.array(["text"])})
    for sentence, call in {
        "no walk to save": lambda: save(path),
        "1 walks were given with 2 truths": lambda: save(path, walk, truths=[None, None]),
        "colour is stored only when asked": lambda: save(path, color),
        "a subject must have a name": lambda: save(path, replace(walk, subject="")),
        "printable text": lambda: save(path, replace(walk, subject="a\0b")),
        "'\\\\ud800' cannot be stored": lambda: save(path, replace(walk, subject="\ud800")),
        "3 cannot be stored": lambda: save(path, replace(walk, meta=Meta(covariates={"bag": 3}))),  # type: ignore[dict-item]
        "finite": lambda: save(path, replace(walk, meta=Meta(labels=Labels(age_years=np.nan)))),
        "'../x' cannot be a name": lambda: save(path, GaitSequence({"../x": stream})),
        "without NUL": lambda: save(path, GaitSequence({"x": replace(stream, units="a\0")})),
        "array of numbers": lambda: save(path, walk, truths=[truth]),
    }.items():
        with pytest.raises(InputError, match=sentence):
            call()
    assert os.listdir(tmp_path) == []
    save(path, color, store_color=True)
    assert_same_walk(load(path), color)


def test_save_replaces_a_file_whole_or_not_at_all(tmp_path: Path, walk: GaitSequence) -> None:
    path = save(tmp_path / "w.h5", walk)
    with pytest.raises(InputError):
        save(path, walk, truths=[Truth(Labels(), {"x": np.array(["text"])})])
    assert_same_walk(load(path), walk)
    assert os.listdir(tmp_path) == ["w.h5"]
    with pytest.raises(RecordingError, match="cannot be written: No such file or directory"):
        save(tmp_path / "absent" / "w.h5", walk)


def test_a_full_disk_is_one_sentence_and_leaves_the_old_file(tmp_path: Path, walk: GaitSequence) -> None:
    path = save(tmp_path / "w.h5", walk)
    before = path.read_bytes()
    code = f"""
import resource, signal, sys
import numpy as np
from gait3dlib.errors import RecordingError
from gait3dlib.recording import save
from gait3dlib.types import GaitSequence, Stream
noise = np.random.default_rng(0).integers(0, 255, (20, 300, 300), dtype=np.uint8)
walk = GaitSequence({{"silhouette": Stream(noise, np.arange(20))}})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    save({str(path)!r}, walk)
except RecordingError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, "HDF5 must not end the process"
    assert "cannot be written: File too large" in done.stdout, done.stderr
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["w.h5"]


def test_a_flipped_bit_is_never_a_wrong_answer(tmp_path: Path, walk: GaitSequence) -> None:
    """Damage anywhere: the very same walk comes back, or one sentence says that the file is damaged."""
    path = save(tmp_path / "w.h5", walk)
    content = path.read_bytes()
    rng = np.random.default_rng(1)
    refusals = 0
    for place in rng.choice(len(content), 200, replace=False):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            have = load(path)
        except InputError:
            refusals += 1
        else:
            assert_same_walk(have, walk)
    assert refusals > 100
