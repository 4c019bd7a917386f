"""What every gallery backend offers, and what it asks of pseudonyms, templates and modalities."""

from __future__ import annotations

import math
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import GalleryError, InputError
from gait3dlib.types import UNKNOWN, Candidate

MAX_NAME = 200


@dataclass(frozen=True)
class Calibration:
    """A threshold and what it was set with: it holds for this gallery size and these modalities.

    ``fpir`` is the false positive identification rate asked for, ``searches`` the number of non-mated
    searches that the threshold rests on, ``created`` the time (UTC) at which it was stored.
    """

    threshold: float
    fpir: float
    gallery_size: int
    modalities: tuple[str, ...]
    searches: int
    created: str = ""


@dataclass(frozen=True)
class Entry:
    """One enrolled template without its vector; ``created`` is the time (UTC) of enrolment."""

    id: int
    subject: str
    modalities: tuple[str, ...]
    created: str
    note: str


class Gallery(ABC):
    """Templates of one model, each under a pseudonym; a context manager, for one thread."""

    @staticmethod
    def open(path: str | os.PathLike[str] | None, fingerprint: str, dim: int) -> Gallery:
        """Open a gallery, or make an empty one where there is none.

        Args:
            path: an SQLite file; None = in memory, gone when closed.
            fingerprint: of the model whose templates it holds.
            dim: numbers in a template.

        Raises:
            GalleryMismatch: its templates were made by another model.
            GalleryError: it cannot be opened, is damaged, foreign, or of a newer schema.
        """
        from gait3dlib.gallery.sqlite import SqliteGallery

        if isinstance(path, str) and (uri := re.match(r"([a-z][a-z0-9+.-]*)://", path, re.IGNORECASE)):
            raise GalleryError(f"no gallery backend for {uri[1]!r} addresses; give the path of a file")
        return SqliteGallery(path, fingerprint, dim)

    @staticmethod
    def model_of(path: str | os.PathLike[str]) -> tuple[str, int]:
        """Fingerprint and template length of the model that a gallery file was made by.

        With them :meth:`open` needs no weights, which is enough to list and to forget people.

        Raises:
            GalleryError: there is no such file, or it is damaged or not a gallery.
        """
        from gait3dlib.gallery._file import GalleryFile

        if not Path(path).is_file() or not Path(path).stat().st_size:
            raise GalleryError(f"there is no gallery {path}; make one with: gait3d enroll NAME walk.mp4")
        with closing(GalleryFile(path, {})) as file:
            fingerprint, dim = file.meta("fingerprint") or "", file.meta("dim") or ""
            if not fingerprint or not dim.isdecimal():
                raise file.damaged("it does not say which model made it")
        return fingerprint, int(dim)

    @abstractmethod
    def enroll(self, subject: str, template: NDArray[Any], modalities: Sequence[str], note: str = "") -> int:
        """Add a template of a person and return its id, which is never given to another one.

        Args:
            subject: a pseudonym of at most 200 printable characters, other than "unknown".
            template: ``[dim]`` floats; stored as float32 of unit length.
            modalities: what the template was made from.
            note: anything worth keeping with it.

        Raises:
            InputError: no pseudonym, a template of the wrong length or with NaN, or no modality.
            GalleryError: the gallery cannot be written.
        """

    @abstractmethod
    def search(
        self, template: NDArray[Any], top: int = 5, modalities: Sequence[str] | None = None
    ) -> list[Candidate]:
        """The people nearest to a template, best first; a person's score is that of their best template.

        Args:
            template: ``[dim]`` floats.
            top: at most so many people; equal scores come in order of pseudonym.
            modalities: compare only with templates that were made from exactly these.

        Returns:
            At most ``top`` candidates with their cosine; none if nobody is enrolled.

        Raises:
            InputError: a template of the wrong length or with NaN.
            GalleryError: the gallery is damaged or cannot be read.
        """

    @abstractmethod
    def forget(self, subject: str) -> int:
        """Erase all templates of a person and return how many there were.

        Raises:
            GalleryError: deleted, but another process keeps the old bytes in use; end it and call again.
        """

    @abstractmethod
    def entries(self) -> list[Entry]:
        """What is enrolled, in order of enrolment."""

    @abstractmethod
    def subjects(self) -> list[str]:
        """Who is enrolled, sorted."""

    @abstractmethod
    def count(self, subject: str) -> int:
        """How many templates a person has."""

    @abstractmethod
    def __len__(self) -> int:
        """How many templates there are."""

    @abstractmethod
    def calibration(self, modalities: Sequence[str]) -> Calibration | None:
        """The last calibration that was stored for these modalities."""

    @abstractmethod
    def set_calibration(self, record: Calibration) -> None:
        """Store a calibration in place of the last one for its modalities; the time is set here.

        Raises:
            InputError: the threshold is not finite, the rate is not between 0 and 1, or a count is negative.
        """

    @abstractmethod
    def close(self) -> None:
        """Close; a second call does nothing."""

    def __enter__(self) -> Gallery:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def check_pseudonym(subject: object) -> str:
    """The pseudonym, if it is one.

    Raises:
        InputError: empty, not printable, too long, padded by blanks, or the word "unknown".
    """
    text = subject if isinstance(subject, str) and subject.isprintable() else ""
    if not 0 < len(text) <= MAX_NAME or text != text.strip():
        raise InputError(
            f"a pseudonym must be 1 to {MAX_NAME} printable characters without blanks around, not {subject!r}"
        )
    if text.casefold() == UNKNOWN:
        raise InputError(f"nobody can be enrolled as {subject!r}, it is the answer for strangers")
    return text


def check_modalities(modalities: Sequence[str]) -> tuple[str, ...]:
    """The modalities, sorted and once each.

    Raises:
        InputError: none, or not a list of names.
    """
    names = () if isinstance(modalities, str) else tuple(modalities)
    if not names or not all(str(name).isidentifier() for name in names):
        raise InputError(f"modalities must be a list of names, such as ['silhouette'], not {modalities!r}")
    return tuple(sorted(set(names)))


def check_template(template: NDArray[Any], dim: int) -> NDArray[np.float32]:
    """The template as float32 of unit length.

    Raises:
        InputError: another shape than ``[dim]``, not floats, NaN, infinite, or zero.
    """
    array = np.asarray(template)
    if array.shape != (dim,) or array.dtype.kind != "f":
        raise InputError(f"a template must be {dim} floats, not {array.dtype} of shape {list(array.shape)}")
    wide = array.astype(np.float64)
    length = float(np.linalg.norm(wide))
    if not (math.isfinite(length) and length > 0):
        raise InputError("a template must not be all zero, nor hold NaN or infinity")
    return (wide / length).astype(np.float32)


def check_calibration(record: Calibration) -> Calibration:
    """The calibration, if its numbers make sense.

    Raises:
        InputError: they do not.
    """
    counts = min(record.gallery_size, record.searches)
    if not (math.isfinite(record.threshold) and 0 < record.fpir < 1 and counts >= 0):
        raise InputError(f"a calibration needs a finite threshold and a rate between 0 and 1, not {record}")
    return record
