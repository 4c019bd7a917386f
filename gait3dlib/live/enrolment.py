"""Enrolling somebody in front of a sensor: two walks, of which the second must confirm the first."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from gait3dlib.errors import NoWalkFound
from gait3dlib.live._nouns import Answer
from gait3dlib.pipeline import Pipeline
from gait3dlib.types import GaitSequence, Verification

TOGETHER = 0.2  # of the shorter walk; who overlap for longer walk at the same time


@dataclass(frozen=True)
class Enrolment:
    """What came of two walks.

    Args:
        subject: the pseudonym.
        confirmed: whether the second walk matched the first; only then are both of them to be enrolled.
        verification: how alike the two are.
        resembles: somebody else in the gallery whom the first walk was taken for; "" for nobody.
        walks: the two.
    """

    subject: str
    confirmed: bool
    verification: Verification
    resembles: str
    walks: tuple[GaitSequence, GaitSequence] = dataclasses.field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; without the walks."""
        seconds = [seq.duration_s for seq in self.walks]
        return {
            "subject": self.subject,
            "confirmed": self.confirmed,
            "score": self.verification.score,
            "threshold": self.verification.threshold,
            "calibrated": self.verification.calibrated,
            "resembles": self.resembles,
            "seconds": seconds,
        }


def enrol(
    pipeline: Pipeline,
    subject: str,
    answers: Iterable[Answer],
    say: Callable[[str], None] = lambda text: None,
) -> Enrolment:
    """Take two good walks from a running loop and compare them. Nothing is written to the gallery.

    Walks that are not good enough, and two people at the same time, are said and waited out.

    Args:
        pipeline: compares them; its gallery is where somebody else may be found.
        subject: a pseudonym.
        answers: of a :class:`~gait3dlib.live.Live` loop.
        say: called with what the person should do next.

    Raises:
        NoWalkFound: the answers ended before two walks.
        UntrainedError: the weights were never trained.
    """
    say(f"{subject}: walk past the sensor, alone, at your own pace")
    first: GaitSequence | None = None
    resembles, last = "", None
    for answer in answers:
        if answer.walk is None or answer.recognition.reason:
            say(f"that did not count; {answer.recognition.reason}")
            continue
        before, last = last, answer.walk
        if before is not None and _together(before, answer.walk):
            say("two people walked at the same time; walk alone, and start again with the first walk")
            first = None
            continue
        if first is None:
            first = answer.walk
            found = answer.recognition
            resembles = found.identity if found.known and found.identity != subject else ""
            say(f"first walk: {first.duration_s:.1f} s; now walk past once more")
            continue
        verification = pipeline.verify(first, answer.walk)
        return Enrolment(subject, verification.same, verification, resembles, (first, answer.walk))
    walked = "one walk" if first is not None else "no walk"
    raise NoWalkFound(f"the sensor ended after {walked} of {subject}, and two are needed; start again")


def _together(one: GaitSequence, other: GaitSequence) -> bool:
    """Whether two walks were at the same time."""
    spans = [(seq.start_ns, seq.start_ns + seq.duration_s * 1e9) for seq in (one, other)]
    shared = min(stop for _, stop in spans) - max(start for start, _ in spans)
    return shared > TOGETHER * min(stop - start for start, stop in spans)
