"""How each public data set lies on the disk, as OpenGait keeps it.

All of them are ``root/SUBJECT/TYPE/VIEW/*.pkl``. What differs is told here, as data: which file is which
stream where the names tell it, frame rates, and what the name of a view says of its angle.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

# 000, 45, 180, 000-far: the whole of a name, or all before a dash
_PLAIN = r"(\d{1,3})(?:-.*)?"
# CCGR names the row of cameras and its place: 45_1 is 45 degrees, 67_5_2 is 67.5 degrees
_CCGR = r"(\d{1,3}(?:_5)?)_[a-z0-9](?:\.avi)?"


@dataclass(frozen=True)
class Layout:
    """What a reader must know of a data set.

    Args:
        title: its name as the field writes it.
        files: stream -> pattern of its file's name; empty = the content tells. Where no file of a view is
            named so, the content tells too, if that is not ambiguous.
        fps: frames a second of cameras; the files hold no times.
        lidar_fps: frames a second of point clouds.
        deeper: names of folders inside a view's, where files lie in such.
        degrees: what a view's name says of its angle, as a pattern; empty = nothing.
        train_up_to: where there is no partition file, people with a number up to this one are trained on,
            the others tested.
    """

    title: str
    files: Mapping[str, str] = field(default_factory=dict)
    fps: float = 25.0
    lidar_fps: float = 10.0
    deeper: tuple[str, ...] = ()
    degrees: str = ""
    train_up_to: int | None = None

    def stream(self, name: str) -> str | None:
        """The stream that a file of that name holds; None where the names do not tell."""
        return next((stream for stream, like in self.files.items() if fnmatchcase(name, like)), None)

    def view_deg(self, view: str) -> float | None:
        """The angle that the name of a view tells, 0 to 360."""
        found = re.fullmatch(self.degrees, view) if self.degrees else None
        angle = float(found[1].replace("_", ".")) if found else None
        return angle if angle is not None and angle < 360 else None


_CCGR_FILES = {"silhouette": "002-*sil*.pkl", "parsing": "003-*par*.pkl", "keypoints": "004-*pose*.pkl"}
_SUSTECH1K = {"points": "*PCDs.pkl", "keypoints": "*Pose.pkl", "silhouette": "*Sils_aligned.pkl"}

LAYOUTS: dict[str, Layout] = {
    "casia_b": Layout("CASIA-B", degrees=_PLAIN, train_up_to=74),
    "ou_mvlp": Layout("OU-MVLP", degrees=_PLAIN),
    "grew": Layout("GREW"),
    "gait3d": Layout("Gait3D"),
    "sustech1k": Layout(
        "SUSTech1K",
        files={stream: f"0[0-7]-{like}" for stream, like in _SUSTECH1K.items()},
        fps=30.0,
        degrees=_PLAIN,
    ),
    "sustech1k_sync": Layout(
        "SUSTech1K, camera frames paired with those of the LiDAR",
        files={stream: f"*-sync-{like}" for stream, like in _SUSTECH1K.items()},
        fps=10.0,
        degrees=_PLAIN,
    ),
    "ccpg": Layout("CCPG", files={"silhouette": "*aligned-sils.pkl"}),
    "ccgr_mini": Layout("CCGR-Mini", files=_CCGR_FILES, degrees=_CCGR),
    "ccgr": Layout("CCGR", files=_CCGR_FILES, degrees=_CCGR),
    "freegait": Layout(
        "FreeGait",
        files={"silhouette": "image.pkl", "points": "lidar.pkl", "smpl": "smpl.pkl"},
        fps=10.0,  # one silhouette a cloud: OpenGait reads them together, and asks for equal lengths
        deeper=("image", "lidar", "range_pkl", "smpl", "kp3d"),
    ),
    "opengait": Layout("a data set of your own, as OpenGait keeps it", degrees=_PLAIN),
}
