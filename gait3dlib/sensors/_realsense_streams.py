"""What a RealSense camera is asked for and what its frames become: profiles, filters, arrays, calibration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gait3dlib._optional import require
from gait3dlib.errors import ConfigError, SensorError, did_you_mean
from gait3dlib.types import Calibration

Picture = Literal["auto", "color", "infrared", "none"]
Alignment = Literal["none", "color", "depth"]
Filters = Mapping[str, Mapping[str, float]]

# in the order in which the SDK's guide puts them; the two in the middle work on disparity
FILTERS = ("decimation", "threshold", "spatial", "temporal", "hole_filling")
ON_DISPARITY = ("spatial", "temporal")
# a camera that looks level: x right, y down, z forward out of a world of x forward, y left, z up
LEVEL = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])


@dataclass(frozen=True)
class Wanted:
    """Sizes and rates to ask for."""

    width: int
    height: int
    fps: int
    picture: Picture


def parse_filters(text: str | Filters) -> dict[str, dict[str, float]]:
    """Filters by name, with their options: "spatial+temporal", or a mapping.

    Raises:
        ConfigError: there is no such filter.
    """
    asked: Filters = (
        {name.strip(): {} for name in text.split("+") if name.strip()} if isinstance(text, str) else text
    )
    for name in asked:
        if name not in FILTERS:
            raise ConfigError(f"the RealSense SDK has no filter {name!r}{did_you_mean(name, FILTERS)}")
    return {name: dict(asked[name]) for name in FILTERS if name in asked}


class Chain:
    """The SDK's own filters, and its alignment of depth and picture.

    Raises:
        ConfigError: a filter has no such option, or does not take that value.
    """

    def __init__(self, filters: dict[str, dict[str, float]], align: Alignment) -> None:
        rs = require("pyrealsense2")
        self._steps = []
        for name, options in filters.items():
            made = getattr(rs, f"{name}_filter")()
            for option, value in options.items():
                _set(rs, made, name, option, value)
            self._steps.append((name, made))
        at = [i for i, (name, _) in enumerate(self._steps) if name in ON_DISPARITY]
        if at:
            self._steps.insert(at[-1] + 1, ("", rs.disparity_transform(False)))
            self._steps.insert(at[0], ("", rs.disparity_transform(True)))
        self._align = None if align == "none" else rs.align(getattr(rs.stream, align))

    def __call__(self, frames: Any) -> Any:
        """A set of frames, processed; None where alignment lacks one of two."""
        for _, step in self._steps:
            frames = step.process(frames).as_frameset()
        if self._align is None:
            return frames
        return self._align.process(frames).as_frameset() if frames.size() > 1 else None


def _set(rs: Any, made: Any, name: str, option: str, value: float) -> None:
    known = {item.name.lower().replace(" ", "_"): item for item in made.get_supported_options()}
    if option not in known:
        raise ConfigError(f"filter {name!r} has no option {option!r}{did_you_mean(option, known)}")
    try:
        made.set_option(known[option], float(value))
    except RuntimeError:
        span = made.get_option_range(known[option])
        raise ConfigError(f"{name}.{option} must be {span.min:g} to {span.max:g}, not {value:g}") from None


def choose(device: Any, wanted: Wanted, who: str) -> list[tuple[Any, list[Any]]]:
    """The profiles to open, with the sensor of the camera that has them.

    Raises:
        SensorError: the camera does not offer them; the message says what it offers.
    """
    rs = require("pyrealsense2")
    offered = [
        (sensor, profile.as_video_stream_profile())
        for sensor in device.query_sensors()
        for profile in sensor.get_stream_profiles()
        if profile.is_video_stream_profile()
    ]
    depth = [pair for pair in offered if _is(pair[1], rs.stream.depth, (rs.format.z16,))]
    chosen = [_pick(depth, wanted, who, "depth")]
    color = [pair for pair in offered if _is(pair[1], rs.stream.color, (rs.format.rgb8, rs.format.bgr8))]
    infrared = [pair for pair in offered if _is(pair[1], rs.stream.infrared, (rs.format.y8,))]
    infrared = [pair for pair in infrared if pair[1].stream_index() in (0, 1)]
    if wanted.picture == "infrared":
        chosen.append(_pick(infrared, wanted, who, "infrared"))
    elif wanted.picture == "color" or (wanted.picture == "auto" and color):
        chosen.append(_pick(color, wanted, who, "color"))
    together: list[tuple[Any, list[Any]]] = []
    for sensor, profile in chosen:
        mine = next((held for other, held in together if other is sensor), None)
        if mine is None:
            together.append((sensor, [profile]))
        else:
            mine.append(profile)
    return together


def _is(profile: Any, stream: Any, formats: tuple[Any, ...]) -> bool:
    return bool(profile.stream_type() == stream and profile.format() in formats)


def _pick(offered: list[tuple[Any, Any]], wanted: Wanted, who: str, stream: str) -> tuple[Any, Any]:
    asked = (wanted.width, wanted.height, wanted.fps)
    for sensor, profile in offered:
        if (profile.width(), profile.height(), profile.fps()) == asked:
            return sensor, profile
    if not offered:
        raise SensorError(f"{who} offers no {stream} stream; choose another one by picture=...")
    have = sorted({(p.width(), p.height(), p.fps()) for _, p in offered}, reverse=True)
    listed = ", ".join(f"{w}x{h} at {fps}" for w, h, fps in have[:12])
    raise SensorError(
        f"{who} offers no {stream} of {asked[0]}x{asked[1]} at {asked[2]} frames a second, but {listed}"
    )


def picture_name(rs: Any, profile: Any) -> str | None:
    """The stream that a frame of that profile belongs to; None for what is not used."""
    kind, form = profile.stream_type(), profile.format()
    if kind == rs.stream.depth and form == rs.format.z16:
        return "depth"
    if kind == rs.stream.color and form in (rs.format.rgb8, rs.format.bgr8, rs.format.rgba8, rs.format.yuyv):
        return "color"
    if kind == rs.stream.infrared and form == rs.format.y8 and profile.stream_index() in (0, 1):
        return "infrared"
    return None


def owned(rs: Any, frame: Any) -> NDArray[Any]:
    """A copy of a frame's pixels: uint16 ``[h, w]`` of depth, uint8 ``[h, w, 3]`` RGB of pictures.

    The SDK hands out the same few buffers again and again, so nothing of a frame is kept.

    Raises:
        SensorError: the frame is empty or of another size than it says.
    """
    video = frame.as_video_frame()
    shape = (video.get_height(), video.get_width())
    data = np.asanyarray(frame.get_data())
    if not data.size or data.shape[:2] != shape or min(shape) < 1:
        raise SensorError(
            f"the camera gave an empty frame ({shape[1]}x{shape[0]}); unplug it and plug it in again"
        )
    form = frame.get_profile().format()
    if form == rs.format.bgr8:
        data = data[..., ::-1]
    elif form == rs.format.rgba8:
        data = data[..., :3]
    elif form == rs.format.y8:
        data = np.repeat(data[..., None], 3, axis=2)
    elif form == rs.format.yuyv:
        data = _from_yuyv(data)
    return np.array(data, order="C")


def _from_yuyv(data: NDArray[Any]) -> NDArray[np.uint8]:
    """RGB from pairs of pixels that share their colour (BT.601, as the SDK converts it)."""
    raw = data.view(np.uint8).reshape(*data.shape[:2], 2).astype(np.float32)
    bright = 1.164 * (raw[..., 0] - 16)
    blue, red = (np.repeat(raw[:, i::2, 1] - 128, 2, axis=1) for i in (0, 1))
    rgb = np.stack([bright + 1.596 * red, bright - 0.392 * blue - 0.813 * red, bright + 2.017 * blue], -1)
    return rgb.round().clip(0, 255).astype(np.uint8)


def calibrations(
    profiles: Mapping[str, Any], scale_m: float, mount: NDArray[np.float64] | None
) -> dict[str, Calibration]:
    """The pinholes of streams by name; extrinsics lead from the world, or without a mount from a level one.

    Args:
        profiles: the SDK's, by stream; "depth" among them.
        scale_m: metres of a unit of depth as it is handed on.
        mount: world to depth camera, ``[4, 4]``.
    """
    world = LEVEL if mount is None else mount
    depth = profiles.get("depth")
    out = {}
    for name, profile in profiles.items():
        inner = profile.as_video_stream_profile().get_intrinsics()
        extrinsics = world
        if depth is not None and name != "depth":
            extrinsics = _between(depth, profile) @ world
        out[name] = Calibration(
            inner.width, inner.height, inner.fx, inner.fy, inner.ppx, inner.ppy, extrinsics,
            scale_m if name == "depth" else None,
        )  # fmt: skip
    return out


def _between(depth: Any, profile: Any) -> NDArray[np.float64]:
    """``[4, 4]`` from the depth camera's frame to another's; the SDK's rotations are column-major."""
    matrix = np.eye(4)
    try:
        found = depth.get_extrinsics_to(profile)
    except RuntimeError:  # a file without them: as if both were one
        return matrix
    matrix[:3, :3] = np.array(found.rotation).reshape(3, 3).T
    matrix[:3, 3] = found.translation
    return matrix
