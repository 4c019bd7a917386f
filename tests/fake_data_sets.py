"""Tiny fakes of public data sets, each in the layout that OpenGait keeps it in.

    python tests/fake_data_sets.py casia_b /tmp/casia_b

People differ in width and height, so that something can be learnt. Nothing in them is anybody's data.
"""

from __future__ import annotations

import json
import pickle  # noqa: TID251 - what the data sets are made of
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FRAMES = 8
COCO_X = [0, 1, -1, 2, -2, 6, -6, 8, -8, 9, -9, 4, -4, 4, -4, 5, -5]
COCO_Y = [6, 5, 5, 6, 6, 14, 14, 24, 24, 33, 33, 34, 34, 48, 48, 61, 61]


class Body:
    """What a walk of somebody looks like to each sensor."""

    def __init__(self, person: int, kind: int, view: int, frames: int = FRAMES) -> None:
        self.rng = np.random.default_rng([person, kind, view])
        self.wide, self.tall, self.frames = 4 + 2 * (person % 6), 1.5 + 0.06 * (person % 7), frames
        self.stride = np.sin(np.arange(frames) * 2 * np.pi / 6 + view)

    def silhouette(self) -> NDArray[np.uint8]:
        """uint8 ``[T, 64, 64]``, as OpenGait has brought them to one size."""
        out = np.zeros((self.frames, 64, 64), np.uint8)
        rows = np.arange(64)
        for t, swing in enumerate(self.stride):
            half = np.where(rows < 12, 4, np.where(rows < 36, self.wide, 2 + np.abs(swing) * self.wide))
            out[t][np.abs(np.arange(64) - 31.5) <= half[:, None]] = 255
        return out

    def parsing(self) -> NDArray[np.uint8]:
        """uint8 ``[T, 64, 64]``: labels 1 to 3 from head to feet, 0 = nobody."""
        labels = np.repeat([1, 2, 3], [12, 24, 28]).astype(np.uint8)
        return np.where(self.silhouette() > 0, labels[:, None], 0).astype(np.uint8)

    def pose(self) -> NDArray[np.float32]:
        """float32 ``[T, 17, 3]``: COCO's key points in pixels."""
        points = np.empty((self.frames, 17, 3), np.float32)
        points[..., 0] = 100 + np.array(COCO_X) * (1 + self.wide / 20) + 2 * self.stride[:, None]
        points[..., 1] = 50 + np.array(COCO_Y) * self.tall
        points[..., 2] = 0.9
        return points

    def points(self, sensor_m: float = 1.2) -> list[NDArray[np.float32]]:
        """A cloud a frame, metres from a LiDAR that stands ``sensor_m`` above the ground."""
        clouds = []
        for t in range(self.frames):
            count = int(self.rng.integers(80, 120))
            up = np.concatenate([[0.0], self.rng.uniform(0, self.tall, count - 1)])
            around = self.rng.uniform(0, 2 * np.pi, count)
            aside, along = np.cos(around) * self.wide / 50, np.sin(around) * self.wide / 50
            cloud = np.stack([6 + 0.1 * t + along, aside, up - sensor_m], axis=1)
            clouds.append(cloud.astype(np.float32))
        return clouds

    def smpl(self) -> NDArray[np.float32]:
        """float32 ``[T, 85]``: camera 3, pose 72, shape 10."""
        values = np.zeros((self.frames, 85), np.float32)
        values[:, 3:75] = 0.1 * self.stride[:, None]
        values[:, 75] = self.wide / 8
        return values


def put(path: Path, value: Any) -> None:
    """A pickle, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(value))


def split(root: Path, train: Iterable[str], test: Iterable[str], **lists: list[str]) -> None:
    """A partition file as OpenGait writes them."""
    held = {"TRAIN_SET": list(train), "TEST_SET": list(test), **lists}
    (root / f"{root.name}.json").write_text(json.dumps(held))


Walks = Iterable[tuple[str, str, str, Body]]


def walks(people: list[str], kinds: list[str], views: list[str]) -> Walks:
    """Everybody in every type and view."""
    for person, name in enumerate(people):
        for kind, kind_name in enumerate(kinds):
            for view, view_name in enumerate(views):
                yield name, kind_name, view_name, Body(person, kind, view)


def casia_b(root: Path) -> None:
    """CASIA-B-pkl: 001/nm-01/000/000.pkl; its partition goes by number."""
    kinds = [f"nm-{i:02}" for i in range(1, 7)] + [f"{k}-{i:02}" for k in ("bg", "cl") for i in (1, 2)]
    people = ["001", "002", "003", "004", "075", "076", "077"]
    for name, kind, view, body in walks(people, kinds, ["000", "090"]):
        put(root / name / kind / view / f"{view}.pkl", body.silhouette())


def ou_mvlp(root: Path) -> None:
    """OUMVLP-pkl: 00001/00/000/000.pkl."""
    people = [f"{i:05}" for i in range(1, 9)]
    for name, kind, view, body in walks(people, ["00", "01"], ["000", "015", "270"]):
        put(root / name / kind / view / f"{view}.pkl", body.silhouette())
    split(root, people[::2], people[1::2])


def grew(root: Path) -> None:
    """GREW-pkl: 00001train/00/4XPn5Z28/4XPn5Z28.pkl; 00001/01/...; probe/03/etaGVnWf/etaGVnWf.pkl."""
    people = [f"{i:05}" for i in range(1, 5)]
    for person, name in enumerate(people):
        for kind in range(3):
            video = f"train{person}{kind}"
            put(root / f"{name}train" / "00" / video / f"{video}.pkl", Body(person, kind, 0).silhouette())
        for kind in (1, 2):
            for take in range(3):
                video = f"test{person}{kind}{take}"
                body = Body(person, kind, take)
                put(root / name / f"{kind:02}" / video / f"{video}.pkl", body.silhouette())
        video = f"probe{person}"
        put(root / "probe" / "03" / video / f"{video}.pkl", Body(person, 3, 0).silhouette())
    split(root, [f"{name}train" for name in people], [*people, "probe"])


def gait3d(root: Path) -> None:
    """Gait3D-sils-64-64-pkl, Gait3D-smpls-pkl and Gait3D-pars-64-64-pkl side by side."""
    people = [f"{i:04}" for i in range(8)]
    cameras = ["camid1_videoid2", "camid4_videoid1"]
    for name, kind, view, body in walks(people, cameras, ["seq0", "seq1"]):
        place = Path(name, kind, view)
        put(root / "Gait3D-sils-64-64-pkl" / place / f"{view}.pkl", body.silhouette())
        put(root / "Gait3D-smpls-pkl" / place / f"{view}.pkl", body.smpl())
        put(root / "Gait3D-pars-64-64-pkl" / place / f"{view}.pkl", body.parsing())
    probes = [f"{name}-camid1_videoid2-seq0" for name in people[4:]]
    split(root, people[:4], people[4:], PROBE_SET=probes)


def sustech1k(root: Path) -> None:
    """SUSTech1K-pkl: 0000/01-nm/000/00-000-LiDAR-PCDs.pkl and 15 more; the camera three times as fast."""
    people = [f"{i:04}" for i in range(5)]
    kinds = ["00-nm", "01-nm", "02-bg", "01-cl", "03-cr", "04-ub", "01-uf", "02-oc", "01-nt"]
    files = ("LiDAR-PCDs", "LiDAR-PCDs_depths", "LiDAR-PCDs_sils", "Camera-Pose")
    files += ("Camera-Ratios-HW", "Camera-RGB_raw", "Camera-Sils_aligned", "Camera-Sils_raw")
    for name, kind, view, slow in walks(people, kinds, ["000", "045-far"]):
        fast = Body(int(name), kinds.index(kind), 0, 3 * FRAMES)
        for half, (camera, tag) in enumerate(((fast, view), (slow, f"sync-{view}"))):
            depths = np.ones((FRAMES, 3, 8, 8), np.uint8)
            held: list[Any] = [slow.points(), depths, slow.silhouette()[:, ::-1], camera.pose()]
            small = np.ones((camera.frames, 3, 4, 4), np.uint8)
            held += [[0.5] * camera.frames, small, camera.silhouette(), camera.silhouette()[:, :, ::-1]]
            for number, (what, value) in enumerate(zip(files, held, strict=True)):
                put(root / name / kind / view / f"{8 * half + number:02}-{tag}-{what}.pkl", value)
    split(root, people[:3], people[3:])


def ccpg(root: Path) -> None:
    """CCPG: 000/U0_D0/01_0/01_0-aligned-sils.pkl beside -ratios, -rgbs and -sils."""
    people = [f"{i:03}" for i in range(6)]
    kinds = ["U0_D0", "U0_D0_BG", "U0_D3", "U1_D0", "U1_D1", "U2_D2", "U3_D3"]
    for name, kind, view, body in walks(people, kinds, ["01_0", "01_1", "02_0"]):
        place = root / name / kind / view
        put(place / f"{view}-aligned-sils.pkl", body.silhouette())
        put(place / f"{view}-ratios.pkl", np.full(FRAMES, 0.4))
        put(place / f"{view}-rgbs.pkl", np.ones((FRAMES, 3, 4, 4), np.uint8))
        put(place / f"{view}-sils.pkl", body.silhouette()[:, ::-1])
    split(root, people[:3], people[3:])


def ccgr_mini(root: Path) -> None:
    """CCGR-Mini: 1/AS1/180_a.avi/002-180_a.avisil-0.pkl with parsing and pose beside it."""
    people = [str(i) for i in range(1, 7)]
    views = ["45_1.avi", "67_5_2.avi", "over.avi"]
    for name, kind, view, body in walks(people, ["AS1", "NM1"], views):
        place = root / name / kind / view
        put(place / f"000-{view}ratios_HW-0.pkl", np.full(FRAMES, 0.4))
        put(place / f"001-{view}rgb_f-0.pkl", np.ones((FRAMES, 3, 4, 4), np.uint8))
        put(place / f"002-{view}sil-0.pkl", body.silhouette())
        put(place / f"003-{view}par-0.pkl", body.parsing())
        put(place / f"004-{view}pose-0.pkl", body.pose())
    split(root, people[:3], people[3:], GALLERY_SET=[f"{name}-NM1-45_1.avi" for name in people[3:]])


def freegait(root: Path) -> None:
    """FreeGait: 0001/devid_3/seq_00/image/image.pkl, lidar/lidar.pkl and others."""
    people = [f"{i:04}" for i in range(1, 7)]
    for name, kind, view, body in walks(people, ["devid_2", "devid_3"], ["seq_00", "seq_01"]):
        place = root / name / kind / view
        put(place / "image" / "image.pkl", body.silhouette())
        put(place / "lidar" / "lidar.pkl", body.points())
        put(place / "range_pkl" / "range_pkl.pkl", np.ones((FRAMES, 3, 8, 8), np.uint8))
        put(place / "smpl" / "smpl.pkl", body.smpl())
        put(place / "kp3d" / "kp3d.pkl", np.zeros((FRAMES, 24, 3), np.float32))
    gallery = [f"{name}-devid_2-seq_00" for name in people[3:]]
    probes = [f"{name}-devid_3-{seq}" for name in people[3:] for seq in ("seq_00", "seq_01")]
    split(root, people[:3], people[3:], GALLERY_SET=gallery, PROBE_SET=probes)


FAKES: dict[str, Callable[[Path], None]] = {
    make.__name__: make for make in (casia_b, ou_mvlp, grew, gait3d, sustech1k, ccpg, ccgr_mini, freegait)
}


def write(name: str, root: Path) -> Path:
    """Write the fake of that name into a folder, which is made; returns the folder."""
    root.mkdir(parents=True, exist_ok=True)
    FAKES[name](root)
    return root


if __name__ == "__main__":
    print(write(sys.argv[1], Path(sys.argv[2])))
