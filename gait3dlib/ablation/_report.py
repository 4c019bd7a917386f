"""What an ablation found, and the files it is written to."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait3dlib._optional import require
from gait3dlib.ablation._judge import MEASURES, Figure
from gait3dlib.ablation._walks import Known
from gait3dlib.errors import ConfigError, did_you_mean


@dataclass(frozen=True, eq=False)
class Embeddings:
    """The templates of every walk, by single modality and by all of them.

    vectors: name -> float32 ``[walks, parts, dim]``, NaN where there was no evidence. subject, session,
    view_deg and covariates: of every walk.
    """

    vectors: Mapping[str, NDArray[np.float32]]
    subject: NDArray[Any]
    session: NDArray[Any]
    view_deg: NDArray[np.float32]
    covariates: Mapping[str, NDArray[Any]]

    @classmethod
    def of(cls, known: Sequence[Known], vectors: Mapping[str, NDArray[np.float32]]) -> Embeddings:
        """With what is known of every walk."""
        names = sorted({name for walk in known for name in walk.covariates})
        return cls(
            vectors,
            np.array([walk.subject for walk in known]),
            np.array([walk.session for walk in known]),
            np.array([math.nan if w.view_deg is None else w.view_deg for w in known], np.float32),
            {name: np.array([walk.covariates.get(name, "") for walk in known]) for name in names},
        )

    def save(self, path: Path | str) -> Path:
        """Write ``.npz`` (arrays by name, no pickle) or ``.parquet`` (one row a walk and modality).

        Raises:
            ConfigError: another suffix.
            MissingDependency: Parquet without pyarrow.
        """
        path = Path(path)
        if path.suffix == ".npz":
            arrays = {f"embedding/{name}": held for name, held in self.vectors.items()}
            np.savez_compressed(path, **arrays, **self._columns())  # type: ignore[arg-type]
        elif path.suffix == ".parquet":
            self._parquet(path)
        else:
            raise ConfigError(f"{path}: embeddings are written as .npz or .parquet")
        return path

    def _columns(self) -> dict[str, NDArray[Any]]:
        first = {"subject": self.subject, "session": self.session, "view_deg": self.view_deg}
        return first | {f"covariate/{name}": held for name, held in self.covariates.items()}

    def _parquet(self, path: Path) -> None:
        arrow, parquet = require("pyarrow"), require("pyarrow.parquet")
        walks, ways = len(self.subject), len(self.vectors)
        columns: dict[str, Any] = {"walk": np.tile(np.arange(walks), ways)}
        columns["modalities"] = np.repeat(list(self.vectors), walks)
        columns |= {name: np.tile(held, ways) for name, held in self._columns().items()}
        flat = np.concatenate([held.reshape(walks, -1) for held in self.vectors.values()])
        values = arrow.array(flat.reshape(-1), type=arrow.float32())
        columns["embedding"] = arrow.FixedSizeListArray.from_arrays(values, flat.shape[1])
        parquet.write_table(arrow.table(columns), path, compression="zstd")


@dataclass(frozen=True)
class AblationReport:
    """What every subset of the modalities found, in tidy rows.

    figures: one a subset, measure and part of the walks; the first subset is all modalities. sweeps: the
    same where one modality went wrong. attention: part of the walks -> modality -> mean share of identity
    attention. streams: modality -> what it was made from -> in how many walks. embeddings: of every single
    modality and of all. seconds: by stage.
    """

    data: str
    weights: str
    modalities: tuple[str, ...]
    people: int
    walks: int
    gallery: int
    probes: int
    seed: int
    figures: tuple[Figure, ...]
    sweeps: tuple[Figure, ...]
    attention: Mapping[str, Mapping[str, float]]
    streams: Mapping[str, Mapping[str, int]]
    embeddings: Embeddings = field(compare=False, repr=False)
    seconds: Mapping[str, float] = field(compare=False, repr=False)

    @property
    def measures(self) -> list[str]:
        """What was measured."""
        held = {figure.measure for figure in self.figures}
        return [measure for measure in MEASURES if measure in held]

    @property
    def covariates(self) -> dict[str, list[str]]:
        """The covariates that were tabulated, and their values."""
        found: dict[str, list[str]] = {}
        for figure in self.figures:
            levels = found.setdefault(figure.covariate, []) if figure.covariate else []
            if figure.covariate and figure.level not in levels:
                levels.append(figure.level)
        return found

    def rows(self, measure: str, covariate: str = "", level: str = "") -> dict[tuple[str, ...], Figure]:
        """Subset -> its figure.

        Raises:
            ConfigError: no such measure.
        """
        if measure not in MEASURES:
            raise ConfigError(f"there is no measure {measure!r}{did_you_mean(measure, MEASURES)}")
        key = (measure, covariate, level)
        return {f.modalities: f for f in self.figures if (f.measure, f.covariate, f.level) == key}

    def leave_one_out(self, measure: str) -> dict[str, Figure]:
        """Modality -> what the others reach without it; empty where there is one modality only."""
        rows = self.rows(measure)
        every = set(self.modalities)
        return {
            next(iter(every - set(names))): figure
            for names, figure in rows.items()
            if len(names) == len(every) - 1
        }

    def best(self, measure: str) -> Figure | None:
        """The best subset; of equals the smaller one. None where nothing was measured."""
        sign = 1 if MEASURES[measure][1] else -1
        known = [f for f in self.rows(measure).values() if not math.isnan(f.value.value)]
        return max(known, key=lambda f: (sign * f.value.value, -len(f.modalities)), default=None)

    def to_dict(self) -> dict[str, Any]:
        """Plain values with NaN as None, ready for strict JSON; without the embeddings."""
        names = ("data", "weights", "people", "walks", "gallery", "probes", "seed")
        best = {measure: self.best(measure) for measure in self.measures}
        return {
            **{name: getattr(self, name) for name in names},
            "modalities": list(self.modalities),
            "best": {measure: None if f is None else f.name for measure, f in best.items()},
            "figures": [record(figure) for figure in self.figures],
            "sweeps": [record(figure) for figure in self.sweeps],
            "attention": {part: dict(shares) for part, shares in self.attention.items()},
            "streams": {name: dict(used) for name, used in self.streams.items()},
            "seconds": dict(self.seconds),
        }

    def write(self, folder: Path | str, *, embeddings: str = "npz", plots: bool = True) -> list[Path]:
        """Write everything; see :func:`gait3dlib.ablation.write`."""
        from gait3dlib.ablation._files import write

        return write(self, Path(folder), embeddings=embeddings, plots=plots)


def record(figure: Figure) -> dict[str, Any]:
    """One figure as a flat row, NaN as None: what the CSV and the JSON hold."""
    flat = {
        "modalities": figure.name,
        "task": figure.task,
        "measure": figure.measure,
        "covariate": figure.covariate,
        "level": figure.level,
        "corruption": figure.corruption,
        "corrupted": figure.corrupted,
        "strength": figure.strength,
        "people": figure.people,
        "walks": figure.walks,
        "value": figure.value.value,
        "low": figure.value.low,
        "high": figure.value.high,
        "chance": figure.chance,
        "difference": figure.difference.value,
        "difference_low": figure.difference.low,
        "difference_high": figure.difference.high,
        "p": figure.p,
        "p_holm": figure.p_holm,
    }
    return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in flat.items()}
