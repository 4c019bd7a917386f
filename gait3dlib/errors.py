"""Every error that gait3dlib raises on purpose.

::

    Gait3DError
    ├── InputError (ValueError)      data handed in is wrong: dtype, shape, NaN, time running backwards
    │   ├── RecordingError           a recording cannot be read: truncated, foreign, other schema version
    │   ├── VideoError               a video cannot be read or is empty
    │   └── NoWalkFound              readable, but nobody walks in it for long enough
    ├── ConfigError (ValueError)     an unknown key, a wrong type; says "did you mean"
    │   └── UnknownComponent         no modality, sensor or encoder has that name
    ├── NoEvidence                   no stream is left that the chosen modalities can read
    ├── UntrainedError               the weights were never trained, so a name would be a guess
    ├── WeightsError                 a weights file is damaged, or does not fit the model
    ├── GalleryError                 a gallery cannot be opened or holds nobody
    │   └── GalleryMismatch          its templates were made by another model
    ├── MissingDependency (ImportError)   an extra is not installed; names the command that installs it
    └── SensorError                  a device cannot be opened or fell silent

A message is one sentence that says what is wrong and what to do about it. The command line prints it
without a traceback and exits with status 1 (2 for :class:`ConfigError`: the words were wrong).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class Gait3DError(Exception):
    """Base of all errors raised on purpose by gait3dlib."""


class InputError(Gait3DError, ValueError):
    """Data handed in has the wrong dtype, shape, range or order."""


class RecordingError(InputError):
    """A recording cannot be read: truncated, of another schema version, or not a recording."""


class VideoError(InputError):
    """A video cannot be opened, holds no frame, or stopped being readable."""


class NoWalkFound(InputError):
    """The input is readable, but holds no walk of one person that is long enough."""


class ConfigError(Gait3DError, ValueError):
    """A config names an unknown key or gives a value of the wrong type."""


class UnknownComponent(ConfigError):
    """No component of that kind has that name."""


class NoEvidence(Gait3DError):
    """No stream is left that any of the chosen modalities can read."""


class UntrainedError(Gait3DError):
    """The weights were never trained: recording, embedding and training work, naming people does not."""


class WeightsError(Gait3DError):
    """A weights file is damaged, would run code, or does not fit the model."""


class GalleryError(Gait3DError):
    """A gallery cannot be opened, or holds nobody to compare with."""


class GalleryMismatch(GalleryError):
    """A gallery's templates were made by another model; they cannot be compared."""


class MissingDependency(Gait3DError, ImportError):
    """An optional package is not installed; the message names the extra that brings it."""


class SensorError(Gait3DError):
    """A sensor cannot be opened, is busy, or fell silent."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The ending of an error message: the nearest known words, or all of them.

    >>> did_you_mean("silhouete", ["silhouette", "depth"])
    "; did you mean 'silhouette'?"
    """
    known = sorted(known)
    near = difflib.get_close_matches(word, known, n=2, cutoff=0.6)
    if near:
        return "; did you mean " + " or ".join(repr(n) for n in near) + "?"
    return "; known: " + (", ".join(known) if known else "none")
