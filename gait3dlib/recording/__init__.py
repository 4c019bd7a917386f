"""Recordings: one HDF5 file with what the sensors gave, the walks found in it, and whose they were.

::

    /                    attributes schema (1), clock, consent_ref
    /streams/NAME        what a sensor gave: data [T, ...], t_ns [T], device_t_ns [T] (-1 = none)
                         ragged streams: data [sum N, ...] and offsets [T + 1]
                         attributes units, layout, calibration (JSON)
    /walks/table         one row a walk: track, start_ns, stop_ns, view_deg (NaN = not known), subject
                         (a pseudonym; empty = nobody named), session, source, covariates and labels (JSON)
    /walks/N/NAME        the streams of walk N: data, t_ns, offsets, boxes; the same attributes
    /truth/N             only in simulated recordings: arrays by name, attribute labels; load() never reads it

Arrays are gzip 1 with shuffle and a checksum (the time stamps of raw streams excepted, which grow), texts are
of fixed length. Colour identifies people to anybody, so it is stored only when asked for.
"""

from __future__ import annotations

from gait3dlib.recording._reader import RawStreams, Recording, load, open_recording
from gait3dlib.recording._recover import recover
from gait3dlib.recording._walks import Truth, WalkInfo
from gait3dlib.recording._writer import RecordingWriter, save

__all__ = [
    "RawStreams",
    "Recording",
    "RecordingWriter",
    "Truth",
    "WalkInfo",
    "load",
    "open_recording",
    "recover",
    "save",
]
