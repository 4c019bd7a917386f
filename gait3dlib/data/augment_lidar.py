"""Augmentation of a walker's points as a LiDAR might have seen them: other beams, things between, noise.

Drawn once a walk, but for what a sensor draws anew in every frame. What is dropped is replaced by a point
that stays, as :func:`gait3dlib.modalities._point_frames.point_frames` fills a frame up.
"""

from __future__ import annotations

import math

import torch

from gait3dlib.config import NotNegative, Share


class LidarAugment:
    """Mirror, turn, scale and shift; lost beams, lost points, occlusion and noise of range.

    Args:
        flip: probability of mirroring left and right.
        turn_deg: largest rotation about the vertical: the heading is an estimate.
        scale: largest relative change of size; small, as height is evidence.
        shift_m: largest shift along x and y; a third of it along z, for the ground is an estimate too.
        beams: probability that the beams of a walk are thinned out.
        beam_share: the largest share of beams that is then lost.
        points: the largest share of points that is lost in every frame.
        cover: probability that something stands between: a pole, or a hedge up to some height.
        noise_m: the largest standard deviation of the range.
    """

    def __init__(
        self,
        *,
        flip: Share = 0.5,
        turn_deg: NotNegative = 8.0,
        scale: Share = 0.03,
        shift_m: NotNegative = 0.05,
        beams: Share = 0.4,
        beam_share: Share = 0.7,
        points: Share = 0.4,
        cover: Share = 0.3,
        noise_m: NotNegative = 0.03,
    ) -> None:
        self.flip, self.turn_deg, self.scale, self.shift_m = flip, turn_deg, scale, shift_m
        self.beams, self.beam_share, self.points = beams, beam_share, points
        self.cover, self.noise_m = cover, noise_m

    def __call__(self, frames: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """float32 ``[b, T, 1 + points, 3]``, row 0 the sensor's place -> the same shape; on the CPU."""
        sensor, points = frames[:, :, :1], frames[:, :, 1:]
        lost = self._lost_beams(sensor, points, generator)
        lost |= torch.rand(lost.shape, generator=generator) < self.points * _draw(len(frames), 1, generator)
        lost |= self._covered(sensor, points, generator)
        points = self._noisy(sensor, _kept(points, lost), generator)
        return self._moved(torch.cat([sensor, points], dim=2), generator)

    def _lost_beams(
        self, sensor: torch.Tensor, points: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        """Bands of elevation, each 0.5 to 1.5 degrees high, kept or lost for the whole walk."""
        b = len(points)
        away = points - sensor
        elevation = torch.atan2(away[..., 2], away[..., :2].norm(dim=3))
        step = math.radians(0.5) * (1 + 2 * _draw(b, 1, generator))
        phase, share = _draw(b, 1, generator), self.beam_share * _draw(b, 1, generator)
        chosen = _draw(b, 1, generator) < self.beams
        band = (elevation / step + phase).floor().long().remainder(BANDS)
        gone = torch.rand(b, BANDS, generator=generator) < share.view(b, 1)
        return gone.gather(1, band.flatten(1)).view(band.shape) & chosen

    def _covered(
        self, sensor: torch.Tensor, points: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        """A pole that passes across the view, or a hedge that hides the legs for some of the frames."""
        b, t = points.shape[:2]
        sight = torch.nn.functional.normalize(-sensor[..., :2], dim=3)
        aside = points[..., 0] * sight[..., 1] - points[..., 1] * sight[..., 0]
        start, speed = 2 * _draw(b, 1, generator) - 1, 0.4 * _draw(b, 1, generator) - 0.2
        half = 0.05 + 0.1 * _draw(b, 1, generator)
        pole = (aside - start - speed * torch.arange(t).view(1, t, 1)).abs() < half
        low = points[..., 2] < 0.3 + 0.7 * _draw(b, 1, generator)
        until, later = _draw(b, 1, generator), _draw(b, 1, generator) < 0.5
        when = torch.arange(t).view(1, t, 1) / t
        hedge = low & torch.where(later, when >= until, when < until)
        chosen, which = _draw(b, 1, generator) < self.cover, _draw(b, 1, generator) < 0.5
        return torch.where(which, pole, hedge) & chosen

    def _noisy(self, sensor: torch.Tensor, points: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        spread = self.noise_m * _draw(len(points), 2, generator)
        along = torch.nn.functional.normalize(points - sensor, dim=3)
        return points + along * spread * torch.randn(*points.shape[:3], 1, generator=generator)

    def _moved(self, frames: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        b = len(frames)
        draw = 2 * torch.rand(b, 5, generator=generator) - 1
        angle = draw[:, 0] * math.radians(self.turn_deg)
        side = torch.where(torch.rand(b, generator=generator) < self.flip, -1.0, 1.0)
        size = 1 + self.scale * draw[:, 1]
        zero = torch.zeros_like(angle)
        c, s = angle.cos() * size, angle.sin() * size
        # mirrored first, then turned
        rows = [c, -s * side, zero, s, c * side, zero, zero, zero, size]
        matrix = torch.stack(rows, dim=1).view(b, 3, 3).to(frames.dtype)
        shift = self.shift_m * draw[:, 2:] * torch.tensor([1.0, 1.0, 1 / 3])
        moved = torch.einsum("bij,btpj->btpi", matrix, frames)
        return moved + shift.view(b, 1, 1, 3).to(frames.dtype)


BANDS = 64


def _draw(b: int, axes: int, generator: torch.Generator) -> torch.Tensor:
    """One number in 0..1 a walk, ``[b, 1, 1]`` and as many ones more as ``axes`` says."""
    return torch.rand(b, generator=generator).view(b, 1, 1, *[1] * (axes - 1))


def _kept(points: torch.Tensor, lost: torch.Tensor) -> torch.Tensor:
    """Points that stay, in their order, repeated to fill the frame; all of them where all would go."""
    lost = lost & ~lost.all(dim=2, keepdim=True)
    order = lost.to(torch.uint8).argsort(dim=2, stable=True)
    stay = (~lost).sum(dim=2, keepdim=True)
    index = order.gather(2, torch.arange(points.shape[2]).expand_as(order) % stay)
    return points.gather(2, index[..., None].expand_as(points))
