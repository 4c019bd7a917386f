"""OpenGait's draws of frames and its augmentations: their laws, and slow re-writes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="needs the extra 'model'")

from gait3dlib.config import build  # noqa: E402
from gait3dlib.data import _warps  # noqa: E402
from gait3dlib.data.augment import Augment  # noqa: E402
from gait3dlib.data.augment_points import PointAugment  # noqa: E402
from gait3dlib.data.sampler import FrameSampler, all_frames  # noqa: E402
from gait3dlib.errors import ConfigError, InputError  # noqa: E402

NOTHING = {"flip": 0.0, "affine": 0.0, "edges": 0.0, "cover": 0.0}

# ---- frames ---------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 6), st.integers(0, 9))
def test_ordered_frames_lie_in_a_window(length: int, frames: int, skip: int, seed: int) -> None:
    draw = FrameSampler(frames, order="ordered", skip=skip)
    index = draw(length, np.random.default_rng(seed))
    np.testing.assert_array_equal(index, draw(length, np.random.default_rng(seed)))
    assert index.shape == (frames,)
    assert ((index >= 0) & (index < length)).all()
    step = np.diff(index) % length if length > 1 else np.zeros(frames - 1)
    if length >= frames + skip:
        assert (np.diff(index) > 0).all()
        assert index[-1] - index[0] < frames + skip
    elif length > skip + 1:  # repeated end to end: time goes on, from the last frame to the first
        assert ((step >= 1) & (step <= skip + 1)).all()
        assert int(step.sum()) < frames + skip


def test_ordered_windows_start_anywhere_and_skip_anything() -> None:
    draw, rng = FrameSampler(3, order="ordered", skip=1), np.random.default_rng(0)
    drawn = np.stack([draw(6, rng) for _ in range(4000)])
    assert set(drawn[:, 0].tolist()) == {0, 1, 2, 3}
    starts = np.bincount(drawn.min(axis=1), minlength=4)[:4] / 4000
    # a window starts at 0, 1 or 2 with 1/3 each, and its first frame is kept 3 times of 4
    np.testing.assert_allclose(starts, [1 / 4, 1 / 3, 1 / 3, 1 / 12], atol=0.03)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 20), st.integers(0, 9))
def test_unordered_frames_repeat_only_where_there_are_too_few(length: int, frames: int, seed: int) -> None:
    index = FrameSampler(frames)(length, np.random.default_rng(seed))
    assert index.shape == (frames,)
    assert ((index >= 0) & (index < length)).all()
    assert len(set(index.tolist())) == frames or length < frames


def test_a_number_of_frames_is_drawn_for_every_walk() -> None:
    draw, rng = FrameSampler(5, at_least=3), np.random.default_rng(0)
    counts = np.bincount([len(draw(50, rng)) for _ in range(900)], minlength=6)
    assert not counts[:3].any()
    np.testing.assert_allclose(counts[3:] / 900, 1 / 3, atol=0.06)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 90), st.integers(0, 50))
def test_snippets_stay_in_their_segments(length: int, seed: int) -> None:
    draw = FrameSampler(32, order="snippet", segment=16, snippets=4)
    index = draw(length, np.random.default_rng(seed))
    np.testing.assert_array_equal(index, draw(length, np.random.default_rng(seed)))
    first = int(np.random.default_rng(seed).integers(1, 17))
    edges = sorted({0, length, *range(first, length, 16)})
    groups = index.reshape(4, 8)
    segments = np.searchsorted(edges, groups, side="right")
    assert (segments == segments[:, :1]).all(), "eight of one segment"
    assert (np.diff(segments[:, 0]) >= 0).all(), "segments in their order"
    if len(edges) - 1 >= 4:
        assert len(set(segments[:, 0])) == 4, "of four different ones"
    for group, place in zip(groups, segments[:, 0], strict=True):
        size = edges[place] - edges[place - 1]
        assert (np.diff(group) >= (0 if size < 8 else 1)).all()


def test_tracklets_are_runs_and_their_lengths_are_drawn_as_asked() -> None:
    draw, rng = FrameSampler(32, order="tracklet"), np.random.default_rng(0)
    counts: dict[int, int] = {8: 0, 16: 0, 32: 0}
    for _ in range(1500):
        index = draw(200, rng)
        assert index.shape == (32,)
        assert ((index >= 0) & (index < 200)).all()
        breaks = np.flatnonzero(np.diff(index) != 1) + 1
        assert not (breaks % 8).any(), "contiguous inside a run"
        counts[32 if not len(breaks) else 16 if not (breaks % 16).any() else 8] += 1
    np.testing.assert_allclose([counts[n] / 1500 for n in (8, 16, 32)], [0.2, 0.3, 0.5], atol=0.05)
    short = draw(5, rng)
    assert short.shape == (32,)
    assert set(short.tolist()) == set(range(5))


def test_a_test_sees_the_first_720_frames() -> None:
    assert all_frames(3).tolist() == [0, 1, 2]
    assert (len(all_frames(1000)), int(all_frames(1000)[-1])) == (720, 719)


@pytest.mark.parametrize(
    "wrong",
    [
        {"order": "sorted"},
        {"skip": 2},
        {"at_least": 31},
        {"frames": 0},
        {"order": "snippet", "frames": 30},
        {"order": "snippet", "frames": 32, "at_least": 8},
        {"order": "tracklet", "frames": 24},
        {"order": "tracklet", "frames": 32, "shares": [0.5, 0.5]},
        {"order": "tracklet", "frames": 32, "shares": [0.5, 0.5, 0.5]},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        build(FrameSampler, wrong)
    with pytest.raises(InputError, match="without a frame"):
        FrameSampler()(0, np.random.default_rng(0))


# ---- pictures -------------------------------------------------------------------------------------


def pictures(b: int = 8, w: int = 44, seed: int = 0) -> torch.Tensor:
    """Smooth blobs, uint8 [b, 2, 1, 64, w]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:64, 0:w]
    out = np.zeros((b, 64, w))
    for _ in range(9):
        cy, cx, size = rng.uniform(8, 56, b), rng.uniform(8, w - 8, b), rng.uniform(3, 8, b)
        square = (y - cy[:, None, None]) ** 2 + (x - cx[:, None, None]) ** 2
        out = np.maximum(out, 255 * np.exp(-square / 2 / size[:, None, None] ** 2))
    return torch.from_numpy(out.astype(np.uint8))[:, None, None].repeat(1, 2, 1, 1, 1)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def slow_sample(image: np.ndarray, x: float, y: float) -> float:
    """Bilinear between the middles of pixels, black outside."""
    x, y = x - 0.5, y - 0.5
    total = 0.0
    for row in (int(np.floor(y)), int(np.floor(y)) + 1):
        for column in (int(np.floor(x)), int(np.floor(x)) + 1):
            if 0 <= row < image.shape[0] and 0 <= column < image.shape[1]:
                total += image[row, column] * (1 - abs(x - column)) * (1 - abs(y - row))
    return total


@pytest.mark.parametrize("w", [44, 64])
def test_perspective_against_the_homography_solved_for(w: int) -> None:
    x = pictures(3, w)[:, 0].float()
    ours = _warps.perspective(x, 9.0, generator(4)).numpy()
    moves = torch.randint(10, (3, 4), generator=generator(4)).numpy()
    for image, moved, (top_l, low_l, top_r, low_r) in zip(x.numpy(), ours, moves, strict=True):
        corners = [(0, 0), (64, 0), (64, 64), (0, 64)]
        sources = [(top_l, 0), (64 - top_r, 0), (64 - low_r, 64), (low_l, 64)]
        rows, wanted = [], []
        for (u, v), (p, q) in zip(corners, sources, strict=True):
            rows += [[u, v, 1, 0, 0, 0, -p * u, -p * v], [0, 0, 0, u, v, 1, -q * u, -q * v]]
            wanted += [p, q]
        h = np.append(np.linalg.solve(np.array(rows, float), wanted), 1).reshape(3, 3)
        for row, column in [(0, 0), (5, 20), (31, 3), (40, w - 1), (63, w // 2), (20, 30)]:
            place = h @ (column + 0.5 + (64 - w) / 2, row + 0.5, 1)
            sx, sy = place[0] / place[2] - (64 - w) / 2, place[1] / place[2]
            assert moved[0, row, column] == pytest.approx(slow_sample(image[0], sx, sy), abs=0.02)


def test_perspective_by_nothing_is_nothing() -> None:
    x = pictures(4)[:, 0].float()
    torch.testing.assert_close(_warps.perspective(x, 0.0, generator()), x, rtol=0, atol=1e-2)


def test_rotation_about_opengaits_centre() -> None:
    x = torch.zeros(60, 1, 64, 44)
    x[:, :, 22, 32] = 255.0  # the centre stays
    x[:, :, 52, 32] = 255.0  # thirty rows below
    y = _warps.turned(x, 10.0, generator(1))
    torch.testing.assert_close(y[:, 0, 22, 32], torch.full((60,), 255.0), rtol=0, atol=0.05)
    low = y[:, 0, 40:]
    columns, rows = torch.arange(44.0), torch.arange(40.0, 64)
    cx = (low.sum(dim=1) * columns).sum(dim=1) / low.sum(dim=(1, 2))
    cy = (low.sum(dim=2) * rows).sum(dim=1) / low.sum(dim=(1, 2))
    angle = torch.rad2deg(torch.atan2(cx - 32, cy - 22))
    assert float((torch.hypot(cx - 32, cy - 22) - 30).abs().max()) < 0.2
    assert float(angle.abs().max()) == pytest.approx(10, abs=0.8)
    drawn = (torch.rand(60, generator=generator(1)) * 2 - 1) * 10
    torch.testing.assert_close(angle.abs(), drawn.abs(), rtol=0, atol=0.3)


def test_erasing_blacks_out_5_to_20_percent() -> None:
    gone = _warps.erased(torch.ones(500, 1, 64, 44), generator(2))[:, 0] == 0
    for picture in gone:
        rows, columns = picture.any(dim=1), picture.any(dim=0)
        assert (picture == rows[:, None] & columns[None]).all(), "one rectangle"
    share = gone.float().mean(dim=(1, 2))
    assert 0.045 < float(share.min()) < 0.06
    assert 0.19 < float(share.max()) < 0.21
    seen = gone.float().mean(dim=0)
    edges = (seen[0], seen[-1], seen[:, 0], seen[:, -1])
    assert all(0 < float(edge.max()) < float(seen[32, 22]) for edge in edges), "anywhere, also at the edges"
    aspect = gone.any(dim=2).sum(dim=1) / gone.any(dim=1).sum(dim=1)
    assert float(aspect.min()) < 0.7
    assert float(aspect.max()) > 2


def test_one_draw_a_sequence_as_often_as_asked() -> None:
    frames = pictures(1).repeat(300, 1, 1, 1, 1)
    for asked in ({"perspective": 0.2}, {"turn": 0.2}, {"erase": 0.2}):
        got = Augment(**NOTHING, **asked)(frames, generator(3))
        assert (got.dtype, got.shape) == (torch.uint8, frames.shape)
        assert torch.equal(got[:, 0], got[:, 1]), "the same for all frames"
        changed = (got != frames).flatten(1).any(dim=1).float().mean()
        assert float(changed) == pytest.approx(0.2, abs=0.07)


def test_what_is_never_done_draws_nothing() -> None:
    """A run whose config knows nothing of the newer keywords draws what it drew before they were there."""
    frames, told, old = pictures(5), generator(7), generator(7)
    Augment()(frames, told)
    b = 5
    # flip, affine and its five, edges and which, cover's four and whether
    for shape in ((b,), (b,), (b, 5), (b,), (b,), (b, 4), (b,)):
        torch.rand(shape, generator=old)
    assert torch.equal(torch.rand(3, generator=told), torch.rand(3, generator=old))


# ---- points ---------------------------------------------------------------------------------------


def test_points_are_mirrored_and_scaled_once_a_sequence() -> None:
    points = torch.rand(400, 2, 5, 4, generator=generator()) + 0.1
    got = PointAugment()(points, generator(5))
    assert torch.equal(got[..., 3], points[..., 3]), "the height in metres stays"
    factor = got[..., :3] / points[..., :3]
    torch.testing.assert_close(factor, factor[:, :1, :1].expand_as(factor))
    x, y, z = factor[:, 0, 0].unbind(dim=1)
    torch.testing.assert_close(x, z)
    torch.testing.assert_close(x, y.abs())
    assert 0.8 <= float(x.min()) < 0.82
    assert 1.23 < float(x.max()) <= 1.2501
    assert float((y < 0).float().mean()) == pytest.approx(0.15, abs=0.06)
    same = PointAugment(flip=0.0, smallest=1.0, largest=1.0)(points, generator())
    assert torch.equal(same, points)
    with pytest.raises(ConfigError, match="at most largest"):
        build(PointAugment, {"smallest": 2.0})
