"""The ``mesh`` modality: what it reads, which stream it credits, and the encoder of fitted bodies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from gait3dlib.errors import ConfigError
from gait3dlib.modalities import Batch, Sample
from gait3dlib.modalities._mesh_encoder import MeshEncoder, over_time
from gait3dlib.modalities._mesh_poses import OF_SMPL, POSE, SHAPE
from gait3dlib.modalities.mesh import Mesh
from gait3dlib.simulation import sample_walker
from gait3dlib.types import GaitSequence, Stream, Tokens

SMALL: dict[str, Any] = {"width": 8, "strips": 4, "depth": 4, "pose_width": 8}
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def bodies(person: int = 1, fps: float = 30.0, seconds: float = 1.0, layout: str = "free_body") -> Stream:
    """The `smpl` stream of a simulated walk, as a perfect fit would give it."""
    walker = sample_walker(seed=3, index=person)
    motion = walker.walk(seed=0, fps=fps, seconds=seconds)
    frames = len(motion.t_s)
    pose = Rotation.from_matrix(motion.rotations.reshape(-1, 3, 3)).as_rotvec().reshape(frames, 72)
    shape = np.tile(walker.body().numbers, (frames, 1))
    data = np.concatenate([motion.translation, pose, shape], axis=1).astype(np.float32)
    t_ns = np.round(np.arange(frames) / fps * 1e9).astype(np.int64)
    return Stream(data, t_ns, "m, rad", layout=layout)


def turned(stream: Stream, yaw: float) -> Stream:
    """The same walk elsewhere and in another direction."""
    data = stream.data.astype(np.float64)
    turn = Rotation.from_euler("z", yaw)
    data[:, :3] = turn.apply(data[:, :3]) + np.array([3.0, -2.0, 0.1])
    data[:, 3:6] = (turn * Rotation.from_rotvec(data[:, 3:6])).as_rotvec()
    return Stream(data.astype(np.float32), stream.t_ns, "m, rad", layout=stream.layout)


def outlines(frames: int = 6, seed: int = 0) -> Stream:
    """A column of white as tall as the picture, with a swaying rectangle at its foot."""
    rng = np.random.default_rng(seed)
    data = np.zeros((frames, 64, 64), np.uint8)
    data[:, 4:60, 26:38] = 255
    for frame in data:
        left = int(rng.integers(16, 34))
        frame[40:60, left : left + 14] = 255
    return Stream(data, np.arange(frames, dtype=np.int64) * 66_000_000)


def walk(**streams: Stream) -> GaitSequence:
    return GaitSequence(streams)


def sample_of(seq: GaitSequence, **settings: Any) -> Sample:
    sample = Mesh(**settings).sample(seq)
    assert sample is not None
    return sample


def encoder(source: str = "either", seed: int = 0) -> MeshEncoder:
    torch.manual_seed(seed)
    made = Mesh(source=source, **SMALL).encoder(16).eval()  # type: ignore[arg-type]
    assert isinstance(made, MeshEncoder)
    return made


def tokens_of(network: MeshEncoder, *samples: Sample | None) -> Tokens:
    with torch.inference_mode():
        tokens: Tokens = network(Mesh().collate(samples))
    return tokens


# ---- what is read ----------------------------------------------------------------------------------


def test_the_fitted_body_goes_before_silhouettes_and_each_is_credited() -> None:
    both = walk(smpl=bodies(), silhouette=outlines())
    assert sample_of(both).used == ("smpl",)
    assert sample_of(both.without("smpl")).used == ("silhouette",)
    assert sample_of(both, source="silhouette").used == ("silhouette",)
    assert Mesh(source="smpl").sample(both.without("smpl")) is None
    assert Mesh(source="silhouette").sample(both.without("silhouette")) is None
    assert not Mesh(source="silhouette").ordered
    assert Mesh(source="smpl").ordered and Mesh().ordered


def test_silhouettes_that_show_nobody_are_no_evidence() -> None:
    blank = Stream(np.zeros((3, 64, 64), np.uint8), np.arange(3, dtype=np.int64))
    assert Mesh().sample(walk(silhouette=blank)) is None


def test_an_encoder_has_only_what_it_reads() -> None:
    names = {source: set(encoder(source).state_dict()) for source in ("either", "silhouette", "smpl")}
    assert names["either"] == names["silhouette"] | names["smpl"]
    assert not any(name.startswith("pictures") for name in names["smpl"])
    assert not any(name.startswith("poses") for name in names["silhouette"])
    with pytest.raises(ConfigError, match="strips"):
        Mesh(strips=5).encoder(8)


# ---- fitted bodies ---------------------------------------------------------------------------------


def columns(frames: NDArray[np.float32]) -> NDArray[np.float64]:
    return frames[:, POSE].reshape(-1, 24, 2, 3).astype(np.float64)


@pytest.mark.parametrize("yaw", [0.4, 2.0, -3.0])
def test_where_a_walk_goes_to_changes_nothing(yaw: float) -> None:
    stream = bodies()
    one, other = sample_of(walk(smpl=stream)), sample_of(walk(smpl=turned(stream, yaw)))
    np.testing.assert_allclose(one.frames, other.frames, atol=2e-5)
    network = encoder()
    torch.testing.assert_close(tokens_of(network, one).values, tokens_of(network, other).values, **CLOSE)
    # a lean is no yaw, and is seen
    data = stream.data.copy()
    lean = Rotation.from_euler("y", 0.2) * Rotation.from_rotvec(data[:, 3:6])
    data[:, 3:6] = lean.as_rotvec()
    leaning = sample_of(walk(smpl=Stream(data, stream.t_ns, "m, rad", layout="free_body")))
    assert np.abs(leaning.frames - one.frames).max() > 0.1


def test_rotations_are_given_by_two_columns() -> None:
    stream = bodies()
    found = columns(sample_of(walk(smpl=stream)).frames)
    turns = Rotation.from_rotvec(stream.data[:, 3:75].reshape(-1, 3).astype(np.float64)).as_matrix()
    turns = turns.reshape(-1, 24, 3, 3)
    wanted = turns[..., :2].swapaxes(2, 3)
    np.testing.assert_allclose(found[:, 1:], wanted[:, 1:], atol=1e-5)
    np.testing.assert_allclose(found[:, 0, 0, 1], 0.0, atol=1e-6)  # forward, without its yaw
    assert (found[:, 0, 0, 0] > 0.8).all()
    np.testing.assert_allclose(found[:, 0, :, 2], turns[:, 0, 2, :2], atol=1e-5)  # its lean stays


@pytest.mark.parametrize(("fps", "most"), [(15.0, 0.2), (60.0, 0.02), (120.0, 0.02)])
def test_every_rate_comes_as_30_a_second(fps: float, most: float) -> None:
    """Of 15 a second every other frame is drawn between two: a shank swings 20 degrees meanwhile."""
    here, there = sample_of(walk(smpl=bodies(fps=30.0))), sample_of(walk(smpl=bodies(fps=fps)))
    np.testing.assert_allclose(np.diff(there.t_s), 1 / 30, atol=1e-5)
    count = min(len(here), len(there))
    assert abs(len(here) - len(there)) <= 2
    apart = np.abs(here.frames[:count] - there.frames[:count])
    assert apart.max() < most and apart.mean() < 0.005


def test_of_a_walk_with_a_hole_the_longer_part_is_read() -> None:
    whole = bodies(seconds=2.0)
    kept = np.r_[0:10, 30:60]
    cut = Stream(whole.data[kept], whole.t_ns[kept], "m, rad", layout="free_body")
    part = sample_of(walk(smpl=cut))
    assert part.t_s[0] == pytest.approx(1.0, abs=1e-3)
    np.testing.assert_allclose(part.frames, sample_of(walk(smpl=whole)).frames[30:60], atol=1e-4)
    single = Stream(whole.data[:1], whole.t_ns[:1], "m, rad", layout="free_body")
    assert len(sample_of(walk(smpl=single))) == 1


def test_shapes_of_two_models_are_not_confused() -> None:
    free, smpl = (sample_of(walk(smpl=bodies(layout=name))) for name in ("free_body", "smpl"))
    np.testing.assert_array_equal(free.frames[:, POSE], smpl.frames[:, POSE])
    middle = SHAPE.start + 10
    assert free.frames[:, SHAPE.start : middle].any() and not free.frames[:, middle:].any()
    assert smpl.frames[:, middle : SHAPE.stop].any() and not smpl.frames[:, SHAPE.start : middle].any()
    assert (smpl.frames[:, OF_SMPL] == 1).all()
    shapes = tokens_of(encoder(), free, smpl).values[:, -1]
    assert not torch.allclose(shapes[0], shapes[1], atol=1e-3)
    # and the shape lies in its own token alone
    strips = tokens_of(encoder(), free, smpl).values[:, :-1]
    torch.testing.assert_close(strips[0], strips[1], **CLOSE)


# ---- batches ---------------------------------------------------------------------------------------


def four() -> list[Sample | None]:
    """Two fitted bodies and two walks of silhouettes, of different lengths, and one that has neither."""
    return [
        sample_of(walk(smpl=bodies(1))),
        sample_of(walk(silhouette=outlines(5))),
        None,
        sample_of(walk(smpl=bodies(2))).take(np.arange(7)),
        sample_of(walk(silhouette=outlines(3, seed=1))),
    ]


def test_a_mixed_batch_equals_its_walks_one_by_one() -> None:
    network, rows = encoder(), four()
    together = tokens_of(network, *rows)
    assert together.real.any(dim=1).tolist() == [True, True, False, True, True]
    assert not together.values[2].any()
    for index, row in enumerate(rows):
        if row is not None:
            alone = tokens_of(network, row)
            torch.testing.assert_close(together.values[index : index + 1], alone.values, **CLOSE)
            assert together.real[index].equal(alone.real[0])
    assert together.height[-1].isnan() and together.values.shape[1] == SMALL["strips"] + 1


@pytest.mark.parametrize("mixed", [False, True])
def test_frames_past_the_length_change_nothing(mixed: bool) -> None:
    network, rows = encoder(), four()
    batch = Mesh().collate(rows if mixed else [rows[0], rows[3]])
    frames = batch.frames.clone()
    for row, length in enumerate(batch.lengths):
        frames[row, int(length) :] = torch.nan
    longer = torch.cat([frames, torch.full_like(frames, torch.inf)], dim=1)
    t_s = torch.cat([batch.t_s, batch.t_s], dim=1)
    with torch.inference_mode():
        wanted = network(batch).values
        assert torch.equal(network(Batch(frames, batch.lengths, batch.t_s)).values, wanted)
        assert torch.equal(network(Batch(longer, batch.lengths, t_s)).values, wanted)


def test_silhouettes_are_a_set_and_fitted_bodies_are_not() -> None:
    network = encoder()
    order = np.array([4, 2, 0, 3, 1])
    pictures, poses = sample_of(walk(silhouette=outlines(5))), sample_of(walk(smpl=bodies()))
    one, other = tokens_of(network, pictures), tokens_of(network, pictures.take(order))
    torch.testing.assert_close(one.values, other.values, **CLOSE)
    backwards = poses.take(np.arange(len(poses))[::-1].astype(np.int64))
    assert not torch.allclose(tokens_of(network, poses).values, tokens_of(network, backwards).values)


@pytest.mark.parametrize("source", ["either", "silhouette", "smpl"])
def test_a_norm_is_absorbed(source: str) -> None:
    network = encoder(source)
    rows = [row for row in four() if row is not None and (source == "either" or row.used == (source,))]
    norm = torch.nn.BatchNorm1d((SMALL["strips"] + 1) * 16).eval()
    for tensor in (norm.running_mean, norm.running_var, norm.weight, norm.bias):
        assert tensor is not None
        torch.nn.init.uniform_(tensor, 0.5, 2.0)
    with torch.no_grad():
        wanted = norm(tokens_of(network, *rows).values.flatten(1).clone())
    network.absorb(norm)
    torch.testing.assert_close(tokens_of(network, *rows).values.flatten(1), wanted, **CLOSE)
    with pytest.raises(ValueError, match="running statistics"):
        network.absorb(torch.nn.BatchNorm1d(4, track_running_stats=False))


def test_largest_and_mean_over_time() -> None:
    values = torch.randn(7, 2, 3)
    owner = torch.tensor([0, 0, 0, 2, 2, 2, 2])
    out = over_time(values, owner, 3)
    for walk_, rows in ((0, slice(0, 3)), (2, slice(3, 7))):
        wanted = torch.cat([values[rows].amax(dim=0), values[rows].mean(dim=0)], dim=1)
        torch.testing.assert_close(out[walk_], wanted)
    assert not out[1].any()
