"""What the live loop gives: answers, and moments for views."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gait3dlib.perception.observing import Refusal, Seen
from gait3dlib.types import NS_PER_S, UNKNOWN, Calibration, Frame, GaitSequence, Recognition


@dataclass(frozen=True, eq=False)
class Answer:
    """What the loop says of somebody who walked past.

    Args:
        recognition: who; with ``reason`` where the walk was not good enough to be judged.
        walk: the walk; None where none came of what was seen.
        number: of the answer, from 0.
        latency_s: from the last frame of the walk until now.
    """

    recognition: Recognition
    walk: GaitSequence | None = field(repr=False)
    number: int
    latency_s: float


@dataclass(frozen=True, eq=False)
class Moment:
    """A frame and who is seen in it, for views.

    Args:
        frame: as it was captured.
        people: in view, by number of the track.
        camera: placed in the world of the people; None while it is not known.
        names: what was answered of tracks so far.
    """

    frame: Frame
    people: Mapping[int, Seen]
    camera: Calibration | None
    names: Mapping[int, str]


def stop_ns(seq: GaitSequence) -> int:
    """When the last frame of a walk was."""
    return seq.start_ns + round(seq.duration_s * NS_PER_S)


def unjudged(seq: GaitSequence, reason: str) -> Recognition:
    """The answer about a walk that is not good enough."""
    track = seq.meta.covariates.get("track")
    number = int(track) if track is not None and track.isdecimal() else None
    return _nobody(number, seq.start_ns, stop_ns(seq), reason)


def refused(refusal: Refusal) -> Recognition:
    """The answer about somebody of whom no walk came."""
    return _nobody(refusal.track, refusal.start_ns, refusal.stop_ns, refusal.reason)


def _nobody(track: int | None, start_ns: int, stop_ns: int, reason: str) -> Recognition:
    nan = float("nan")
    return Recognition(
        UNKNOWN, nan, nan, False, (), track=track, start_ns=start_ns, stop_ns=stop_ns, reason=reason
    )
