"""Walks and their truth inside a recording: the table, the groups, and what is known of the person."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import InputError, RecordingError
from gait3dlib.recording import _hdf5, _streams
from gait3dlib.types import NS_PER_S, GaitSequence, Labels, Meta

TEXTS = ("subject", "session", "source", "covariates", "labels")


@dataclass(frozen=True)
class Truth:
    """What the simulator knows of one walk and no sensor can see; never a stream, so no model reads it.

    ``arrays`` holds numbers of any shape by name, such as the true joint positions.
    """

    labels: Labels
    arrays: Mapping[str, NDArray[Any]] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class WalkInfo:
    """One row of a recording's table of walks; no stream is read for it."""

    index: int
    start_ns: int
    stop_ns: int
    subject: str | None
    meta: Meta
    streams: tuple[str, ...]

    @property
    def duration_s(self) -> float:
        """From the first to the last time stamp of any stream, in seconds."""
        return (self.stop_ns - self.start_ns) / NS_PER_S

    def __str__(self) -> str:
        who = self.subject or "nobody named"
        return f"{self.index}: {who}, {self.duration_s:.1f} s, {', '.join(self.streams)}"


def refuse_color(streams: Mapping[str, Any], store_color: bool) -> None:
    """Colour shows a person to anybody who opens the file: it is stored only when asked for."""
    if "color" in streams and not store_color:
        raise InputError("colour is stored only when asked for; pass store_color=True or leave 'color' out")


# ---- writing --------------------------------------------------------------------------------------


def write_table(walks: h5py.Group, sequences: Sequence[GaitSequence]) -> None:
    """Write ``walks/table``, one row a walk; it replaces the table that was there."""
    rows = [_row(index, sequence) for index, sequence in enumerate(sequences)]
    widths = {name: max([1, *(len(row[name]) for row in rows)]) for name in TEXTS}
    dtype = np.dtype(
        [("track", "<i8"), ("start_ns", "<i8"), ("stop_ns", "<i8"), ("view_deg", "<f8")]
        + [(name, h5py.string_dtype("utf-8", widths[name])) for name in TEXTS]
    )
    table = np.zeros(len(rows), dtype=dtype)
    for index, row in enumerate(rows):
        for name, value in row.items():
            table[name][index] = value
    if _hdf5.has(walks, "table"):
        del walks["table"]
    _hdf5.write(walks, "table", table)


def check(sequence: GaitSequence) -> None:
    """Refuse what the file could not give back.

    Raises:
        InputError: an empty subject, text that is not Unicode, labels that are no numbers.
    """
    meta = sequence.meta
    covariates = [text for pair in meta.covariates.items() for text in pair]
    for text in (sequence.subject or "", meta.session, meta.source, *covariates):
        if not isinstance(text, str) or "\0" in text or not text.isprintable():
            raise InputError(f"{text!r} cannot be stored with a walk; use printable text")
    if sequence.subject == "":
        raise InputError("a subject must have a name, or be None where nobody is named")
    if meta.labels is not None:
        numbers = (meta.labels.age_years, meta.labels.height_m, meta.labels.mass_kg)
        if not all(number is None or math.isfinite(number) for number in numbers):
            raise InputError(f"labels must be finite numbers, or None where not known, not {meta.labels}")
    for name in sequence.streams:
        _streams.check_name(name)


def _row(index: int, sequence: GaitSequence) -> dict[str, Any]:
    meta = sequence.meta
    texts = {
        "subject": sequence.subject or "",
        "session": meta.session,
        "source": meta.source,
        "covariates": json.dumps(dict(meta.covariates)),
        "labels": "" if meta.labels is None else _dump(meta.labels),
    }
    stop_ns = max(int(stream.t_ns[-1]) for stream in sequence.streams.values())
    view = math.nan if meta.view_deg is None else meta.view_deg
    return {
        "track": index,
        "start_ns": sequence.start_ns,
        "stop_ns": stop_ns,
        "view_deg": view,
        **{name: text.encode() for name, text in texts.items()},
    }


def write_all(walks: h5py.Group, sequences: Sequence[GaitSequence]) -> None:
    """Write the table and ``walks/N``, one group a stream."""
    write_table(walks, sequences)
    for index, sequence in enumerate(sequences):
        home = walks.create_group(str(index))
        for name, stream in sequence.streams.items():
            _streams.write_stream(home, name, stream)


def write_truth(file: h5py.File, index: int, truth: Truth) -> None:
    """Write ``truth/N``."""
    home = file.require_group("truth").create_group(str(index))
    _hdf5.write_text(home, "labels", _dump(truth.labels))
    for name, array in truth.arrays.items():
        values = np.asarray(array)
        if values.dtype.kind not in "biuf":
            raise InputError(f"truth {name!r} must be an array of numbers, not of {values.dtype}")
        _hdf5.write(home, _streams.check_name(name), values)


def _dump(labels: Labels) -> str:
    return json.dumps(dataclasses.asdict(labels), default=float)  # a numpy number is a number


# ---- reading --------------------------------------------------------------------------------------


def read_table(file: h5py.File) -> list[WalkInfo]:
    """The table of walks; reads no stream."""
    walks = _hdf5.child(file, "walks", h5py.Group)
    item = _hdf5.dataset(walks, "table", "V")
    fields = item.dtype.fields or {}
    kinds = {name: fields[name][0].kind for name in fields}
    wanted = {"track": "i", "start_ns": "i", "stop_ns": "i", "view_deg": "f", **dict.fromkeys(TEXTS, "S")}
    if any(kinds.get(name) != kind for name, kind in wanted.items()):
        raise RecordingError(f"{file.filename}: the table of walks lacks a column or has one of another type")
    return [_info(walks, index, row) for index, row in enumerate(_hdf5.read(item))]


def _info(walks: h5py.Group, index: int, row: Any) -> WalkInfo:
    where = f"{walks.file.filename}: walk {index}"
    text = {name: bytes(row[name]).decode() for name in TEXTS}
    view = float(row["view_deg"])
    covariates = parse(text["covariates"] or "{}", where)
    if not all(isinstance(value, str) for value in covariates.values()):
        raise RecordingError(f"{where} has a covariate that is not text")
    meta = Meta(
        source=text["source"],
        session=text["session"],
        view_deg=None if math.isnan(view) else view,
        covariates=covariates,
        labels=parse_labels(text["labels"], where) if text["labels"] else None,
    )
    streams = tuple(sorted(_hdf5.child(walks, str(index), h5py.Group)))
    return WalkInfo(index, int(row["start_ns"]), int(row["stop_ns"]), text["subject"] or None, meta, streams)


def read_walk(file: h5py.File, info: WalkInfo) -> GaitSequence:
    """The streams of one walk."""
    home = _hdf5.child(_hdf5.child(file, "walks", h5py.Group), str(info.index), h5py.Group)
    streams = {name: _streams.read_stream(_hdf5.child(home, name, h5py.Group)) for name in info.streams}
    return GaitSequence(streams, info.subject, info.meta)


def read_truth(file: h5py.File, index: int) -> Truth | None:
    """What the simulator knew of walk ``index``; None where nothing was kept."""
    home = _truth_home(file, index)
    labels = read_truth_labels(file, index)
    if home is None or labels is None:
        return None
    return Truth(labels, {name: _hdf5.read_any(_hdf5.dataset(home, name)) for name in sorted(home)})


def read_truth_labels(file: h5py.File, index: int) -> Labels | None:
    """The labels of the simulated walk ``index``, without its arrays; None where nothing was kept."""
    home = _truth_home(file, index)
    if home is None:
        return None
    return parse_labels(_hdf5.attribute(home, "labels") or "{}", f"{file.filename}: {home.name}")


def _truth_home(file: h5py.File, index: int) -> h5py.Group | None:
    if not _hdf5.has(file, "truth"):
        return None
    truths = _hdf5.child(file, "truth", h5py.Group)
    if not _hdf5.has(truths, str(index)):
        return None
    return _hdf5.child(truths, str(index), h5py.Group)


def parse(text: str, where: str) -> dict[str, Any]:
    """A JSON object."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise RecordingError(f"{where} holds text that is not a JSON object")
    return values


def parse_labels(text: str, where: str) -> Labels:
    """What is known of a person, checked."""
    values = parse(text, where)
    gender = values.pop("gender", None)
    numbers = {"age_years", "height_m", "mass_kg"}
    good = all(v is None or (isinstance(v, (int, float)) and math.isfinite(v)) for v in values.values())
    if not good or not set(values) <= numbers or gender not in (None, "female", "male"):
        raise RecordingError(f"{where} has labels that cannot be: {text[:80]}")
    return Labels(gender=gender, **values)
