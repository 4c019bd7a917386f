"""Augmentation of pictures: what is asked for is done, to whole sequences, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gait3dlib.data.augment import Augment

# ---- augmentation ---------------------------------------------------------------------------------

NOTHING = {"flip": 0.0, "affine": 0.0, "edges": 0.0, "cover": 0.0}


def pictures(b: int = 6, t: int = 3, seed: int = 0) -> torch.Tensor:
    """Bodies of a kind, uint8 ``[b, t, 2, 64, 44]``; all frames of a sequence are one picture."""
    rng = np.random.default_rng(seed)
    frames = np.zeros((b, 1, 2, 64, 44), np.uint8)
    for row in range(4, 60):
        for i in range(b):
            half = rng.integers(3, 12)
            frames[i, 0, :, row, 22 - half : 20 + half] = rng.integers(60, 256)
    return torch.from_numpy(frames.repeat(t, axis=1))


def changed(frames: torch.Tensor, seed: int = 0, **asked: float) -> torch.Tensor:
    return Augment(**{**NOTHING, **asked})(frames, torch.Generator().manual_seed(seed))


def test_without_any_chance_nothing_changes() -> None:
    frames = torch.randint(256, (4, 2, 1, 64, 44), dtype=torch.uint8)
    assert torch.equal(changed(frames), frames)
    assert torch.equal(changed(frames, affine=1.0, rotate_deg=0.0, scale=0.0, shift=0.0), frames)


def test_one_draw_a_sequence() -> None:
    frames = pictures()
    got = Augment(flip=0.5, affine=1.0, edges=0.5, cover=0.5)(frames, torch.Generator().manual_seed(1))
    assert (got.dtype, got.shape) == (torch.uint8, frames.shape)
    assert all(torch.equal(got[:, 0], got[:, t]) for t in range(1, 3)), "the same for all frames"
    assert torch.equal(got[:, :, 0], got[:, :, 1]), "and channels"
    assert (got != frames).flatten(1).any(dim=1).all()
    again = Augment(flip=0.5, affine=1.0, edges=0.5, cover=0.5)(frames, torch.Generator().manual_seed(1))
    assert torch.equal(got, again)
    alike = changed(frames[:1].repeat(8, 1, 1, 1, 1), affine=1.0)
    assert len({alike[i].numpy().tobytes() for i in range(8)}) == 8, "each sequence has its own"


def test_flip_is_a_mirror_as_often_as_asked() -> None:
    frames = pictures(400, 1)
    frames[..., 30:, 35] = 255  # no body is its own mirror image
    assert torch.equal(changed(frames, flip=1.0), frames.flip(4))
    got = changed(frames, flip=0.3)
    mirrored = (got == frames.flip(4)).flatten(1).all(dim=1)
    assert ((got == frames).flatten(1).all(dim=1) ^ mirrored).all()
    assert float(mirrored.float().mean()) == pytest.approx(0.3, abs=0.08)


def moments(frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Centre x and y, and the angle of the longest axis in degrees, of each picture."""
    x = frames[:, 0, 0].double()
    rows, columns = torch.arange(64.0).double(), torch.arange(44.0).double()
    mass = x.sum(dim=(1, 2))
    cy = (x * rows[:, None]).sum(dim=(1, 2)) / mass
    cx = (x * columns).sum(dim=(1, 2)) / mass
    dy, dx = rows[None, :, None] - cy[:, None, None], columns[None, None] - cx[:, None, None]
    xx, yy, xy = ((x * m).sum(dim=(1, 2)) / mass for m in (dx * dx, dy * dy, dx * dy))
    return cx, cy, torch.rad2deg(0.5 * torch.atan2(2 * xy, xx - yy)) % 180


def test_rotation_turns_and_does_not_shear() -> None:
    """A bar that is turned is still a bar: of the same length and width, about the same middle."""
    frames = torch.zeros(300, 1, 1, 64, 44, dtype=torch.uint8)
    frames[..., 12:52, 20:24] = 255
    got = changed(frames, affine=1.0, rotate_deg=20.0, scale=0.0, shift=0.0)
    cx, cy, angle = moments(got)
    turned = angle - 90
    assert float(turned.abs().max()) == pytest.approx(20, abs=1.5)
    assert float(turned.abs().mean()) == pytest.approx(10, abs=1.5)
    assert float((cx - 21.5).abs().max()) < 0.2
    assert float((cy - 31.5).abs().max()) < 0.2
    mass = got.double().sum(dim=(1, 2, 3, 4)) / frames[0].double().sum()
    assert float((mass - 1).abs().max()) < 0.02


def test_shift_and_scale_keep_within_what_was_asked() -> None:
    frames = torch.zeros(300, 1, 1, 64, 44, dtype=torch.uint8)
    frames[..., 22:42, 17:27] = 255
    cx, cy, _ = moments(changed(frames, affine=1.0, rotate_deg=0.0, scale=0.0, shift=0.1))
    for moved in (cx - 21.5, cy - 31.5):
        assert float(moved.abs().max()) == pytest.approx(6.4, abs=0.4), "a share of the height, on both axes"
        assert abs(float(moved.mean())) < 0.6
    scaled = changed(frames, affine=1.0, rotate_deg=0.0, scale=0.2, shift=0.0).double()
    high, wide = scaled.sum(dim=3)[:, 0, 0].amax(dim=1) / 255, scaled.sum(dim=4)[:, 0, 0].amax(dim=1) / 255
    for size, start in ((high, 20), (wide, 10)):
        assert start / 1.2 - 0.6 < float(size.min()) < start / 1.15
        assert start / 0.85 < float(size.max()) < start / 0.8 + 0.6
    assert not torch.allclose(high / 20, wide / 10, atol=0.02), "each axis has its own"


def test_edges_grow_or_shrink_by_a_pixel() -> None:
    frames = torch.zeros(64, 1, 1, 64, 44, dtype=torch.uint8)
    frames[..., 20:40, 10:30] = 255
    sides = (changed(frames, edges=1.0)[:, 0, 0] > 0).any(dim=1).sum(dim=1)
    assert set(sides.tolist()) == {18, 22}


def test_cover_hides_a_rectangle_and_nothing_else() -> None:
    frames = torch.full((200, 1, 1, 64, 44), 200, dtype=torch.uint8)
    got = changed(frames, cover=1.0)[:, 0, 0]
    assert set(got.unique().tolist()) == {0, 200}
    for picture in got:
        rows, columns = (picture == 0).any(dim=1), (picture == 0).any(dim=0)
        assert ((picture == 0) == rows[:, None] & columns[None]).all(), "one rectangle"
        assert 6 <= int(rows.sum()) <= 17
        assert 8 <= int(columns.sum()) <= 32
    assert torch.equal(changed(frames, cover=0.0), frames)


def test_what_is_no_image_comes_back_as_it_is() -> None:
    for frames in (torch.rand(2, 5, 16), torch.zeros(2, 5, 16, dtype=torch.uint8), torch.rand(2, 3, 1, 8, 8)):
        assert Augment(flip=1.0)(frames, torch.Generator()) is frames
