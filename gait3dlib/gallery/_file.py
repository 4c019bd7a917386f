"""The SQLite file under a gallery: made private, recognised, shared between processes, and wiped."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from gait3dlib.errors import GalleryError

SCHEMA_VERSION = 1
APPLICATION_ID = 0x47334454  # "G3DT" in the file's header
BUSY_S = 10.0  # how long to wait for another process that writes

# name -> the statement that makes it, as SQLite remembers it: anything else in the file is foreign
SCHEMA = {
    "meta": "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "template": (
        "CREATE TABLE template (id INTEGER PRIMARY KEY AUTOINCREMENT, subject TEXT NOT NULL, "
        "modalities TEXT NOT NULL, created TEXT NOT NULL, note TEXT NOT NULL, crc INTEGER NOT NULL, "
        "vector BLOB NOT NULL)"
    ),
    "calibration": (
        "CREATE TABLE calibration (modalities TEXT PRIMARY KEY, threshold REAL NOT NULL, fpir REAL NOT NULL, "
        "gallery_size INTEGER NOT NULL, searches INTEGER NOT NULL, created TEXT NOT NULL) WITHOUT ROWID"
    ),
}
_SEQUENCE = ("sqlite_sequence", "CREATE TABLE sqlite_sequence(name,seq)")  # SQLite's own, for AUTOINCREMENT


class GalleryFile:
    """One connection to the file (or to memory), with SQLite's errors told as :class:`GalleryError`."""

    def __init__(self, path: str | os.PathLike[str] | None, meta: Mapping[str, str]) -> None:
        self._path = None if path is None else Path(os.path.abspath(path))
        with self._explained():
            if self._path is not None:
                _create(self._path)
            self._db = sqlite3.connect(self._path or ":memory:", timeout=BUSY_S, isolation_level=None)
            try:
                self._set_up(meta)
            except BaseException:
                self._db.close()
                raise
        if self.meta(
            "erase"
        ):  # a forget() was cut short; if the log is still in use, the next one tries again
            with contextlib.suppress(GalleryError):
                self.erase()

    @property
    def where(self) -> str:
        """What messages call it."""
        return "the gallery in memory" if self._path is None else f"gallery {self._path}"

    def rows(self, sql: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        with self._explained():
            return self._db.execute(sql, values).fetchall()

    def meta(self, key: str) -> str | None:
        """A value of the table "meta"."""
        rows = self.rows("SELECT value FROM meta WHERE key = ?", (key,))
        return str(rows[0][0]) if rows else None

    @contextlib.contextmanager
    def transaction(self, kind: Literal["DEFERRED", "IMMEDIATE"]) -> Iterator[sqlite3.Connection]:
        """All or nothing; DEFERRED to read one snapshot, IMMEDIATE to write."""
        with self._explained():
            self._db.execute(f"BEGIN {kind}")
            try:
                yield self._db
                self._db.commit()
            except BaseException:
                self._db.rollback()
                raise

    def erase(self) -> None:
        """Make what was deleted vanish from the disk.

        Raises:
            GalleryError: another process keeps the old bytes in use.
        """
        if self._path is not None:
            # secure_delete zeroed the deleted rows: the first checkpoint brings the zeros into the file,
            # VACUUM rewrites every page and the log's old frames, the last checkpoint empties the log
            checkpoint = "PRAGMA wal_checkpoint({})"
            busy = self.rows(checkpoint.format("RESTART"))[0][0]
            self.rows("VACUUM")
            busy += self.rows(checkpoint.format("TRUNCATE"))[0][0]
            if busy:
                raise GalleryError(
                    f"templates were deleted from {self.where}, but another process is reading it, so old "
                    "bytes stay in its log; end that process and call forget again"
                )
        with self.transaction("IMMEDIATE") as db:
            db.execute("DELETE FROM meta WHERE key = 'erase'")

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def damaged(self, why: str) -> GalleryError:
        """The error for a file whose content cannot be trusted."""
        return GalleryError(
            f"{self.where} is damaged or not a gallery ({why}); restore a copy, or enrol again into a new one"
        )

    # ---- opening ----------------------------------------------------------------------------------

    def _set_up(self, meta: Mapping[str, str]) -> None:
        # nothing in a foreign file is run or changed: what it is comes before the write-ahead log
        for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "temp_store = MEMORY"):
            self._db.execute(f"PRAGMA {pragma}")
        fresh = self._is_empty()
        self._db.execute("PRAGMA secure_delete = ON")
        if self._path is not None:
            _make_private(self._path)
            self._write_ahead()
        if not fresh:
            return
        with self.transaction("IMMEDIATE") as db:
            if self._is_empty():  # another process may have been first
                for statement in SCHEMA.values():
                    db.execute(statement)
                db.executemany("INSERT INTO meta VALUES (?, ?)", list(meta.items()))
                db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _is_empty(self) -> bool:
        """True for an empty file, False for a gallery; anything else raises."""
        app = self.rows("PRAGMA application_id")[0][0]
        version = self.rows("PRAGMA user_version")[0][0]
        tables = self.rows("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
        if not tables and app == version == 0:
            return True
        if app != APPLICATION_ID:
            raise GalleryError(f"{self.where} is a database, but not a gallery; give another path")
        if version > SCHEMA_VERSION:
            raise GalleryError(
                f"{self.where} was made by a newer gait3dlib (schema {version}, this one reads "
                f"{SCHEMA_VERSION}); upgrade gait3dlib"
            )
        if version != SCHEMA_VERSION or sorted(tables) != sorted([*SCHEMA.items(), _SEQUENCE]):
            raise self.damaged("its tables are not those of a gallery")
        return False

    def _write_ahead(self) -> None:
        deadline = time.monotonic() + BUSY_S
        while True:  # SQLite's own waiting does not cover two processes that make the same file at once
            try:
                mode = self._db.execute("PRAGMA journal_mode = WAL").fetchall()[0][0]
                break
            except sqlite3.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
        if mode != "wal":
            raise GalleryError(
                f"{self.where} lies where SQLite has no write-ahead log; move it to a local disk"
            )

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise GalleryError(
                f"cannot open {self.where}: {error.strerror}; check the folder and its rights"
            ) from error
        except UnicodeDecodeError as error:  # from SQLite's own message about a damaged table
            raise self.damaged("text that is not UTF-8") from error
        except sqlite3.ProgrammingError as error:
            raise GalleryError(f"{self.where} cannot be used here: {error} Open it again") from error
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
            if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise GalleryError(f"{self.where} is in use by another process; try again") from error
            if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise self.damaged(str(error)) from error
            raise GalleryError(f"{self.where}: {error}; check the disk and the rights of the file") from error


def _create(path: Path) -> None:
    """Make the file if it is not there, readable by its owner only.

    A file that is there is not opened: closing it would drop the locks of other connections in this process.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        if path.is_dir():
            raise IsADirectoryError(0, "it is a folder", str(path)) from None


def _make_private(path: Path) -> None:
    for file in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):  # new logs get the rights of the file
        with contextlib.suppress(FileNotFoundError):
            if file.stat().st_mode & 0o077:
                file.chmod(0o600)
