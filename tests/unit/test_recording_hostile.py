"""Recordings that are truncated, foreign or made to do harm: one sentence, and no memory taken."""

from __future__ import annotations

import dataclasses
import json
import resource
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from gait3dlib.errors import InputError, RecordingError
from gait3dlib.recording import load, save
from gait3dlib.types import Calibration, GaitSequence


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


def test_a_recording_of_another_program_may_have_plain_attributes(tmp_path: Path, walk: GaitSequence) -> None:
    """Text of fixed length, no units, no chunks and no compression: all of it is HDF5."""
    path = save(tmp_path / "w.h5", walk.without("points"))
    with h5py.File(path, "r+") as file:
        home = file["walks/0/keypoints"]
        home.attrs["layout"] = np.bytes_(b"coco17")
        remake(home, "data", data=home["data"][:])
        del file["walks/0/silhouette"].attrs["units"]
    have = load(path)
    assert have.streams["keypoints"].layout == "coco17"
    np.testing.assert_array_equal(have.streams["keypoints"].data, walk.streams["keypoints"].data)
    assert have.streams["silhouette"].units == "1"
