"""Walkers who differ from front to back: the difference is metric, in depth, and in no outline."""

from __future__ import annotations

import numpy as np
import pytest

from gait3dlib.errors import InputError
from gait3dlib.modalities._depth_frames import relief
from gait3dlib.simulation.depth_camera import DepthCamera
from gait3dlib.simulation.figure import Figure, average_walker, draw_figure, observe_figure
from gait3dlib.types import GaitSequence

# a stereo pair that errs by a tenth of a millimetre
EXACT = DepthCamera(focal_px=4470.0, baseline_m=0.5, subpixel=0.001)
ASKED = {"seed": 5, "seconds": 0.4, "fps": 10.0}


def seen(figure: Figure, distance_m: float = 4.0, camera: DepthCamera = EXACT) -> GaitSequence:
    return observe_figure(figure, distance_m=distance_m, camera=camera, **ASKED)  # type: ignore[arg-type]


def mean_depth(seq: GaitSequence, rows: tuple[float, float]) -> float:
    """Of the middle of the body between two shares of its height, frame by frame, from the top; metres."""
    out = []
    for mask, depth in zip(seq.streams["silhouette"].data, seq.streams["depth"].data, strict=True):
        held = np.flatnonzero(mask.any(axis=1))
        top, bottom = (round(held[0] + share * (held[-1] - held[0])) for share in rows)
        middle = round(np.nonzero(mask)[1].mean())
        block = depth[top:bottom, middle - 2 : middle + 3]
        out.append(float(np.median(block[block > 0])) * 1e-3)
    return float(np.mean(out))


def test_belly_and_stoop_go_forward_by_what_was_asked() -> None:
    body = average_walker().body()
    rest = body.vertices
    belly = Figure(belly_m=0.1).forward(rest, body.height_m)
    assert 0.09 < belly.max() <= 0.1
    assert (belly[rest[:, 0] <= 0] == 0).all(), "the back stays"
    assert belly[rest[:, 2] < 0.6].max() < 1e-3
    stoop = Figure(stoop_m=0.1).forward(rest, body.height_m)
    np.testing.assert_allclose(stoop[rest[:, 2] > 0.83 * body.height_m], 0.1)
    assert (stoop[rest[:, 2] < 0.6 * body.height_m] == 0).all()
    np.testing.assert_array_equal(Figure().forward(rest, body.height_m), 0.0)


def test_depth_shows_metres_and_the_outline_shows_nothing() -> None:
    plain, stooped, stout = seen(Figure()), seen(Figure(stoop_m=0.1)), seen(Figure(belly_m=0.1))
    head, navel = (0.02, 0.1), (0.36, 0.44)
    assert mean_depth(plain, head) - mean_depth(stooped, head) == pytest.approx(0.1, abs=0.015)
    assert mean_depth(plain, navel) - mean_depth(stout, navel) == pytest.approx(0.1, abs=0.02)
    assert abs(mean_depth(plain, head) - mean_depth(stout, head)) < 0.01
    for other, most in ((stout, 0.01), (stooped, 0.06)):
        masks = [seq.streams["silhouette"].data > 0 for seq in (plain, other)]
        differs = (masks[0] != masks[1]).sum() / masks[0].sum()
        assert differs < most, "perspective moves the outline, and nothing else"


def test_the_noise_is_a_d435s_and_grows_with_the_square_of_distance() -> None:
    spread = {}
    for distance in (2.0, 4.0, 6.0):
        exact, noisy = seen(Figure(), distance), seen(Figure(), distance, DepthCamera())
        a, b = (seq.streams["depth"].data.astype(np.float64) for seq in (exact, noisy))
        both = (a > 0) & (b > 0) & (np.abs(a - b) < 1000)
        spread[distance] = float(np.median(np.abs(a - b)[both])) / 0.6745 * 1e-3
    for distance, found in spread.items():
        assert found == pytest.approx(DepthCamera().rms_m(distance), rel=0.25), distance


def test_a_seed_is_a_walk_and_an_index_a_figure() -> None:
    figure = draw_figure(3, 4)
    assert figure == draw_figure(3, 4) != draw_figure(3, 5) != draw_figure(4, 4)
    one, again = seen(figure), seen(figure)
    for name in ("silhouette", "depth"):
        np.testing.assert_array_equal(one.streams[name].data, again.streams[name].data)
        assert (one.streams[name].data > 0).any(axis=(1, 2)).all()
    np.testing.assert_array_equal(one.streams["silhouette"].boxes, one.streams["depth"].boxes)
    taken = relief(
        one.streams["silhouette"].data[0] > 0, one.streams["depth"].data[0].astype(np.float64), "mm"
    )
    assert taken is not None
    with pytest.raises(InputError, match=r"1\.8 to 10 metres"):
        seen(figure, 1.0)
