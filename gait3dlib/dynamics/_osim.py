"""Joint centres of an OpenSim model (.osim, version 4) in the poses of an inverse kinematics file."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.interpolate import CubicSpline

from gait3dlib.dynamics._opensim import MAX_TEXT_BYTES, TO_Z_UP, Table
from gait3dlib.dynamics._trials import F64
from gait3dlib.errors import InputError

_STEP = 1e-5


@dataclass(frozen=True, eq=False)
class ModelMotion:
    """Where an OpenSim model's bodies and joints are, x forward, y left, z up, metres.

    Attributes:
        origin: body -> ``[T, 3]`` origin of its frame.
        rotation: body -> ``[T, 3, 3]`` from OpenSim's axes of the body to the world's.
        centre: joint -> ``[T, 3]``, about which it turns at that moment: a knee also slides as it bends, and
            about its instant centre (not its child's origin) the generalised force is a moment alone.
        axis: joint -> ``[T, 3]`` direction of its first rotation.
        mass_kg: of the whole model.
    """

    origin: dict[str, F64]
    rotation: dict[str, F64]
    centre: dict[str, F64]
    axis: dict[str, F64]
    mass_kg: float


def read_osim(path: str | Path, motion: Table) -> ModelMotion:
    """Forward kinematics of a model's custom joints over the frames of a motion.

    Raises:
        InputError: not a model of version 4, or joints of a kind that is not read.
    """
    try:
        if Path(path).stat().st_size > MAX_TEXT_BYTES:
            raise InputError(f"{path} is larger than {MAX_TEXT_BYTES >> 20} MiB")
        root = ET.parse(path).getroot()
    except (OSError, ET.ParseError) as error:
        raise InputError(f"cannot read {path} as an OpenSim model: {error}") from error
    joints = root.find(".//JointSet/objects")
    if joints is None:
        raise InputError(f"{path} holds no JointSet; convert it with OpenSim 4")
    frames = len(motion.time_s)
    places = {"ground": (np.tile(TO_Z_UP, (frames, 1, 1)), np.zeros((frames, 3)))}
    centres, axes = {}, {}
    for element in joints:
        name = element.get("name", "")
        parent, child, above, below = _ends(element)
        if parent not in places:
            raise InputError(f"{path}: joint {name!r} comes before its parent {parent!r}")
        turn, place = places[parent]
        place = place + turn @ above[1]
        turn = turn @ above[0]
        spin, shift, first = _transform(element, motion, 0.0)
        slide = (_transform(element, motion, _STEP)[1] - shift) / _STEP
        axes[name] = turn @ first
        origin = place + (turn @ shift[..., None])[..., 0]
        centres[name] = origin + (turn @ np.cross(first, slide)[..., None])[..., 0]
        turn = turn @ spin @ below[0].T
        places[child] = (turn, origin - turn @ below[1])
    mass = sum(float(body.findtext("mass", "0")) for body in root.iter("Body"))
    origins = {name: place for name, (_, place) in places.items()}
    return ModelMotion(origins, {name: turn for name, (turn, _) in places.items()}, centres, axes, mass)


def _ends(joint: ET.Element) -> tuple[str, str, tuple[F64, F64], tuple[F64, F64]]:
    """Names of the parent and child bodies, and where the joint's frames lie in them."""
    frames = {frame.get("name"): frame for frame in joint.iter("PhysicalOffsetFrame")}
    out = []
    for socket in ("socket_parent_frame", "socket_child_frame"):
        frame = frames[(joint.findtext(socket) or "").split("/")[-1]]
        body = (frame.findtext("socket_parent") or "").split("/")[-1]
        turn = _euler(_vector(frame.findtext("orientation")))
        out.append((body, (turn, _vector(frame.findtext("translation")))))
    return out[0][0], out[1][0], out[0][1], out[1][1]


def _transform(joint: ET.Element, motion: Table, step: float) -> tuple[F64, F64, F64]:
    """Rotation ``[T, 3, 3]``, translation ``[T, 3]`` and first axis ``[3]`` of a custom joint.

    `step` is added to the joint's angles, in radians.
    """
    transform = joint.find("SpatialTransform")
    if transform is None:
        raise InputError(f"joint {joint.get('name')!r} is a {joint.tag}; only custom joints are read")
    frames = len(motion.time_s)
    spin, shift = np.tile(np.eye(3), (frames, 1, 1)), np.zeros((frames, 3))
    first = np.array([0.0, 0.0, 1.0])
    for number, axis in enumerate(transform.findall("TransformAxis")):
        direction = _vector(axis.findtext("axis"))
        value = _value(axis, motion, step)
        if number < 3:
            first = direction if number == 0 else first
            spin = spin @ _about(direction, value)
        else:
            shift = shift + value[:, None] * direction
    return spin, shift, first


def _value(axis: ET.Element, motion: Table, step: float) -> F64:
    """A transform axis over time: its function of its coordinate."""
    coordinate = (axis.findtext("coordinates") or "").strip()
    angle = np.zeros(len(motion.time_s))
    if coordinate:
        # coordinates that a motion lacks stand at zero, as in OpenSim
        angle = motion.columns.get(coordinate, angle)
        turning = axis.get("name", "").startswith("rotation") or not coordinate.endswith(("tx", "ty", "tz"))
        angle = (np.radians(angle) if motion.degrees else angle) + step if turning else angle
    function = next((child for child in axis if child.get("name") == "function"), None)
    return angle if function is None else _function(function, angle)


def _function(element: ET.Element, x: F64) -> F64:
    if element.tag == "Constant":
        return np.full_like(x, float(element.findtext("value", "0")))
    if element.tag == "LinearFunction":
        slope, start = _vector(element.findtext("coefficients"))
        return np.asarray(slope * x + start)
    if element.tag == "MultiplierFunction":
        inner = element.find("function")
        if inner is not None and len(inner):
            return float(element.findtext("scale", "1")) * _function(inner[0], x)
    if element.tag in ("SimmSpline", "NaturalCubicSpline"):
        knots = CubicSpline(_vector(element.findtext("x")), _vector(element.findtext("y")), bc_type="natural")
        return np.asarray(knots(x))
    raise InputError(f"a joint uses a function of kind {element.tag!r}, which is not read")


def _vector(text: str | None) -> F64:
    return np.array([float(word) for word in (text or "0 0 0").split()])


def _about(axis: F64, angle: F64) -> F64:
    x, y, z = axis / np.linalg.norm(axis)
    odd = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    sine, cosine = np.sin(angle)[:, None, None], np.cos(angle)[:, None, None]
    return np.asarray(np.eye(3) + sine * odd + (1 - cosine) * (odd @ odd))


def _euler(angles: F64) -> F64:
    """OpenSim's body-fixed x, y, z."""
    turn = np.eye(3)
    for axis, angle in zip(np.eye(3), angles, strict=True):
        turn = turn @ _about(axis, np.array([angle]))[0]
    return turn
