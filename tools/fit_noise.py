"""Fit the errors of a pose estimator: ``python tools/fit_noise.py --video FILE``.

The estimator is the one that videos go through (`gait3dlib.perception.pose`, mediapipe). It looks at shaded
renders of simulated walkers, whose key points are known, at several heights in pixels and from several sides;
and at a real video, whose key points nobody knows. The renders give the errors point by point: the mean, what
stays for a walk, what trembles from frame to frame and how long it remembers, how hidden points differ. The
video says how much more a real image trembles: the residual about a running parabola, against the same
residual on renders. The result is `gait3dlib/_assets/keypoint_noise.yaml`; every error is a fraction of the
person's height in pixels.

Looks are kept in ``--cache``; an interrupted call goes on. Renders have plain colours and no face, so the
head's points are the least certain figures in the file.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray
from scipy import ndimage

from gait3dlib.body import COCO_NAMES
from gait3dlib.perception.layouts import coco17
from gait3dlib.perception.pose import PeopleDetector, PoseEstimator
from gait3dlib.simulation import sample_walker
from gait3dlib.simulation.camera import look_at, pixel_rays, project
from gait3dlib.simulation.look import Viewer
from gait3dlib.simulation.noise import COCO_DEPTH_M
from gait3dlib.simulation.scene import Actor, Scene

ASSET = Path(__file__).parents[1] / "gait3dlib" / "_assets" / "keypoint_noise.yaml"
HEIGHTS_PX = (45, 80, 150, 300)
VIEWS = (0.0, 45.0, 90.0, 180.0)
FRAMES, FPS = 12, 30.0
SEED = 424242  # of people who are in no data set
DISTANCE_M = 6.0
SMALL = 100.0
F64 = NDArray[np.float64]


@dataclass
class Looked:
    """One walk: found [T, 17, 3] (nan = missed), true [T, 17, 2], hidden [T, 17], pixels [T]."""

    found: F64
    true: F64
    hidden: NDArray[np.bool_]
    pixels: F64


def render(viewer: Viewer, frame: int, rng: np.random.Generator, colours: F64) -> NDArray[np.uint8]:
    """A shaded picture ``[H, W, 3]`` with a textured background."""
    camera = viewer.camera
    columns, rows = np.meshgrid(np.arange(float(camera.width)), np.arange(float(camera.height)))
    rays = pixel_rays(camera, columns, rows).reshape(-1, 3)
    hits = viewer.meshes[frame].cast(viewer.origin, rays)
    on = hits.face >= 0
    corners = viewer.state.vertices[frame][viewer.actor.faces[hits.face[on]]]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-12
    light = np.array([0.4, -0.3, 0.85]) / np.linalg.norm([0.4, -0.3, 0.85])
    shade = 0.45 + 0.3 * np.clip(normal @ light, 0, 1) + 0.25 * hits.cosine[on]
    picture = background(camera.height, camera.width).reshape(-1, 3)
    picture[on] = colours[hits.face[on]] * shade[:, None]
    picture = ndimage.gaussian_filter(picture.reshape(camera.height, camera.width, 3), (0.6, 0.6, 0))
    return (picture + rng.normal(0, 4, picture.shape)).clip(0, 255).astype(np.uint8)


def background(height: int, width: int) -> F64:
    """The same room in every frame: a wall, a floor, and stains on both."""
    rng = np.random.default_rng(1)
    stains = ndimage.gaussian_filter(rng.standard_normal((height, width)), max(2.0, height / 40))
    stains *= 14 / stains.std()
    tone = np.where(np.arange(height)[:, None] > 0.6 * height, 105.0, 165.0) + stains
    return tone[..., None] * np.array([1.0, 0.97, 0.92])


def colours_of(actor: Actor, rng: np.random.Generator) -> F64:
    """Colour ``[F, 3]``: skin at head and hands, shirt, trousers, shoes."""
    leads = actor.walker.body().weights.argmax(axis=1)
    skin = np.array([210.0, 165.0, 140.0]) * rng.uniform(0.45, 1.1)
    shirt, trousers, shoes = rng.uniform(30, 220, 3), rng.uniform(20, 120, 3), rng.uniform(20, 90, 3)
    table = np.tile(shirt, (24, 1))
    table[[12, 15, 18, 19, 20, 21, 22, 23]] = skin
    table[[0, 1, 2, 4, 5]] = trousers
    table[[7, 8, 10, 11]] = shoes
    return np.asarray(table[leads[actor.faces[:, 0]]])


def look_at_walk(
    estimator: PoseEstimator, number: int, height_px: int, view: float, pictures: Path | None
) -> Looked:
    """Render one walk and ask the estimator for each frame."""
    rng = np.random.default_rng([SEED, number])
    actor = Actor.walking(sample_walker(SEED, number), seed=1, seconds=FRAMES / FPS)
    angle = np.deg2rad(view)
    place = np.array([DISTANCE_M * np.cos(angle), DISTANCE_M * np.sin(angle), 1.5])
    width = round(height_px * 2 * np.tan(np.deg2rad(20.0)) * DISTANCE_M / 1.7)
    camera = look_at(place, np.array([0, 0, 0.9]), width=width, height=width, field_of_view_deg=40.0)
    viewer = Viewer(Scene([actor], ground=False), 0, camera, np.arange(FRAMES) / FPS)
    points = project(camera, viewer.state.landmarks)
    whole = viewer.extents.whole
    colours = colours_of(actor, rng)
    found = np.full((FRAMES, 17, 3), np.nan)
    hidden = np.zeros((FRAMES, 17), dtype=bool)
    for frame in range(FRAMES):
        jitter = rng.normal(0, 0.01, 4) * (whole[frame, 3] - whole[frame, 1])
        left, top, right, bottom = whole[frame] + jitter
        picture = render(viewer, frame, rng, colours)
        body = estimator.look(picture, np.array([left, top, right - left, bottom - top]))
        if body is not None:
            found[frame] = coco17(body.keypoints[None], "blazepose33")[0]
        rays = pixel_rays(camera, points[frame, :, 0], points[frame, :, 1])
        surface = viewer.meshes[frame].cast(viewer.origin, rays).distance
        hidden[frame] = points[frame, :, 2] - surface > COCO_DEPTH_M * actor.walker.shape.height_m / 1.7
        if frame == 0 and pictures is not None:
            cv2.imwrite(str(pictures / f"walk-{number:02d}.png"), picture[..., ::-1])
    return Looked(found, points[..., :2], hidden, whole[:, 3] - whole[:, 1])


def look_at_video(estimator: PoseEstimator, path: Path, first: int, frames: int) -> tuple[F64, F64]:
    """Key points ``[T, 17, 3]`` of the moving person and their height in pixels ``[T]``."""
    video = cv2.VideoCapture(str(path))
    video.set(cv2.CAP_PROP_POS_FRAMES, first)
    found, pixels, box = [], [], None
    for _ in range(frames):
        good, image = video.read()
        if not good:
            break
        image = np.ascontiguousarray(image[..., ::-1])
        if box is None:
            with PeopleDetector() as detector:
                people = detector(image)
            box = nearest(people)
        body = estimator.look(image, box)
        found.append(
            np.full((17, 3), np.nan) if body is None else coco17(body.keypoints[None], "blazepose33")[0]
        )
        box = box if body is None else body.box
        pixels.append(box[3])
    return np.array(found), np.array(pixels)


def nearest(boxes: F64) -> F64:
    """Of the people found, the one whose feet are lowest in the picture: in Sports2D's video the walker."""
    boxes = np.asarray(boxes, dtype=np.float64)
    return np.asarray(boxes[(boxes[:, 1] + boxes[:, 3]).argmax(), :4])


MIRROR = np.array([0, *(k + 1 if k % 2 else k - 1 for k in range(1, 17))])
GROUPS = (np.arange(1, 5), np.arange(5, 11), np.arange(11, 17))  # head, arms, legs


def put_right(walk: Looked) -> tuple[F64, NDArray[np.bool_]]:
    """Key points with exchanged sides changed back, and where legs were exchanged ``[T]``.

    A bald head without a face looks the same from behind: whole bodies are mirrored there. That is the
    render's fault and not kept; legs that are exchanged in a side view are the estimator's.
    """
    found, legs = walk.found.copy(), np.zeros(len(walk.found), dtype=bool)
    for group in GROUPS:
        straight = np.linalg.norm(walk.found[:, group, :2] - walk.true[:, group], axis=-1).mean(axis=1)
        other = walk.found[:, MIRROR[group]]
        crossed = np.linalg.norm(other[..., :2] - walk.true[:, group], axis=-1).mean(axis=1)
        wrong = crossed < 0.6 * straight  # never where nothing was found
        found[np.ix_(wrong, group)] = other[wrong]
        legs = wrong if group[0] == 11 else legs
    return found, legs


def trembling(points: F64, pixels: F64) -> F64:
    """Standard deviation [17] of key points about a running parabola of 7 frames, over the height."""
    kernel = np.array([-2, 3, 6, 7, 6, 3, -2]) / 21.0  # Savitzky and Golay
    path = points[..., :2] / np.median(pixels)  # frame by frame, the box's own trembling would come in
    smooth = sum(kernel[k] * path[k : len(path) - 6 + k] for k in range(7))
    rest = path[3:-3] - smooth
    # a white series keeps 1 - 7/21 of its variance in this residual
    return np.asarray(np.sqrt(np.nanmedian(rest**2, axis=(0, 2)) / 0.455 / (1 - 7 / 21)))


def fit(walks: list[Looked], video: tuple[F64, F64] | None) -> dict[str, object]:
    """All numbers of the file."""
    righted, crossed = zip(*(put_right(walk) for walk in walks), strict=True)
    errors = [(f[..., :2] - w.true) / w.pixels[:, None, None] for f, w in zip(righted, walks, strict=True)]
    missed = np.array([np.isnan(w.found[:, 0, 0]).mean() for w in walks])
    tall = np.array([np.median(w.pixels) for w in walks])
    usable = [k for k, w in enumerate(walks) if (~np.isnan(w.found[:, 0, 0])).sum() >= 6]
    steady = np.array([np.nanmean(errors[k], axis=0) for k in usable])
    tremble = [errors[k] - np.nanmean(errors[k], axis=0) for k in usable]
    shown = [~walks[k].hidden[..., None] & ~np.isnan(tremble[i]) for i, k in enumerate(usable)]
    behind = [walks[k].hidden[..., None] & ~np.isnan(tremble[i]) for i, k in enumerate(usable)]
    large = [i for i, k in enumerate(usable) if tall[k] >= SMALL]
    variance = [np.where(shown[i], tremble[i] ** 2, np.nan) for i in range(len(usable))]
    jitter = np.sqrt(np.nanmean(np.concatenate([variance[i] for i in large]), axis=(0, 2)))
    covered = np.concatenate([np.where(behind[i], tremble[i] ** 2, np.nan) for i in large])
    expected = np.broadcast_to(jitter[None, :, None] ** 2, covered.shape)[~np.isnan(covered)]
    hidden = float(np.sqrt(np.nansum(covered) / expected.sum()))
    lag = [np.where(np.isnan(e[1:]) | np.isnan(e[:-1]), np.nan, e[1:] * e[:-1]) for e in tremble]
    memory = float(
        np.nansum([np.nansum(x) for x in lag]) / np.nansum([np.nansum(e[1:] ** 2) for e in tremble])
    )
    near = np.abs(np.subtract.outer(tall, HEIGHTS_PX)).argmin(axis=1)
    size = []
    for k in range(len(HEIGHTS_PX)):
        here = [i for i, w in enumerate(usable) if near[w] == k]
        share = [np.nanmean(variance[i], axis=(0, 2)) / jitter**2 for i in here]
        size.append(float(np.sqrt(np.nanmedian(share))) if here else None)
    score = np.concatenate([np.stack([walks[k].found[..., 2], walks[k].hidden], -1) for k in usable])
    scores = score.reshape(-1, 2)[~np.isnan(score.reshape(-1, 2)[:, 0])]
    out: dict[str, object] = {
        "points": list(COCO_NAMES),
        "bias_down": rounded(np.mean(steady[..., 1], axis=0)),
        "bias_sd": rounded(
            np.sqrt(np.mean((steady - [[[0, 1]]] * np.mean(steady, axis=0)) ** 2, axis=(0, 2)))
        ),
        "jitter_sd": rounded(jitter),
        "memory": round(memory, 3),
        "hidden_factor": round(hidden, 3),
        "legs_crossed": round(
            float(np.mean([crossed[k].mean() for k in usable if abs(VIEWS[k // 4] - 90) < 1])), 4
        ),
        "crossed_from_behind": round(
            float(np.mean([crossed[k].mean() for k in usable if VIEWS[k // 4] == 180])), 3
        ),
        "height_px": list(HEIGHTS_PX),
        "size_factor": [None if s is None else round(s, 3) for s in size],
        "missed": [round(float(missed[near == k].mean()), 3) for k in range(len(HEIGHTS_PX))],
        "score_shown": rounded(
            np.array([scores[scores[:, 1] == 0, 0].mean(), scores[scores[:, 1] == 0, 0].std()])
        ),
        "score_hidden": rounded(
            np.array([scores[scores[:, 1] == 1, 0].mean(), scores[scores[:, 1] == 1, 0].std()])
        ),
        "walks": len(walks),
        "frames": int(sum(len(w.pixels) for w in walks)),
    }
    if video is not None:
        real = trembling(*video)
        made = np.nanmedian([trembling(righted[usable[i]], walks[usable[i]].pixels) for i in large], axis=0)
        out["video"] = {
            "frames": len(video[1]),
            "height_px": round(float(np.median(video[1])), 1),
            "trembling": rounded(real),
            "trembling_of_renders": rounded(made),
            "real_over_rendered": round(float(np.median(real / made)), 3),
        }
    return out


def rounded(values: F64) -> list[float]:
    return [round(float(value), 5) for value in values]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--video", type=Path, help="of one person who walks by, such as Sports2D's demo.mp4")
    parser.add_argument("--first", type=int, default=66, help="first frame of the video")
    parser.add_argument("--frames", type=int, default=60, help="frames of the video")
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=ASSET)
    parser.add_argument("--pictures", type=Path, help="folder for the first picture of every walk")
    asked = parser.parse_args()
    asked.cache.mkdir(parents=True, exist_ok=True)
    walks, video = [], None
    with PoseEstimator() as estimator:
        if asked.video is not None:
            kept = asked.cache / f"video-{asked.first}-{asked.frames}.npz"
            if not kept.exists():
                found, pixels = look_at_video(estimator, asked.video, asked.first, asked.frames)
                np.savez(kept, found=found, pixels=pixels)
            with np.load(kept) as held:
                video = held["found"], held["pixels"]
        for number in range(len(HEIGHTS_PX) * len(VIEWS)):
            kept = asked.cache / f"walk-{number:02d}.npz"
            if not kept.exists():
                height = HEIGHTS_PX[number % len(HEIGHTS_PX)]
                view = VIEWS[number // len(HEIGHTS_PX)]
                looked = look_at_walk(estimator, number, height, view, asked.pictures)
                np.savez(kept, **vars(looked))
            with np.load(kept) as held:
                walks.append(Looked(**{name: held[name] for name in held.files}))
            print(
                f"walk {number}: {np.median(walks[-1].pixels):.0f} px, "
                f"{np.isnan(walks[-1].found[:, 0, 0]).mean():.0%} missed",
                flush=True,
            )
    source = {
        "estimator": "mediapipe 0.10.14, BlazePose complexity 1, as gait3dlib.perception.pose uses it",
        "made_by": "tools/fit_noise.py",
        "renders": f"{len(walks)} walks of simulated people, plain colours, no face",
        "video": "demo.mp4 of Sports2D (github.com/davidpagnon/Sports2D, BSD-3-Clause)" if video else "none",
    }
    asked.out.write_text(yaml.safe_dump({"source": source, **fit(walks, video)}, sort_keys=False, width=100))
    print(f"written: {asked.out}")


if __name__ == "__main__":
    main()
