"""Writing recordings."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from gait3dlib.errors import InputError
from gait3dlib.recording import _hdf5, _walks
from gait3dlib.recording._walks import Truth
from gait3dlib.types import GaitSequence


def save(
    path: str | os.PathLike[str],
    *sequences: GaitSequence,
    truths: Sequence[Truth | None] | None = None,
    consent_ref: str = "",
    store_color: bool = False,
) -> Path:
    """Write walks as a recording, whole or not at all; a file of that name is replaced.

    Args:
        path: the file to write, by custom ``*.h5``.
        sequences: one walk each.
        truths: what a simulator knows of each walk, in the same order; kept apart from the streams.
        consent_ref: where the consent of the recorded people is filed.
        store_color: also write streams of colour images; otherwise they are refused.

    Raises:
        InputError: nothing to write, truths that do not match, or colour without ``store_color``.
        RecordingError: the file cannot be written.
    """
    if not sequences:
        raise InputError("there is no walk to save; pass at least one GaitSequence")
    if truths is not None and len(truths) != len(sequences):
        raise InputError(
            f"{len(sequences)} walks were given with {len(truths)} truths; pass None for unknown"
        )
    for sequence in sequences:
        _walks.refuse_color(sequence.streams, store_color)
    path = Path(path)
    with _hdf5.replacing(path) as file:
        _hdf5.write_root(file, clock="own", consent_ref=consent_ref)
        walks = file.create_group("walks")
        _walks.write_table(walks, sequences)
        for index, sequence in enumerate(sequences):
            _walks.write_walk(walks, index, sequence)
        for index, truth in enumerate(truths or ()):
            if truth is not None:
                _walks.write_truth(file, index, truth)
    return path
