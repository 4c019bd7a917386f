"""BVH files: a skeleton's offsets and the rotations of its joints in every frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gait3dlib.body._skinning import forward_kinematics
from gait3dlib.errors import InputError
from gait3dlib.simulation.posture import about

Array = NDArray[np.float64]
MAX_BYTES = 200_000_000
MAX_JOINTS = 500
_AXES = {"X": 0, "Y": 1, "Z": 2}


@dataclass(frozen=True, eq=False)
class Bvh:
    """One motion, in the file's own axes and units.

    Attributes:
        names: of the J joints, in file order; end sites are left out.
        parents: ``[J]``, -1 for the root.
        rotations: ``[T, J, 3, 3]``, of each joint in the world.
        positions: ``[T, J, 3]``, of each joint in the world.
        fps: frames a second.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    rotations: Array
    positions: Array
    fps: float


@dataclass
class _Joint:
    name: str
    parent: int
    offset: tuple[float, ...] = ()
    channels: tuple[str, ...] = ()


def read_bvh(path: Path | str) -> Bvh:
    """Read a BVH file.

    Raises:
        InputError: not a BVH file, larger than 200 MB, cut off, or with numbers that are none.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} is no file; name a .bvh file")
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"{path.name} is larger than {MAX_BYTES // 10**6} MB; cut it into shorter motions")
    head, found, tail = path.read_text(encoding="utf-8", errors="replace").partition("MOTION")
    try:
        joints = _hierarchy(iter(head.split())) if found else []
        fps, values = _motion(tail, sum(len(j.channels) for j in joints))
    except (ValueError, StopIteration) as error:
        raise InputError(f"{path.name} is no complete BVH file ({error or 'it ends early'})") from None
    return _posed(joints, values, fps)


def _hierarchy(words: Iterator[str]) -> list[_Joint]:
    """The joints in file order; end sites are read and forgotten."""
    if next(words) != "HIERARCHY":
        raise ValueError("no HIERARCHY")
    joints: list[_Joint] = []
    chain: list[int] = []  # open braces: index of the joint, -1 inside an end site
    opened = -1
    for word in words:
        if word in ("ROOT", "JOINT"):
            joints.append(_Joint(next(words), chain[-1] if chain else -1))
            opened = len(joints) - 1
            if len(joints) > MAX_JOINTS or (opened > 0) == (word == "ROOT"):
                raise ValueError("more than one root, or too many joints")
        elif word == "End":
            next(words)
            opened = -1
        elif word == "{":
            chain.append(opened)
        elif word == "}":
            chain.pop() if chain else _fail("a closing brace too many")
        elif word == "OFFSET":
            offset = tuple(float(next(words)) for _ in range(3))
            if chain and chain[-1] >= 0:
                joints[chain[-1]].offset = offset
        elif word == "CHANNELS" and chain and chain[-1] >= 0:
            joints[chain[-1]].channels = tuple(next(words) for _ in range(min(int(next(words)), 6)))
        else:
            raise ValueError(f"unexpected word {word[:20]!r}")
    if chain or not joints or any(len(j.offset) != 3 for j in joints):
        raise ValueError("an open brace, or a joint without OFFSET")
    return joints


def _fail(why: str) -> None:
    raise ValueError(why)


def _motion(text: str, channels: int) -> tuple[float, Array]:
    """Frames a second, and the channels' values ``[T, channels]``."""
    words = text.split()
    if channels == 0 or words[:1] != ["Frames:"] or words[2:4] != ["Frame", "Time:"]:
        raise ValueError("no MOTION")
    frames, seconds = int(words[1]), float(words[4])
    if not 1e-4 < seconds < 1.0 or frames < 1 or len(words) - 5 != frames * channels:
        raise ValueError(f"not {frames} frames of {channels} numbers")
    values = np.array(words[5:], dtype=np.float64).reshape(frames, channels)
    if not np.isfinite(values).all():
        raise ValueError("numbers that are none")
    return 1.0 / seconds, values


def _posed(joints: list[_Joint], values: Array, fps: float) -> Bvh:
    local = np.tile(np.eye(3), (len(values), len(joints), 1, 1))
    offsets = np.array([j.offset for j in joints], dtype=np.float64)
    root = np.tile(offsets[0], (len(values), 1))
    column = 0
    for number, joint in enumerate(joints):
        for channel in joint.channels:
            axis, kind = _AXES.get(channel[:1].upper(), -1), channel[1:].lower()
            if axis < 0 or kind not in ("position", "rotation"):
                raise InputError(f"a BVH file has no channel {channel[:20]!r}")
            if kind == "rotation":
                local[:, number] = local[:, number] @ about(axis, values[:, column])
            elif number == 0:
                root[:, axis] += values[:, column]
            column += 1
    parents = tuple(j.parent for j in joints)
    rotations, positions = forward_kinematics(local, offsets, root, parents)
    return Bvh(tuple(j.name for j in joints), parents, rotations, positions, fps)
