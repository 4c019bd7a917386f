"""LiDAR pictures: closed forms, slow re-writes, and what matplotlib and OpenCV draw."""

from __future__ import annotations

import importlib.util
import time

import numpy as np
import pytest

from gait3dlib.errors import InputError
from gait3dlib.modalities import _lidar_pictures as pictures
from gait3dlib.modalities._lidar_pictures import BEAM_DEG, jet, jet_picture, range_picture


def beams(
    span_deg: float = 7.0, centre_deg: float = 150.0, step: tuple[float, float] = BEAM_DEG
) -> np.ndarray:
    """Unit vectors of a sensor's beams around an azimuth, [N, 3]."""
    wide, high = (np.arange(-span_deg, span_deg + 1e-9, s) for s in step)
    azimuth, elevation = (np.radians(a).ravel() for a in np.meshgrid(centre_deg + wide, high))
    flat = np.cos(elevation)
    return np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)], -1)


def sphere(radius: float = 0.8, centre: tuple[float, float, float] = (-8.0, 4.6, 0.2)) -> np.ndarray:
    """Where the beams first meet a sphere."""
    ray, middle = beams(), np.array(centre)
    along = ray @ middle
    gap = along**2 - (middle @ middle - radius**2)
    return ray[gap > 0] * (along - np.sqrt(np.maximum(gap, 0)))[gap > 0, None]


def walker(seed: int = 0, n: int = 600, distance: float = 7.0, azimuth: float = np.pi) -> np.ndarray:
    """A body-shaped cloud around the sensor, [n, 4]."""
    rng = np.random.default_rng(seed)
    z = rng.uniform(-1.0, 0.75, n)
    r = 0.12 + 0.12 * np.abs(np.sin(2.2 * z))
    a = rng.uniform(0, 2 * np.pi, n)
    x, y = distance + r * np.cos(a), r * np.sin(a)
    c, s = np.cos(azimuth), np.sin(azimuth)
    return np.stack([c * x - s * y, s * x + c * y, z, rng.random(n)], -1)


def directions(picture: pictures.RangePicture) -> np.ndarray:
    size = picture.values.shape[1]
    azimuth = picture.azimuth_rad - (np.arange(size) + 0.5) * picture.step_rad
    elevation = picture.elevation_rad - (np.arange(size) + 0.5) * picture.step_rad
    flat = np.cos(elevation)[:, None]
    up = np.broadcast_to(np.sin(elevation)[:, None], (size, size))
    return np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), up], -1)


# ---- ranges -----------------------------------------------------------------------------------------


def test_a_sphere_has_its_analytic_range() -> None:
    picture = range_picture(sphere())
    assert picture is not None
    (values,) = picture.values
    ray, middle = directions(picture), np.array([-8.0, 4.6, 0.2])
    along = ray @ middle
    gap = along**2 - (middle @ middle - 0.8**2)
    true = along - np.sqrt(np.maximum(gap, 0))
    inside = gap > 0.25 * gap.max()  # where the surface is not seen edge-on
    assert (values[inside] > 0).all(), "beams leave no gap"
    # half the diagonal of a beam, 0.14 degrees, is 22 mm here, times the slope of the surface, up to 1.7
    assert np.abs(values - true)[inside].max() < 0.04
    assert np.abs(values - true)[inside].mean() < 0.01
    assert not values[gap < -0.05 * gap.max()].any()
    assert values.any(axis=1).all(), "from the first row to the last"
    assert abs(np.flatnonzero(values.any(axis=0)).mean() - 31.5) < 1.5


def test_points_come_back_within_half_a_beam() -> None:
    points = walker(n=80)[:, :3]
    picture = range_picture(points)
    assert picture is not None
    back = directions(picture) * picture.values[0][..., None]
    seen = back[picture.values[0] > 0]
    for point in seen:
        unit = point / np.linalg.norm(point)
        angles = np.degrees(np.arccos(np.clip(points @ unit / np.linalg.norm(points, axis=1), -1, 1)))
        near = np.abs(np.linalg.norm(points, axis=1) - np.linalg.norm(point)) < 1e-4
        assert angles[near].min() < 0.15  # half the diagonal of a beam, or of a pixel where that is larger


def slow_range(points: np.ndarray, picture: pictures.RangePicture) -> np.ndarray:
    """The definition, pixel by pixel and point by point."""
    size, step = picture.values.shape[1], picture.step_rad
    out = np.zeros((size, size))
    wide, high = np.radians(BEAM_DEG)
    for x, y, z in points[:, :3]:
        turn = picture.azimuth_rad - np.arctan2(y, x)
        column = (turn + np.pi) % (2 * np.pi) - np.pi
        row = picture.elevation_rad - np.arctan2(z, np.hypot(x, y))
        distance = np.sqrt(x * x + y * y + z * z)
        for i in range(size):
            for j in range(size):
                centre = abs((i + 0.5) * step - row), abs((j + 0.5) * step - column)
                own = np.floor(row / step) == i, np.floor(column / step) == j
                if (centre[0] <= high / 2 or own[0]) and (centre[1] <= wide / 2 or own[1]):
                    out[i, j] = min(distance, out[i, j] or np.inf)
    return out


@pytest.mark.parametrize("distance", [2.0, 9.0])
def test_against_the_definition_written_out(distance: float) -> None:
    points = walker(3, 40, distance)
    picture = range_picture(points, 24)
    assert picture is not None
    np.testing.assert_allclose(picture.values[0], slow_range(points, picture), rtol=1e-6)


def test_the_nearest_point_is_seen_and_the_order_does_not_matter() -> None:
    near = np.array([[-5.0, 0, 0.5, 0.1], [-5.0, 0, -0.5, 0.2]])
    points = np.concatenate([near, near * (2, 2, 2, 1) + (0, 0, 0, 0.5)])
    both = range_picture(points, 16, channels=("range", "height", "intensity"))
    turned = range_picture(points[::-1], 16, channels=("range", "height", "intensity"))
    assert both is not None
    assert turned is not None
    np.testing.assert_array_equal(both.values, turned.values)
    seen = both.values[0] > 0
    np.testing.assert_allclose(both.values[0][seen], np.hypot(5, 0.5), rtol=1e-6)
    assert set(both.values[2][seen].tolist()) == {float(np.float32(0.1)), float(np.float32(0.2))}
    assert both.values[1][seen].max() == pytest.approx(1.5)  # above the lowest, which is behind


def test_turning_around_the_sensor_turns_only_the_azimuth() -> None:
    straight = range_picture(walker(1))
    turned = range_picture(walker(1, azimuth=-0.3 * np.pi))
    assert straight is not None
    assert turned is not None
    # a point may fall into the next pixel by rounding, no more
    assert (np.abs(straight.values - turned.values) > 1e-4).mean() < 0.01
    assert straight.step_rad == pytest.approx(turned.step_rad)
    moved = range_picture(walker(1)[:, :3] + (3.0, -2.0, 1.0), origin=(3.0, -2.0, 1.0))
    assert moved is not None
    assert (np.abs(straight.values - moved.values) > 1e-4).mean() < 0.01


def test_few_points() -> None:
    assert range_picture(np.zeros((0, 3))) is None
    assert range_picture(np.zeros((3, 4))) is None, "the sensor does not see itself"
    one = range_picture(np.array([[3.0, 4.0, 0.0]]), 8)
    assert one is not None
    assert (one.values == 5).any()


# ---- the coloured picture ---------------------------------------------------------------------------


def test_colours_of_jet() -> None:
    ends = jet(np.array([0.0, 0.5, 1.0]))
    assert ends[[0, 2]].tolist() == [[0, 0, 128], [128, 0, 0]]
    assert ends[1, 1] == 255, "green in the middle"
    if importlib.util.find_spec("matplotlib"):
        from matplotlib import colormaps

        at = np.linspace(0, 1, 1001)
        theirs = np.floor(colormaps["jet"](at)[:, :3] * 255 + 0.5)
        np.testing.assert_array_equal(jet(at), theirs)


def test_a_dot_covers_its_disc() -> None:
    dots = pictures._dots()
    area = np.pi * pictures._DOT_RADIUS**2
    np.testing.assert_allclose(dots.sum(axis=(2, 3)), area, rtol=0.01)
    assert dots[16, 16, 1, 1] == 1.0, "the middle pixel is covered"
    np.testing.assert_allclose(dots[::-1, :, ::-1], dots)
    np.testing.assert_allclose(dots.transpose(1, 0, 3, 2), dots)
    above, below = dots[:, :, 0].sum(axis=2), dots[:, :, 2].sum(axis=2)
    assert (np.diff(above, axis=0) <= 0).all(), "the lower it lies, the less of it lies above"
    assert (above[:16] > below[:16]).all()


def slow_panorama(points: np.ndarray) -> np.ndarray:
    """Dots laid over one another one by one, 8 x 8 places a pixel: [154, 1444, 3]."""
    out = np.zeros((154, 1444, 3))
    ground = np.hypot(points[:, 0], points[:, 1])
    spread = ground.max() - ground.min()
    fine = (np.arange(8) + 0.5) / 8
    for (x, y, z), d in zip(points[:, :3], ground, strict=True):
        u = np.degrees(np.arctan2(y, -x)) / 0.19188 + 938.09
        v = np.degrees(np.arctan2(z, d)) / 0.2 + 125
        cx, cy = 0.77 * u, 154 - 0.77 * v
        color = jet(np.array([(ground.max() - d) / spread]))[0].astype(float)
        for i in range(int(cy) - 1, int(cy) + 2):
            for j in range(int(cx) - 1, int(cx) + 2):
                share = np.mean(
                    [np.hypot(j + a - cx, i + b - cy) <= 100 / 72 / 2 for a in fine for b in fine]
                )
                out[i, j] += share * (color - out[i, j])
    return np.rint(out)


def test_the_panorama_against_dots_laid_one_by_one() -> None:
    points = walker(5, 150)
    ours, first = pictures._panorama(points)
    slow = slow_panorama(points)
    gap = np.abs(ours.astype(float) - slow[:, first : first + ours.shape[1]])
    assert gap.max() < 20, "of 255: the shares of two fine grids"
    assert gap[slow[:, first : first + ours.shape[1]] > 0].mean() < 4
    assert not np.delete(slow, np.s_[first : first + ours.shape[1]], axis=1).any()


def matplotlib_panorama(points: np.ndarray) -> np.ndarray:
    """As the facts have it: a scatter of area 1 pt^2 on a black figure of 1876 x 200, saved tight."""
    import io

    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    ground = np.hypot(points[:, 0], points[:, 1])
    u = np.degrees(np.arctan2(points[:, 1], -points[:, 0])) / 0.19188 + 938.09
    v = np.degrees(np.arctan2(points[:, 2], ground)) / 0.2 + 125
    figure, axes = pyplot.subplots(figsize=(18.76, 2.0), dpi=100)
    axes.scatter(u, v, s=1, c=-ground, linewidths=0, alpha=1, cmap="jet")
    axes.set_facecolor((0, 0, 0))
    axes.axis("scaled")
    axes.xaxis.set_visible(False)
    axes.yaxis.set_visible(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xlim(0, 1876)
    axes.set_ylim(0, 200)
    raw = io.BytesIO()
    figure.savefig(raw, dpi=100, bbox_inches="tight", pad_inches=0.0, format="png")
    pyplot.close(figure)
    raw.seek(0)
    return np.rint(pyplot.imread(raw)[..., :3] * 255)


def test_the_panorama_is_matplotlibs() -> None:
    pytest.importorskip("matplotlib", reason="comes with the extra 'pose'")
    points = walker(6, 500)
    theirs = matplotlib_panorama(points)
    assert theirs.shape == (154, 1444, 3)
    ours, first = pictures._panorama(points)
    other = theirs[:, first : first + ours.shape[1]]
    drawn = (other > 0) | (ours > 0)
    gap = np.abs(ours.astype(float) - other)
    assert not np.delete(theirs, np.s_[first : first + ours.shape[1]], axis=1).any()
    assert gap[drawn].mean() < 6
    assert np.corrcoef(ours.ravel(), other.ravel())[0, 1] > 0.995


def opengait_crop(image: np.ndarray) -> np.ndarray:
    """OpenGait's cut of a whole panorama, with OpenCV: [3, 64, 64]."""
    import cv2

    rows = np.flatnonzero(image.sum(axis=(1, 2)))
    person = image[rows[0] : rows[-1]]
    width = int(64 * person.shape[1] / person.shape[0])
    scaled = cv2.resize(person, (width, 64), interpolation=cv2.INTER_CUBIC)
    passed = scaled.sum(axis=(0, 2)).astype(np.int64).cumsum()
    centre = int(np.flatnonzero(passed > passed[-1] / 2)[0])
    left, right = centre - 32, centre + 32
    if left <= 0 or right >= width:
        left, right = left + 32, right + 32
    return scaled[:, left:right].transpose(2, 0, 1)


@pytest.mark.parametrize("azimuth", [np.pi, 2.2, -2.6, 0.02])
def test_cut_and_enlarged_as_opencv_does(azimuth: float) -> None:
    pytest.importorskip("cv2", reason="needs the extra 'video'")
    points = walker(7, 400, azimuth=azimuth)
    image, first = pictures._panorama(points)
    whole = np.zeros((154, 1444, 3), np.uint8)
    whole[:, first : first + image.shape[1]] = image
    theirs = opengait_crop(whole)
    ours = jet_picture(points)
    assert ours is not None
    assert (ours.shape, ours.dtype) == ((3, 64, 64), np.uint8)
    columns = theirs.shape[2]  # near the right edge OpenGait's window is cut short; ours is black there
    assert np.abs(ours[:, :, :columns].astype(int) - theirs).max() <= 1
    assert not ours[:, :, columns:].any()


def test_too_few_points_give_no_picture() -> None:
    assert jet_picture(np.zeros((0, 3))) is None
    assert jet_picture(walker(0, 3)) is None
    level = walker(0, 300)
    level[:, 2] = 0.0
    level[:, :2] = (-7.0, 0.0)
    assert jet_picture(level) is None, "all at one place"


@pytest.mark.parametrize(
    ("points", "options", "hint"),
    [
        (np.zeros((4, 2)), {}, "points must be"),
        (np.zeros((2, 4, 3)), {}, "points must be"),
        (np.zeros((4, 3), int), {}, "floating point"),
        (np.full((4, 3), np.nan), {}, "NaN"),
        (np.ones((4, 3)), {"channels": ("depth",)}, "channels must be of"),
        (np.ones((4, 3)), {"channels": ()}, "channels must be of"),
        (np.ones((4, 3)), {"channels": ("intensity",)}, "no intensity"),
        (np.ones((4, 3)), {"size": 1}, "positive"),
        (np.ones((4, 3)), {"beam_deg": (0.0, 0.2)}, "positive"),
    ],
)
def test_wrong_points_are_refused(points, options, hint) -> None:
    with pytest.raises(InputError, match=hint):
        range_picture(points, **options)


def test_an_odd_size_is_refused() -> None:
    with pytest.raises(InputError, match="even"):
        jet_picture(walker(), 63)


def test_fast_enough_to_prepare_thousands_of_walks() -> None:
    clouds = [walker(seed, 500) for seed in range(20)]
    for draw, most_ms in ((range_picture, 10), (jet_picture, 20)):  # 0.5 and 1.5 here; matplotlib takes 125
        draw(clouds[0])
        started = time.process_time()
        for cloud in clouds:
            draw(cloud)
        assert (time.process_time() - started) / len(clouds) * 1000 < most_ms
