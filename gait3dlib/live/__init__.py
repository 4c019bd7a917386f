"""Sensors in, names out, while people walk past: see :class:`Live`."""

from __future__ import annotations

from gait3dlib.live._loop import Live
from gait3dlib.live._nouns import Answer, Moment
from gait3dlib.live._numbers import LiveStats
from gait3dlib.live.enrolment import Enrolment, enrol
from gait3dlib.live.gate import Gate

__all__ = ["Answer", "Enrolment", "Gate", "Live", "LiveStats", "Moment", "enrol"]
