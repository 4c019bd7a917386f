"""Relative depth from colour: a model the user names, or any function; and recordings without colour."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gait3dlib.errors import InputError
from gait3dlib.modalities.depth import Depth, OnnxDepth, with_estimated_depth
from gait3dlib.types import GaitSequence, Stream

HIGH, WIDE = 60, 48


def scene(frames: int = 4) -> GaitSequence:
    """A block that is brighter where it is farther, in front of a dark wall, cut out by boxes."""
    color = np.zeros((frames, HIGH, WIDE, 3), np.uint8)
    color[:, 8:56, 14:34] = (60 + 3 * np.arange(48))[None, :, None, None]
    mask = np.where(color[:, 4:60, 10:38, 0] > 0, 255, 0).astype(np.uint8)
    boxes = np.tile(np.array([10, 4, 28, 56], np.float32), (frames, 1))
    t_ns = np.arange(frames, dtype=np.int64) * 40_000_000
    return GaitSequence({"silhouette": Stream(mask, t_ns, boxes=boxes), "color": Stream(color, t_ns)})


def brightness(image: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    return image.mean(axis=2, dtype=np.float32)


def field(number: int, value: int | str | bytes) -> bytes:
    """One field of a protobuf message, shorter than 128 bytes."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    held = value.encode() if isinstance(value, str) else value
    length = bytes([len(held)]) if len(held) < 128 else bytes([len(held) & 127 | 128, len(held) >> 7])
    return bytes([number << 3 | 2]) + length + held


def picture(name: str, *sides: int | str) -> bytes:
    """ONNX's ValueInfoProto of a float tensor; a side may have a name only."""
    shape = b"".join(field(1, field(2 if isinstance(side, str) else 1, side)) for side in sides)
    return field(1, name) + field(2, field(1, field(1, 1) + field(2, shape)))


def model(path: Path, size: tuple[int, int] | None = (HIGH, WIDE), channels: int = 1) -> Path:
    """A network that answers with the sum of the channels: one convolution with weights of one."""
    side = size or ("h", "w")
    raw = np.ones((channels, 3, 1, 1), "<f4").tobytes()
    weights = b"".join(field(1, n) for n in (channels, 3, 1, 1)) + field(2, 1) + field(8, "k") + field(9, raw)
    node = field(1, "x") + field(1, "k") + field(2, "y") + field(4, "Conv")
    graph = field(1, node) + field(2, "g") + field(5, weights)
    graph += field(11, picture("x", 1, 3, *side)) + field(12, picture("y", 1, channels, *side))
    path.write_bytes(field(1, 8) + field(7, graph) + field(8, field(2, 13)))
    return path


def test_a_function_of_the_users_gives_depth_that_is_registered() -> None:
    seq = with_estimated_depth(scene(), brightness)
    depth = seq.streams["depth"]
    assert depth.units == "1"
    assert depth.data.shape == (4, 56, 28)
    np.testing.assert_array_equal(depth.boxes, seq.streams["silhouette"].boxes)
    body = seq.streams["silhouette"].data[0] > 0
    rows = depth.data[0][4:52, 10]
    np.testing.assert_allclose(np.diff(rows), 3.0)
    assert (depth.data[0][body] > depth.data[0][~body].max()).all()
    sample = Depth().sample(seq)
    assert sample is not None
    assert sample.used == ("silhouette", "depth")
    other = Depth().sample(with_estimated_depth(scene(), lambda image: 7 * brightness(image) - 900))
    assert other is not None
    assert np.abs(sample.frames[:, 1].astype(int) - other.frames[:, 1]).max() <= 1


def test_an_onnx_file_is_an_estimator(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    image = scene().streams["color"].frame(0)
    found = OnnxDepth(model(tmp_path / "a.onnx"), inverse=False)(image)
    assert (found.shape, found.dtype) == ((HIGH, WIDE), np.float32)
    want = ((image / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]).sum(axis=2)
    np.testing.assert_allclose(found, want, atol=1e-4)
    np.testing.assert_allclose(OnnxDepth(tmp_path / "a.onnx")(image), -want, atol=1e-4)
    free = OnnxDepth(model(tmp_path / "b.onnx", size=None), inverse=False)(image)
    assert np.corrcoef(free.ravel(), want.ravel())[0, 1] > 0.99
    seq = with_estimated_depth(scene(), OnnxDepth(tmp_path / "a.onnx", inverse=False))
    plain = with_estimated_depth(scene(), brightness)
    frames = [Depth().sample(s).frames for s in (seq, plain)]  # type: ignore[union-attr]
    assert np.abs(frames[0][:, 1].astype(int) - frames[1][:, 1]).max() <= 1


def test_what_is_no_estimator_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    with pytest.raises(InputError, match="no such file"):
        OnnxDepth(tmp_path / "none.onnx")
    (tmp_path / "noise.onnx").write_bytes(b"\x80\x04 not a model")
    with pytest.raises(InputError, match="not a model that onnxruntime can run"):
        OnnxDepth(tmp_path / "noise.onnx")
    three = OnnxDepth(model(tmp_path / "three.onnx", channels=3))
    with pytest.raises(InputError, match="gives one map"):
        three(scene().streams["color"].frame(0))
    with pytest.raises(InputError, match="uint8"):
        OnnxDepth(model(tmp_path / "one.onnx"))(np.zeros((4, 4), np.uint8))


def test_without_colour_it_says_so() -> None:
    seq = scene()
    with pytest.raises(InputError, match=r"no colour frames.*--color"):
        with_estimated_depth(seq.without("color"), brightness)
    with pytest.raises(InputError, match="has none"):
        with_estimated_depth(seq.without("silhouette"), brightness)
    with pytest.raises(InputError, match="finite map"):
        with_estimated_depth(seq, lambda image: np.zeros((3, 3), np.float32))
    late = Stream(seq.streams["color"].data, seq.streams["color"].t_ns + 10**9)
    with pytest.raises(InputError, match="near a silhouette in time"):
        with_estimated_depth(GaitSequence({**seq.streams, "color": late}), brightness)
