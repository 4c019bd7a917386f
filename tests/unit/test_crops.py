"""Layouts of keypoints; boxes, and the canvases that are cut by them."""

from __future__ import annotations

import numpy as np
import pytest

from gait3dlib.errors import InputError
from gait3dlib.perception import coco17
from gait3dlib.perception.crops import (
    CANVAS,
    centred,
    cornered,
    cut,
    iou,
    mask_box,
    mask_canvas,
    nearest_canvas,
    shrink,
    square,
)

# ---- layouts --------------------------------------------------------------------------------------


def test_blazepose_and_openpose_agree_on_what_coco_calls_each_keypoint() -> None:
    listed = "nose leye reye lear rear lsho rsho lelb relb lwri rwri lhip rhip lkne rkne lank rank"
    coco = listed.split()
    openpose = "nose neck rsho relb rwri lsho lelb lwri rhip rkne rank lhip lkne lank reye leye rear lear"
    blaze = ["nose", "leye_in", "leye", "leye_out", "reye_in", "reye", "reye_out", "lear", "rear", "lmouth"]
    blaze += ["rmouth", "lsho", "rsho", "lelb", "relb", "lwri", "rwri", *("x" * 6), "lhip", "rhip", "lkne"]
    blaze += ["rkne", "lank", "rank", *("x" * 4)]
    for layout, names in (("openpose18", openpose.split()), ("blazepose33", blaze), ("coco17", coco)):
        points = np.zeros((1, len(names), 3), np.float32)
        points[0, :, 0] = [coco.index(name) if name in coco else -1 for name in names]
        assert coco17(points, layout)[0, :, 0].tolist() == list(range(17)), layout


def test_layout_errors_name_the_remedy() -> None:
    with pytest.raises(InputError, match="did you mean 'blazepose33'"):
        coco17(np.zeros((2, 33, 3), np.float32), "blazepose")
    with pytest.raises(InputError, match=r"\[T, 33, C\], not \[2, 17, 3\]"):
        coco17(np.zeros((2, 17, 3), np.float32), "blazepose33")


# ---- boxes and crops ------------------------------------------------------------------------------


def test_iou_closed_forms() -> None:
    a = np.array([[0.0, 0, 10, 10]])
    b = np.array([[0.0, 0, 10, 10], [5, 0, 10, 10], [20, 20, 5, 5], [2, 2, 5, 5]])
    assert np.allclose(iou(a, b), [[1, 1 / 3, 0, 0.25]])
    assert np.allclose(cornered(centred(b)), b)


def test_a_cut_keeps_the_pixels_where_they_were() -> None:
    image = np.arange(12 * 10, dtype=np.uint16).reshape(12, 10)
    patch = cut(image, (-2, 7, 6))
    assert (patch[:5, 2:] == image[7:12, :4]).all()
    assert (patch[5:] == 0).all() and (patch[:, :2] == 0).all()
    assert (cut(image, (50, 50, 4)) == 0).all()


@pytest.mark.parametrize("source", [30, 128, 301])
def test_shrink_keeps_constants_and_straight_lines(source: int) -> None:
    ramp = np.tile(np.arange(source, dtype=np.float32), (source, 1))
    assert np.allclose(shrink(np.full((source, source), 7.0), 64), 7.0, atol=1e-4)
    wanted = (np.arange(64) + 0.5) * source / 64 - 0.5
    inner = slice(8, -8)  # at the rim there is nothing to average over
    assert np.allclose(shrink(ramp, 64)[20, inner], wanted[inner], atol=source * 2e-3)


def test_canvases_show_a_mask_and_its_depth_in_the_same_place() -> None:
    mask = np.zeros((200, 300), np.uint8)
    mask[50:150, 100:140] = 255
    box = mask_box(mask)
    assert box is not None and box.tolist() == [100, 50, 40, 100]
    place = square(box, 1.2)
    assert place == (60, 40, 120)
    canvas = mask_canvas(mask, place)
    assert set(np.unique(canvas)) == {0, 255}
    depth = nearest_canvas(np.where(mask > 0, 1234, 0).astype(np.uint16), place)
    assert set(np.unique(depth)) == {0, 1234}
    assert ((canvas > 0) == (depth > 0)).mean() > 0.99
    assert np.isclose((canvas > 0).sum() * (place[2] / CANVAS) ** 2, 40 * 100, rtol=0.03)
    assert mask_box(np.zeros((5, 5))) is None
