"""Relative depth from colour, by a network that the user brings as an ONNX file.

Colour is stored only when asked for (``gait3d record --color``), so most recordings hold no frame that an
estimator could look at; who wants depth from a camera alone estimates while recording.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait3dlib._optional import require
from gait3dlib.errors import InputError
from gait3dlib.modalities._depth_frames import onto
from gait3dlib.types import GaitSequence, Stream, align

DepthEstimator = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""RGB uint8 ``[H, W, 3]`` -> relative depth ``[H, W]``, larger = farther; scale and shift mean nothing."""

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as these networks were trained
SIDE = 518  # where a model leaves its size open: what Depth Anything was trained at, 37 patches of 14


class OnnxDepth:
    """A monocular depth network, such as Depth Anything V2 or MiDaS: one image in, one map out.

    Args:
        path: of the ONNX file. Its input is float32 ``[1, 3, h, w]``, its output has the map's two axes last.
        inverse: whether it answers with inverse depth (larger = nearer), as the networks named above do.

    Raises:
        MissingDependency: onnxruntime or OpenCV is not installed.
        InputError: no such file, not a model, or not from one image to one map.
    """

    def __init__(self, path: Path | str, *, inverse: bool = True) -> None:
        runtime = require("onnxruntime")
        require("cv2")
        if not Path(path).is_file():
            raise InputError(f"{path}: no such file; name the ONNX file of a depth estimator")
        try:
            self._session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # the runtime has a dozen kinds, none of them public
            raise InputError(
                f"{path}: not a model that onnxruntime can run ({_first_line(error)})"
            ) from error
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(inputs[0].shape) != 4:
            raise InputError(f"{path}: a depth estimator takes one image, float32 [1, 3, h, w]")
        self._input = inputs[0].name
        self._size = [side if isinstance(side, int) else SIDE for side in inputs[0].shape[2:]]
        self._sign = -1.0 if inverse else 1.0
        self.path = Path(path)

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """RGB uint8 ``[H, W, 3]`` -> float32 ``[H, W]``, larger = farther.

        Raises:
            InputError: not such an image, or the model does not answer with a map.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise InputError(f"an image must be uint8 [H, W, 3], not {image.dtype} {list(image.shape)}")
        cv2 = require("cv2")
        high, wide = self._size
        small = cv2.resize(np.ascontiguousarray(image), (wide, high), interpolation=cv2.INTER_CUBIC)
        given = ((small / 255 - MEAN) / STD).astype(np.float32).transpose(2, 0, 1)[None]
        try:
            found = np.asarray(self._session.run(None, {self._input: given})[0])
        except Exception as error:
            raise InputError(f"{self.path}: the model failed on an image ({_first_line(error)})") from error
        if found.ndim < 2 or found.size != found.shape[-1] * found.shape[-2] or found.dtype.kind != "f":
            raise InputError(f"{self.path}: a depth estimator gives one map, not {list(found.shape)}")
        flat = np.ascontiguousarray(found.reshape(found.shape[-2:]), np.float32)
        if not np.isfinite(flat).all():
            raise InputError(f"{self.path}: the model answers with NaN or infinity")
        size = (image.shape[1], image.shape[0])
        large = cv2.resize(flat, size, interpolation=cv2.INTER_LINEAR)
        return np.asarray(self._sign * large, np.float32)


def with_estimated_depth(
    seq: GaitSequence, estimate: DepthEstimator, *, tolerance_s: float = 0.02
) -> GaitSequence:
    """The walk with a stream ``depth`` in units "1", estimated from its colour frames.

    The estimator looks at whole frames; what is kept is cut with the silhouettes' boxes.

    Args:
        seq: a walk with ``silhouette`` and ``color``, both in one image: colour without boxes is all of it.
        estimate: such as :class:`OnnxDepth`, or any function of the user's.
        tolerance_s: how far apart colour and silhouette of one instant may lie.

    Raises:
        InputError: no colour or no silhouettes are stored, they show other instants, or the estimator does
            not answer with a map of the image's size.
    """
    if "color" not in seq.streams:
        raise InputError(
            "this walk holds no colour frames, and an estimator can look at nothing else; record with "
            "--color, or estimate depth while recording"
        )
    if "silhouette" not in seq.streams:
        raise InputError("depth is estimated of a walker, who is found by silhouettes; this walk has none")
    silhouette, color = _whole(seq.streams["silhouette"], seq.streams["color"])
    pairs = align({"silhouette": silhouette, "color": color}, tolerance_s)
    held = np.flatnonzero(np.diff(pairs["silhouette"], prepend=-1) > 0)
    frames, kept = [], []
    for at, of in zip(pairs["silhouette"][held], pairs["color"][held], strict=True):
        found = np.asarray(estimate(color.frame(int(of))), np.float32)
        if found.shape != color.data.shape[1:3] or not np.isfinite(found).all():
            raise InputError(f"the estimator must give a finite map {list(color.data.shape[1:3])} an image")
        one = dataclasses.replace(color.slice(int(of), int(of) + 1), data=_marked(found)[None])
        cut = onto(one, 0, silhouette, int(at))
        if cut is not None:
            frames.append(cut)
            kept.append(int(at))
    if not kept:
        raise InputError("no colour frame lies near a silhouette in time; both must be of one clock")
    boxes = None if silhouette.boxes is None else silhouette.boxes[kept]
    depth = Stream(np.stack(frames), silhouette.t_ns[kept], "1", boxes=boxes, calibration=color.calibration)
    return dataclasses.replace(seq, streams={**seq.streams, "depth": depth})


def _whole(silhouette: Stream, color: Stream) -> tuple[Stream, Stream]:
    """Both with boxes, or both without and of one size."""
    if silhouette.boxes is not None and color.boxes is None:
        high, wide = color.data.shape[1:3]
        boxes = np.tile(np.array([0, 0, wide, high], np.float32), (len(color), 1))
        return silhouette, dataclasses.replace(color, boxes=boxes)
    if silhouette.boxes is None and silhouette.data.shape[1:3] != color.data.shape[1:3]:
        raise InputError(
            "silhouettes that are cut out need boxes, or nothing says where in the image they lie"
        )
    return silhouette, color


def _marked(depth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shifted so that no pixel is 0, which would say that it has no depth."""
    span = np.ptp(depth)
    return np.asarray(depth - depth.min() + (span if span > 0 else 1), np.float32)


def _first_line(error: Exception) -> Any:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
