"""From raw frames to one person's streams: people found, tracked, posed, and their walks cut out.

Importing this package is light: OpenCV and mediapipe are imported when a video is first looked at, and
frames that a sensor has already segmented need neither.
"""

from __future__ import annotations

from gait3dlib.perception.layouts import coco17
from gait3dlib.perception.walks import walks

__all__ = ["coco17", "walks"]
