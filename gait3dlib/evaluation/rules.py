"""Protocols of public data sets as data: which walks are enrolled, which are searched for, who meets whom.

A protocol is a YAML file (``configs/protocols``); :class:`Groups` is its schema. It chooses walks by what
OpenGait calls subject, type and view, so it runs on any embeddings of labelled walks, of whatever network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal, Protocol

import numpy as np

from gait3dlib import config
from gait3dlib.data.partitions import Partition
from gait3dlib.errors import ConfigError, InputError
from gait3dlib.evaluation._arrays import Bools, Ints, encode
from gait3dlib.evaluation.identification import Unmatched

Compare = Literal["all", "view_pairs"]
LeaveOut = Literal["nothing", "same_view", "same_person_and_view"]


class Labelled(Protocol):
    """What a protocol knows of a walk: who, which type (``nm-01``), which view (``090``)."""

    @property
    def subject(self) -> str:
        """Whose walk it is."""
        ...

    @property
    def session(self) -> str:
        """What OpenGait calls the type."""
        ...

    @property
    def view(self) -> str:
        """The name of the view."""
        ...


@dataclass(frozen=True)
class WalkLabel:
    """A walk by its labels alone, for embeddings that were made elsewhere."""

    subject: str
    session: str
    view: str = ""


class Chosen:
    """Which walks: all that every given rule lets through.

    Args:
        types: patterns of types, such as ``nm-0[5-6]`` or ``*bg*``.
        views: patterns of views.
        subjects: patterns of subjects.
        listed: walks in that list of the partition file (PROBE_SET, GALLERY_SET), by ``SUBJECT-TYPE-VIEW``;
            where the file has only the other list, the walks that are not in it.
        session: the first type of each person in sorted order, or the others.
    """

    def __init__(
        self,
        *,
        types: list[str] | None = None,
        views: list[str] | None = None,
        subjects: list[str] | None = None,
        listed: Literal["probe", "gallery"] | None = None,
        session: Literal["first", "other"] | None = None,
    ) -> None:
        self.types, self.views, self.subjects = types, views, subjects
        self.listed, self.session = listed, session

    def of(self, walks: Sequence[Labelled], partition: Partition | None) -> Ints:
        """The indices of those walks.

        Raises:
            ConfigError: a list is asked for and there is no partition file that has one.
        """
        kept = np.ones(len(walks), dtype=bool)
        for patterns, field in ((self.types, "session"), (self.views, "view"), (self.subjects, "subject")):
            if patterns is not None:
                kept &= [any(fnmatchcase(getattr(w, field), p) for p in patterns) for w in walks]
        if self.listed is not None:
            kept &= self._in_list(walks, partition)
        if self.session is not None:
            first: dict[str, str] = {}
            for walk in walks:
                first[walk.subject] = min(first.get(walk.subject, walk.session), walk.session)
            kept &= [(w.session == first[w.subject]) == (self.session == "first") for w in walks]
        return np.flatnonzero(kept)

    def _in_list(self, walks: Sequence[Labelled], partition: Partition | None) -> Bools:
        lists = {"probe": partition.probe, "gallery": partition.gallery} if partition else {}
        named = np.array([f"{w.subject}-{w.session}-{w.view}" for w in walks])
        for name, inside in ((self.listed, True), ("gallery" if self.listed == "probe" else "probe", False)):
            if wanted := lists.get(str(name)):
                found: Bools = np.isin(named, sorted(wanted)) == inside
                return found
        raise ConfigError(
            "partition: this protocol needs the PROBE_SET or GALLERY_SET of a partition file of OpenGait"
        )


@dataclass(frozen=True)
class Group:
    """A named row of the table: its probes and the gallery they are searched in."""

    probe: Chosen
    gallery: Chosen


@dataclass(frozen=True)
class Submission:
    """A file for a server that keeps the truth: for each of these walks, its nearest people."""

    probe: Chosen
    gallery: Chosen
    labels: int


class Groups:
    """A protocol of groups of probes.

    Args:
        kind: "groups".
        title: its name in tables.
        groups: name -> what :class:`Chosen` takes, for the probes, with a ``gallery`` of its own if need be.
        gallery: the gallery of the groups that name none.
        data_set: the data set it is made for; None = any.
        compare: "all": each probe with the whole gallery. "view_pairs": rank-k of every pair of a probe view
            and a gallery view, then the mean over gallery views, then over probe views.
        leave_out: what is not compared. "same_view": any walk of the probe's view. "same_person_and_view":
            the probe's own person at the probe's view.
        view_before: views are compared by the text before this, such as "_".
        unmatched: probes whose person is not in their gallery are a "miss", or are left out ("skip").
        ranks: the k of rank-k.
        strangers: share of the gallery's people who are taken out of it, for FNIR at FPIR.
        probe_modalities: what probes are seen by; None = all there is.
        gallery_modalities: what the gallery is seen by; None = all there is.
        submission: a file of names for a server: ``probe``, ``gallery``, ``labels``.
    """

    def __init__(
        self,
        *,
        title: str,
        groups: dict[str, dict[str, Any]],
        kind: Literal["groups"] = "groups",
        gallery: dict[str, Any] | None = None,
        data_set: str | None = None,
        compare: Compare = "all",
        leave_out: LeaveOut = "nothing",
        view_before: str = "",
        unmatched: Unmatched = "skip",
        ranks: list[config.Count] | None = None,
        strangers: config.Share = 0.0,
        probe_modalities: list[str] | None = None,
        gallery_modalities: list[str] | None = None,
        submission: dict[str, Any] | None = None,
    ) -> None:
        if not groups:
            raise ConfigError("groups: name at least one group of probes")
        if compare == "view_pairs" and (strangers or leave_out == "same_person_and_view"):
            raise ConfigError("compare: view pairs leave out the same view or nothing, and know no strangers")
        self.title, self.data_set, self.compare, self.leave_out = title, data_set, compare, leave_out
        self.view_before, self.unmatched, self.ranks = view_before, unmatched, tuple(ranks or (1, 5, 10))
        self.strangers = strangers
        self.probe_modalities, self.gallery_modalities = probe_modalities, gallery_modalities
        self.groups = {name: _group(name, values, gallery) for name, values in groups.items()}
        self.submission = None if submission is None else _submission(submission)
        self.asked: dict[str, Any] = {
            "title": title,
            "gallery": gallery,
            "groups": groups,
            "data_set": data_set,
        }
        self.asked |= {"compare": compare, "leave_out": leave_out, "view_before": view_before}
        self.asked |= {"unmatched": unmatched, "ranks": list(self.ranks), "strangers": strangers}
        self.asked |= {"probe_modalities": probe_modalities, "gallery_modalities": gallery_modalities}

    def views(self, walks: Sequence[Labelled]) -> list[str]:
        """The views of walks, as they are compared."""
        return [w.view.split(self.view_before)[0] if self.view_before else w.view for w in walks]

    def excluded(self, probe: Sequence[Labelled], gallery: Sequence[Labelled]) -> Bools:
        """Pairs that are not compared: bool ``[probes, gallery]``."""
        if self.leave_out == "nothing":
            return np.zeros((len(probe), len(gallery)), dtype=bool)
        mask = _equal(self.views(probe), self.views(gallery))
        if self.leave_out == "same_person_and_view":
            mask &= _equal([w.subject for w in probe], [w.subject for w in gallery])
        return mask


def read_rules(values: Mapping[str, Any], where: str) -> Groups:
    """The rules that a config file holds.

    Raises:
        ConfigError: unknown keys, wrong types.
    """
    return config.build(Groups, values, where)


def _group(name: str, values: Mapping[str, Any], gallery: Mapping[str, Any] | None) -> Group:
    own = dict(values)
    chosen = own.pop("gallery", gallery)
    if chosen is None:
        raise ConfigError(f"groups.{name}: has no gallery; name one here, or one for all groups")
    return Group(
        config.build(Chosen, own, f"groups.{name}"), config.build(Chosen, chosen, f"groups.{name}.gallery")
    )


def _submission(values: Mapping[str, Any]) -> Submission:
    def made(*, probe: dict[str, Any], gallery: dict[str, Any], labels: config.Count = 20) -> Submission:
        searched = config.build(Chosen, probe, "submission.probe")
        return Submission(searched, config.build(Chosen, gallery, "submission.gallery"), labels)

    return config.build(made, values, "submission")


def _equal(a: Sequence[str], b: Sequence[str]) -> Bools:
    mine, theirs = encode(list(a), list(b))
    mask: Bools = mine[:, None] == theirs[None, :]
    return mask


def some(walks: Sequence[Labelled], rows: Ints, what: str, rules: Groups) -> list[Labelled]:
    """Those walks.

    Raises:
        InputError: there is none.
    """
    if not len(rows):
        raise InputError(f"{rules.title}: no walk is {what}; is this the data set and split it is made for?")
    return [walks[i] for i in rows]
