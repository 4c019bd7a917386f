"""Who is compared with whom: view and session rules, and a split for cross-view tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from gait3dlib.errors import InputError
from gait3dlib.evaluation._arrays import F64, Bools, Ints, Names, encode


@dataclass(frozen=True)
class CrossViewSplit:
    """Indices into the walks: one gallery walk a person, the probes far enough from it, and who dropped out.

    ``unused`` are walks too near to the gallery walk of their person; ``without_probe`` are people whose
    walks are all too near to each other, who then stand in the gallery only.
    """

    gallery: Ints
    probe: Ints
    unused: Ints
    without_probe: tuple[str, ...]


def view_difference(a: ArrayLike, b: ArrayLike) -> F64:
    """Angle between two headings on the circle, in degrees, 0 to 180 (350 and 10 are 20 apart)."""
    difference = np.abs(np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)) % 360.0
    angle: F64 = np.minimum(difference, 360.0 - difference)
    return angle


def exclude_views(probe_views: ArrayLike, gallery_views: ArrayLike, min_degrees: float = 0.0) -> Bools:
    """Pairs that a cross-view test may not compare.

    A pair is excluded if the views are identical or less than ``min_degrees`` apart: 0 is the rule of
    CASIA-B, OU-MVLP and SUSTech1K ("identical view excluded"), 30 the one of this library's benchmarks.
    All people's entries at such a view are left out; for the rule of re-identification, which leaves out
    the probe's own person only, combine the mask with equality of the labels.

    Returns:
        bool ``[probes, gallery]``, True = not compared.

    Raises:
        InputError: a view is missing or not finite.
    """
    a, b = _views(probe_views), _views(gallery_views)
    apart = view_difference(a[:, None], b[None, :])
    mask: Bools = (apart < min_degrees) | (apart == 0.0)
    return mask


def exclude_sessions(probe_sessions: Names, gallery_sessions: Names) -> Bools:
    """Pairs recorded in the same session: bool ``[probes, gallery]``, True = not compared.

    Clothes, shoes and the calibration of the day make a walk of the same session easier than life.
    """
    probe, gallery = encode(probe_sessions, gallery_sessions)
    mask: Bools = probe[:, None] == gallery[None, :]
    return mask


def cross_view_split(views: ArrayLike, labels: Names, min_degrees: float = 30.0) -> CrossViewSplit:
    """Split walks so that every probe is at least ``min_degrees`` from the gallery walk of its person.

    For each person the gallery gets the one walk that leaves most probes (the first of equals). Other
    people's gallery walks may share the probe's view: that makes the test harder, not easier.

    Args:
        views: degrees, one a walk.
        labels: who walks.
        min_degrees: smallest difference of view between a probe and its mate.

    Raises:
        InputError: lengths disagree or a view is missing.
    """
    angles = _views(views)
    (people,) = encode(labels)
    if len(angles) != len(people):
        raise InputError(f"{len(angles)} views do not fit {len(people)} labels")
    gallery, probe, unused, alone = [], [], [], []
    for person in range(int(people.max()) + 1):
        walks = np.flatnonzero(people == person)
        far = ~exclude_views(angles[walks], angles[walks], min_degrees)
        chosen = int(np.argmax(far.sum(axis=1)))
        gallery.append(walks[chosen])
        probe.extend(walks[far[chosen]])
        unused.extend(np.delete(walks, chosen)[~np.delete(far[chosen], chosen)])
        if not far[chosen].any():
            alone.append(str(np.asarray(labels)[walks[0]]))
    return CrossViewSplit(_sorted(gallery), _sorted(probe), _sorted(unused), tuple(alone))


def _sorted(indices: list[np.int64]) -> Ints:
    return np.sort(np.asarray(indices, dtype=np.int64))


def _views(views: ArrayLike) -> F64:
    angles = np.asarray(views, dtype=np.float64)
    if angles.ndim != 1 or not np.isfinite(angles).all():
        raise InputError("views must be a list of degrees with none missing; leave out walks of unknown view")
    return angles
