"""Recordings: what is written comes back, and what is damaged or hostile is refused in one sentence."""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import subprocess
import sys
import zlib
from collections.abc import Callable
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


def test_a_recording_of_another_program_may_have_plain_attributes(tmp_path: Path, walk: GaitSequence) -> None:
    """Text of fixed length, no units, no chunks and no compression: all of it is HDF5."""
    path = save(tmp_path / "w.h5", walk.without("points"))
    with h5py.File(path, "r+") as file:
        home = file["walks/0/keypoints"]
        home.attrs["layout"] = np.bytes_(b"coco17")
        remake(home, "data", data=home["data"][:])
        del file["walks/0/silhouette"].attrs["units"]
    assert_same_walk(load(path), walk.without("points"))


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


# ---- files that are damaged, foreign or hostile ---------------------------------------------------


def refused(path: Path, sentence: str, error: type[Exception] = RecordingError) -> None:
    with pytest.raises(error, match=sentence) as caught:
        load(path)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_files_that_are_no_recordings(tmp_path: Path) -> None:
    refused(tmp_path / "absent.h5", "there is no recording file")
    refused(tmp_path, "there is no recording file")
    path = tmp_path / "x.h5"
    path.touch()
    refused(path, "is an empty file")
    path.write_text("subject,age\n")
    refused(path, "does not start like an HDF5 file")
    path.write_bytes(b"\x89HDF\r\n\x1a\n")
    refused(path, "is damaged")
    with h5py.File(path, "w") as file:
        file["x"] = 1
    refused(path, "not a gait3dlib recording")
    with h5py.File(path, "w") as file:
        file.attrs["schema"] = 9
    refused(path, "has schema 9, this gait3dlib reads 1; upgrade")
    with h5py.File(path, "w") as file:
        file.attrs["schema"] = 1
    refused(path, "lacks /walks")


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.999])
def test_a_truncated_file_is_refused(tmp_path: Path, walk: GaitSequence, share: float) -> None:
    path = save(tmp_path / "w.h5", walk)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    refused(path, "is truncated|is damaged")


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


def remake(item: h5py.Group, name: str, **create: Any) -> None:
    del item[name]
    item.create_dataset(name, **create)


GZIP = {"compression": "gzip", "compression_opts": 1}


def huge(stream: h5py.Group) -> None:
    remake(stream, "data", shape=(12, 2**20, 2**12), dtype="u1", chunks=(1, 64, 64), **GZIP)


def huge_chunk(stream: h5py.Group) -> None:
    big = {"maxshape": (None, None, None), "chunks": (1, 2**15, 2**15)}
    remake(stream, "data", shape=(12, 32, 22), dtype="u1", **big, **GZIP)


def too_much_at_once(stream: h5py.Group) -> None:
    """More than a walk may hold, behind bytes enough to be plausible."""
    rows = 2**17
    remake(stream, "data", shape=(rows, 300, 300), dtype="u1", chunks=(1, 300, 300), **GZIP)
    noise = np.random.default_rng(0).integers(0, 255, (130, 300, 300), dtype=np.uint8)
    stream["data"][:130] = noise


def bomb(stream: h5py.Group) -> None:
    """A chunk of 4 MiB that would inflate to two GiB."""
    squeeze, zeros = zlib.compressobj(9), bytes(2**24)
    head, again = (squeeze.compress(zeros) + squeeze.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    raw = head + 127 * again
    chunk = (1, 2**11, 2**11)
    remake(stream, "data", shape=(12, 2**11, 2**11), dtype="u1", chunks=chunk, **GZIP)
    stream["data"].id.write_direct_chunk((0, 0, 0), raw)


def long_chunk(stream: h5py.Group) -> None:
    remake(stream, "data", shape=(12, 32, 22), dtype="u1", chunks=(1, 32, 22), **GZIP)
    stream["data"].id.write_direct_chunk((0, 0, 0), bytes(100_000))


def foreign_filter(stream: h5py.Group) -> None:
    remake(stream, "data", shape=(12, 32, 22), dtype="u1", chunks=(1, 32, 22), compression="lzf")


def external_bytes(stream: h5py.Group) -> None:
    remake(stream, "data", shape=(12, 32, 22), dtype="u1", external=[("/etc/passwd", 0, 12 * 32 * 22)])


def virtual(stream: h5py.Group) -> None:
    layout = h5py.VirtualLayout((12, 32, 22), "u1")
    layout[:] = h5py.VirtualSource("other.h5", "x", (12, 32, 22))
    del stream["data"]
    stream.create_virtual_dataset("data", layout)


def external_link(stream: h5py.Group) -> None:
    del stream["data"]
    stream["data"] = h5py.ExternalLink("other.h5", "/x")


def soft_link(stream: h5py.Group) -> None:
    del stream["data"]
    stream["data"] = h5py.SoftLink("/walks/table")


def objects(stream: h5py.Group) -> None:
    remake(stream, "data", data=["a", "b"])


def references(stream: h5py.Group) -> None:
    remake(stream, "data", shape=(12,), dtype=h5py.ref_dtype)


def scalar(stream: h5py.Group) -> None:
    remake(stream, "data", data=3)


def group_for_data(stream: h5py.Group) -> None:
    del stream["data"]
    stream.create_group("data")


def no_data(stream: h5py.Group) -> None:
    del stream["data"]


def no_times(stream: h5py.Group) -> None:
    del stream["t_ns"]


def float_times(stream: h5py.Group) -> None:
    remake(stream, "t_ns", data=np.arange(12.0))


def backwards(stream: h5py.Group) -> None:
    remake(stream, "t_ns", data=np.arange(12)[::-1])


def too_few_frames(stream: h5py.Group) -> None:
    remake(stream, "data", data=np.zeros((11, 32, 22), np.uint8))


def other_dtype(stream: h5py.Group) -> None:
    remake(stream, "data", data=np.zeros((12, 32, 22), np.float64))


def units_number(stream: h5py.Group) -> None:
    stream.attrs["units"] = 3


def units_of_variable_length(stream: h5py.Group) -> None:
    stream.attrs["units"] = "1"


def no_calibration(stream: h5py.Group) -> None:
    stream.attrs["calibration"] = np.bytes_('{"width": 3}')


def calibration_of_text(stream: h5py.Group) -> None:
    values = dataclasses.asdict(Calibration(1, 1, 1.0, 1.0, 0.0, 0.0))
    stream.attrs["calibration"] = np.bytes_(json.dumps(values | {"fx": "x"}))


def deep_calibration(stream: h5py.Group) -> None:
    stream.attrs["calibration"] = np.bytes_("[" * 20_000 + "]" * 20_000)


HOSTILE: dict[Callable[[h5py.Group], None], str] = {
    huge: "declares 51539607552 bytes",
    huge_chunk: "has chunks of 1073741824 bytes",
    too_much_at_once: "11.0 GiB; at most 8 GiB",
    bomb: "inflates past its size",
    long_chunk: "larger compressed than plain",
    foreign_filter: "compressed in a way",
    external_bytes: "keeps its data in another file",
    virtual: "keeps its data in another file",
    external_link: "links to somewhere else",
    soft_link: "links to somewhere else",
    objects: "holds object, not plain numbers",
    references: "holds object, not plain numbers",
    scalar: "is a single number",
    group_for_data: "/data is a group",
    no_data: "lacks /walks/0/silhouette/data",
    no_times: "lacks /walks/0/silhouette/t_ns",
    float_times: "holds float64, not plain numbers",
    units_number: "attribute units",
    units_of_variable_length: "must be text of fixed length",
    no_calibration: "is not a pinhole camera's",
    calibration_of_text: "is not a pinhole camera's",
    deep_calibration: "is not a pinhole camera's",
}


@pytest.mark.parametrize("harm", HOSTILE, ids=lambda harm: harm.__name__)
def test_hostile_streams_are_refused_before_memory_is_taken(
    tmp_path: Path, walk: GaitSequence, harm: Callable[[h5py.Group], None]
) -> None:
    path = save(tmp_path / "w.h5", walk)
    with h5py.File(path, "r+") as file:
        harm(file["walks/0/silhouette"])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(path, HOSTILE[harm])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # KiB


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (backwards, "time stamps must increase"),
        (too_few_frames, "holds 11 frames but 12 time stamps"),
        (other_dtype, "must be uint8"),
    ],
)
def test_streams_that_are_none_are_refused(
    tmp_path: Path, walk: GaitSequence, harm: Callable[[h5py.Group], None], sentence: str
) -> None:
    path = save(tmp_path / "w.h5", walk)
    with h5py.File(path, "r+") as file:
        harm(file["walks/0/silhouette"])
    refused(path, sentence, InputError)


def test_nan_and_bad_offsets_are_refused(tmp_path: Path, walk: GaitSequence) -> None:
    path = save(tmp_path / "w.h5", walk)
    with h5py.File(path, "r+") as file:
        points = file["walks/0/points"]
        points["data"][3, 0] = np.nan
    refused(path, "holds NaN", InputError)
    for offsets in ([0, 0, 30, 71], [0, 40, 30, 70], [-1, 0, 30, 70], [0, 0, 30, 60], []):
        with h5py.File(path, "r+") as file:
            remake(file["walks/0/points"], "offsets", data=np.array(offsets, dtype=np.int64))
        refused(path, "offsets", InputError)


def test_a_table_of_walks_may_lie_too(tmp_path: Path, walk: GaitSequence) -> None:
    def with_table(change: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]) -> Path:
        path = save(tmp_path / "w.h5", walk)
        with h5py.File(path, "r+") as file:
            remake(file["walks"], "table", data=change(file["walks/table"][:]))
        return path

    def setting(column: str, value: bytes) -> Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]:
        def change(table: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
            table[column] = value
            return table

        return change

    refused(with_table(lambda table: table[["track", "subject"]]), "lacks a column")
    refused(with_table(lambda table: np.arange(3)), "not plain numbers")
    refused(with_table(lambda table: np.repeat(table, 2)), "lacks /walks/1")
    refused(with_table(setting("covariates", b"[1]")), "not a JSON object")
    refused(with_table(setting("covariates", b"{")), "not a JSON object")
    refused(with_table(setting("covariates", b'{"bag": 3}')), "covariate that is not text")
    refused(with_table(setting("labels", b'{"age_years": "old"}')), "labels that cannot be")
    refused(with_table(setting("labels", b'{"gender": "x"}')), "labels that cannot be")
    refused(with_table(setting("labels", b'{"shoe_size": 43}')), "labels that cannot be")
    refused(with_table(setting("subject", b"\xff")), "is damaged")
