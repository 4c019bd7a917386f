"""Covariates: under which circumstances somebody walks by, and the named cells they are drawn from.

A cell changes one thing about ``normal``, so a table of cells says what each covariate costs. Nothing in here
depends on who walks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from gait3dlib.errors import InputError, did_you_mean
from gait3dlib.simulation.outfit import Outfit

OCCLUSIONS = ("none", "pole", "wall", "furniture", "people")
NORMAL_HEIGHT_PX = (180.0, 300.0)


@dataclass(frozen=True)
class Condition:
    """The circumstances of one walk.

    Attributes:
        cell: name of the cell it was drawn from.
        outfit: what is worn and carried.
        speed: multiple of the person's comfortable speed.
        view_deg: angle between the walking direction and the camera's nominal place.
        turned_deg: how far the camera stands from that place.
        camera_height_m: of camera and depth camera.
        tilt_deg: by how much the camera looks higher (+) or lower than at the middle of the walk.
        distance_m: from the camera to the middle of the walk.
        height_px: how tall a person of 1.7 m is in the image at the middle of the walk.
        fps: of camera and depth camera.
        occlusion: "none", "pole", "wall", "furniture" or "people".
        night: no light but the sensors' own.
        beams: of the LiDAR.
        lidar_distance_m: from the LiDAR to the middle of the walk.
        lidar_height_m: of the LiDAR.

    Raises:
        InputError: an unknown occlusion, or a number that cannot be.
    """

    cell: str = "normal"
    outfit: Outfit = dataclasses.field(default_factory=Outfit)
    speed: float = 1.0
    view_deg: float = 90.0
    turned_deg: float = 0.0
    camera_height_m: float = 1.5
    tilt_deg: float = 0.0
    distance_m: float = 5.5
    height_px: float = 240.0
    fps: float = 30.0
    occlusion: str = "none"
    night: bool = False
    beams: int = 64
    lidar_distance_m: float = 8.0
    lidar_height_m: float = 1.7

    def __post_init__(self) -> None:
        if self.occlusion not in OCCLUSIONS:
            raise InputError(f"no occlusion {self.occlusion!r}{did_you_mean(self.occlusion, OCCLUSIONS)}")
        for name, (low, high) in _LIMITS.items():
            if not low <= getattr(self, name) <= high:
                raise InputError(f"{name} must be {low:g} to {high:g}, not {getattr(self, name):g}")

    def covariates(self) -> dict[str, str]:
        """What a recording says of the walk; no model reads it."""
        return {
            "cell": self.cell,
            "clothes": self.outfit.clothes,
            "carried": self.outfit.carried,
            "speed": f"{self.speed:.3f}",
            "camera_height_m": f"{self.camera_height_m:.2f}",
            "tilt_deg": f"{self.tilt_deg:.1f}",
            "distance_m": f"{self.distance_m:.2f}",
            "height_px": f"{self.height_px:.0f}",
            "fps": f"{self.fps:g}",
            "occlusion": self.occlusion,
            "night": "yes" if self.night else "no",
            "beams": str(self.beams),
            "lidar_distance_m": f"{self.lidar_distance_m:.2f}",
        }


_LIMITS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "speed": (0.5, 1.6),
        "camera_height_m": (0.2, 8.0),
        "tilt_deg": (-30.0, 30.0),
        "distance_m": (3.5, 60.0),
        "height_px": (20.0, 1000.0),
        "fps": (2.0, 240.0),
        "lidar_distance_m": (3.0, 100.0),
        "lidar_height_m": (0.2, 8.0),
    }
)

# cell -> what differs from `normal`: a value, or a range to draw from
CELLS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "normal": {},
        "coat": {"clothes": "coat"},
        "skirt": {"clothes": "skirt"},
        "loose_trousers": {"clothes": "loose_trousers"},
        "bag": {"carried": "bag"},
        "backpack": {"carried": "backpack"},
        "box": {"carried": "box"},
        "umbrella": {"carried": "umbrella"},
        "slow": {"speed": (0.65, 0.8)},
        "fast": {"speed": (1.2, 1.4)},
        "high_camera": {"camera_height_m": (2.8, 4.0)},
        "low_camera": {"camera_height_m": (0.4, 0.7)},
        "tilted": {"tilt_deg": (-9.0, 9.0)},
        "small": {"height_px": (40.0, 80.0)},
        "large": {"height_px": (320.0, 400.0)},
        "low_rate": {"fps": 10.0},
        "pole": {"occlusion": "pole"},
        "wall": {"occlusion": "wall"},
        "furniture": {"occlusion": "furniture"},
        "people": {"occlusion": "people"},
        "night": {"night": True},
        "far_lidar": {"lidar_distance_m": (15.0, 25.0)},
        "beams16": {"beams": 16},
        "beams32": {"beams": 32},
        "beams128": {"beams": 128},
    }
)
_NORMAL: Mapping[str, Any] = MappingProxyType(
    {
        "speed": (0.9, 1.1),
        "turned_deg": (-4.0, 4.0),
        "camera_height_m": (1.0, 2.0),
        "tilt_deg": (-2.0, 2.0),
        "distance_m": (5.0, 6.5),
        "height_px": NORMAL_HEIGHT_PX,
        "lidar_distance_m": (6.0, 11.0),
        "lidar_height_m": (1.3, 2.0),
    }
)


def cell_names(names: str | None) -> tuple[str, ...]:
    """The cells of a comma-separated list; "all" = every one.

    Raises:
        InputError: no such cell.
    """
    if not names:
        return ()
    if names == "all":
        return tuple(CELLS)
    return check_cells([name.strip() for name in names.split(",") if name.strip()])


def check_cells(names: list[str] | tuple[str, ...]) -> tuple[str, ...]:
    """The names, once each.

    Raises:
        InputError: no such cell.
    """
    for name in names:
        if name not in CELLS:
            raise InputError(f"no covariate cell {name!r}{did_you_mean(name, CELLS)}")
    return tuple(dict.fromkeys(names))


def draw(cell: str, rng: np.random.Generator, **given: Any) -> Condition:
    """A condition of a cell.

    Every cell draws the same random numbers in the same order: with the same ``rng`` two cells differ in
    what the cell says and in nothing else.

    Args:
        cell: name in :data:`CELLS`.
        rng: draws what the cell leaves open.
        given: fields of :class:`Condition` that are not drawn, such as ``view_deg``; the cell wins over them.

    Raises:
        InputError: no such cell.
    """
    (cell,) = check_cells((cell,))
    changed = CELLS[cell]
    values: dict[str, Any] = {}
    for name, held in {**_NORMAL, **given, **changed}.items():
        if not isinstance(held, tuple):
            values[name] = held
    for name, span in _NORMAL.items():
        share = float(rng.random())
        low, high = changed.get(name, span) if isinstance(changed.get(name, span), tuple) else span
        if name not in values:
            values[name] = low + share * (high - low)
    outfit = Outfit(
        values.pop("clothes", "plain"), values.pop("carried", "none"), seed=int(rng.integers(2**31))
    )
    return Condition(cell=cell, outfit=outfit, **values)
