"""The embedded gallery: one SQLite file, exact cosine on the matrix in memory."""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait3dlib.errors import GalleryMismatch, InputError
from gait3dlib.gallery._file import GalleryFile
from gait3dlib.gallery.base import (
    Calibration,
    Entry,
    Gallery,
    check_calibration,
    check_modalities,
    check_pseudonym,
    check_template,
)
from gait3dlib.types import Candidate


@dataclass(frozen=True)
class _Loaded:
    """All templates in memory: ``vectors [n, dim]``, the person (index into names) and modalities of each."""

    version: int
    names: list[str]
    person: NDArray[np.int64]
    modalities: NDArray[np.object_]
    vectors: NDArray[np.float32]


class SqliteGallery(Gallery):
    """A gallery in one SQLite file, or in memory; several processes may use the file at once."""

    def __init__(self, path: str | os.PathLike[str] | None, fingerprint: str, dim: int) -> None:
        if not fingerprint or dim < 1:
            raise InputError(
                "a gallery needs the fingerprint of its model and templates of at least one number"
            )
        self._dim = dim
        self._loaded: _Loaded | None = None
        self._file = GalleryFile(path, {"fingerprint": fingerprint, "dim": str(dim), "created": _now()})
        theirs, length = self._file.meta("fingerprint"), self._file.meta("dim")
        if (theirs, length) != (fingerprint, str(dim)):
            self._file.close()
            raise GalleryMismatch(
                f"{self._file.where} was made by model {str(theirs)[:12]} ({length} numbers each), not by "
                f"this one, {fingerprint[:12]} ({dim}); enrol again with this model into a new gallery, or "
                "open it with the weights it was made by"
            )

    def enroll(self, subject: str, template: NDArray[Any], modalities: Sequence[str], note: str = "") -> int:
        """See :meth:`Gallery.enroll`."""
        name, kinds = check_pseudonym(subject), _key(modalities)
        vector = check_template(template, self._dim).astype("<f4").tobytes()
        row = (name, kinds, _now(), note, _crc(name, kinds, vector), vector)
        columns = "subject, modalities, created, note, crc, vector"
        with self._file.transaction("IMMEDIATE") as db:
            done = db.execute(f"INSERT INTO template ({columns}) VALUES (?, ?, ?, ?, ?, ?)", row)
        self._loaded = None
        return int(done.lastrowid or 0)

    def search(
        self, template: NDArray[Any], top: int = 5, modalities: Sequence[str] | None = None
    ) -> list[Candidate]:
        """See :meth:`Gallery.search`."""
        if top < 1:
            raise InputError(f"a search returns at least one candidate, not {top}")
        query, held = check_template(template, self._dim), self._templates()
        scores = np.clip(held.vectors @ query, -1.0, 1.0)
        if modalities is not None:
            scores[held.modalities != _key(modalities)] = -np.inf
        best = np.full(len(held.names), -np.inf, dtype=np.float32)
        np.maximum.at(best, held.person, scores)
        order = np.argsort(-best, kind="stable")[:top]
        return [Candidate(held.names[i], float(best[i])) for i in order if np.isfinite(best[i])]

    def forget(self, subject: str) -> int:
        """See :meth:`Gallery.forget`."""
        with self._file.transaction("IMMEDIATE") as db:
            count = db.execute("DELETE FROM template WHERE subject = ?", (subject,)).rowcount
            if count:  # noted in the same transaction: after a crash, the next opening erases the bytes
                db.execute("REPLACE INTO meta VALUES ('erase', '1')")
        self._loaded = None
        if self._file.meta("erase"):
            self._file.erase()
        return count

    def entries(self) -> list[Entry]:
        """See :meth:`Gallery.entries`."""
        rows = self._file.rows("SELECT id, subject, modalities, created, note FROM template ORDER BY id")
        return [Entry(i, who, tuple(str(kinds).split(",")), made, note) for i, who, kinds, made, note in rows]

    def subjects(self) -> list[str]:
        """See :meth:`Gallery.subjects`."""
        return list(self._templates().names)

    def count(self, subject: str) -> int:
        """See :meth:`Gallery.count`."""
        return int(self._file.rows("SELECT count(*) FROM template WHERE subject = ?", (subject,))[0][0])

    def __len__(self) -> int:
        return len(self._templates().person)

    def calibration(self, modalities: Sequence[str]) -> Calibration | None:
        """See :meth:`Gallery.calibration`."""
        kinds = check_modalities(modalities)
        columns = "threshold, fpir, gallery_size, searches, created"
        rows = self._file.rows(f"SELECT {columns} FROM calibration WHERE modalities = ?", (",".join(kinds),))
        if not rows:
            return None
        threshold, fpir, size, searches, created = rows[0]
        try:
            return check_calibration(Calibration(threshold, fpir, size, kinds, searches, created))
        except (InputError, TypeError) as error:
            raise self._file.damaged(f"a calibration is not one: {error}") from error

    def set_calibration(self, record: Calibration) -> None:
        """See :meth:`Gallery.set_calibration`."""
        check_calibration(record)
        row = (_key(record.modalities), record.threshold, record.fpir, record.gallery_size, record.searches)
        with self._file.transaction("IMMEDIATE") as db:
            db.execute("REPLACE INTO calibration VALUES (?, ?, ?, ?, ?, ?)", (*row, _now()))

    def close(self) -> None:
        """See :meth:`Gallery.close`."""
        self._loaded = None
        self._file.close()

    def _templates(self) -> _Loaded:
        """The templates as they are now; read again only after somebody wrote."""
        version = int(self._file.rows("PRAGMA data_version")[0][0])  # changes when another connection writes
        if self._loaded is None or self._loaded.version != version:
            self._loaded = None  # frees the old matrix before the new one is made
            self._loaded = self._load(version)
        return self._loaded

    def _load(self, version: int) -> _Loaded:
        names, kinds, person = dict[str, int](), [], []
        with self._file.transaction("DEFERRED") as db:  # one snapshot for both statements
            wrong = "typeof(vector) != 'blob' OR length(vector) != ? OR typeof(subject) != 'text'"
            sql = f"SELECT count(*), coalesce(sum({wrong}), 0) FROM template"
            count, bad = db.execute(sql, (4 * self._dim,)).fetchall()[0]
            if bad:
                raise self._file.damaged(f"{bad} templates are not {self._dim} numbers")
            vectors = np.empty((count, self._dim), dtype=np.float32)
            with closing(
                db.execute("SELECT subject, modalities, crc, vector FROM template ORDER BY id")
            ) as rows:
                for i, (subject, modalities, crc, vector) in enumerate(rows):
                    if crc != _crc(subject, str(modalities), vector):
                        raise self._file.damaged(f"template {i + 1} does not fit its checksum")
                    vectors[i] = np.frombuffer(vector, dtype="<f4")
                    person.append(names.setdefault(subject, len(names)))
                    kinds.append(modalities)
        if not (np.abs(np.einsum("nd,nd->n", vectors, vectors) - 1.0) < 1e-3).all():
            raise self._file.damaged("a template is not of unit length")
        rank = {name: i for i, name in enumerate(sorted(names))}
        place = np.array([rank[name] for name in names], dtype=np.int64)
        people = place[np.array(person, dtype=np.int64)]
        return _Loaded(version, list(rank), people, np.array(kinds, dtype=object), vectors)


def _key(modalities: Sequence[str]) -> str:
    return ",".join(check_modalities(modalities))


def _crc(subject: str, modalities: str, vector: bytes) -> int:
    return zlib.crc32(vector, zlib.crc32(f"{subject}\n{modalities}".encode()))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
