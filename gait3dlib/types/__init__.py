"""The nouns: one walk of one person as sensor streams, and what the library answers about it.

A missing modality is an absent key, never zeros. Every stream keeps its own clock (int64 nanoseconds).
Arrays are read-only views: a :class:`GaitSequence` never changes after it was made.
"""

from gait3dlib.types._answers import (
    UNKNOWN,
    Candidate,
    Estimate,
    Outputs,
    Recognition,
    Tokens,
    Verification,
)
from gait3dlib.types._sensors import (
    EndOfStream,
    Frame,
    Sensor,
)
from gait3dlib.types._sequence import (
    GaitSequence,
    Gender,
    Labels,
    Meta,
    align,
)
from gait3dlib.types._streams import (
    LAYOUT_JOINTS,
    NS_PER_S,
    STREAM_SPECS,
    Calibration,
    Stream,
    StreamSpec,
    check_stream,
    frames_of,
)

__all__ = [
    "LAYOUT_JOINTS",
    "NS_PER_S",
    "STREAM_SPECS",
    "UNKNOWN",
    "Calibration",
    "Candidate",
    "EndOfStream",
    "Estimate",
    "Frame",
    "GaitSequence",
    "Gender",
    "Labels",
    "Meta",
    "Outputs",
    "Recognition",
    "Sensor",
    "Stream",
    "StreamSpec",
    "Tokens",
    "Verification",
    "align",
    "check_stream",
    "frames_of",
]
