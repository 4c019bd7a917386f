"""The depth modality: what is invariant, what is masked, and how its two streams stay registered."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from figure import H, W, changed, figure, parts, prepared, walk

from gait3dlib.errors import ConfigError, InputError
from gait3dlib.modalities import Sample
from gait3dlib.modalities._depth_frames import REACH_M, onto, pack, relief, unpack
from gait3dlib.modalities.depth import Depth
from gait3dlib.modalities.silhouette import Silhouette
from gait3dlib.types import GaitSequence, Stream

RNG = np.random.default_rng(4)


@pytest.fixture(scope="module", params=["branches", "paths"])
def encoder(request: pytest.FixtureRequest) -> torch.nn.Module:
    torch.manual_seed(0)
    return Depth(encoder=request.param).encoder(16).eval()


def apart(a: torch.Tensor, b: torch.Tensor) -> float:
    """The distance of two embeddings over their length."""
    return float((a - b).norm() / b.norm())


def embedding(encoder: torch.nn.Module, seq: GaitSequence) -> torch.Tensor:
    with torch.inference_mode():
        return encoder(Depth().collate([prepared(seq)])).values  # type: ignore[no-any-return]


# ---- what depth means -----------------------------------------------------------------------------


@pytest.mark.parametrize(("a", "b"), [(1.0, 4.0), (0.02, 0.5), (250.0, -12.0), (3.0, -9.0)])
def test_an_estimators_scale_and_shift_change_no_embedding(
    encoder: torch.nn.Module, a: float, b: float
) -> None:
    seq = walk("1")
    z = seq.streams["depth"].data.astype(np.float64)
    other = changed(seq, data=np.where(z > 0, a * z + b, 0).astype(np.float32))
    wanted = embedding(encoder, seq)
    torch.testing.assert_close(embedding(encoder, other), wanted, rtol=1e-4, atol=1e-5)
    per_frame = a * (1 + np.arange(len(z)))[:, None, None]
    drifting = changed(seq, data=np.where(z > 0, per_frame * z + b, 0).astype(np.float32))
    torch.testing.assert_close(embedding(encoder, drifting), wanted, rtol=1e-4, atol=1e-5)
    turned = changed(seq, data=np.where(z > 0, -a * z + b, 0).astype(np.float32))
    assert apart(embedding(encoder, turned), wanted) > 0.01, "nearer is not farther"


def test_a_sensors_offset_changes_no_bit_and_its_scale_does(encoder: torch.nn.Module) -> None:
    seq = walk("mm")
    z = seq.streams["depth"].data
    farther = changed(seq, data=np.where(z > 0, z + 1500, 0).astype(np.uint16))
    np.testing.assert_array_equal(prepared(farther).frames, prepared(seq).frames)
    each = changed(seq, data=np.where(z > 0, z + 100 * np.arange(len(z))[:, None, None], 0).astype(np.uint16))
    np.testing.assert_array_equal(prepared(each).frames, prepared(seq).frames)
    thicker = changed(seq, data=np.where(z > 0, 3000 + 1.5 * (z.astype(float) - 3000), 0).astype(np.uint16))
    assert apart(embedding(encoder, thicker), embedding(encoder, seq)) > 0.01


def test_millimetres_and_metres_are_one(encoder: torch.nn.Module) -> None:
    seq = walk("mm")
    metres = changed(seq, data=(seq.streams["depth"].data * 1e-3).astype(np.float32), units="m")
    torch.testing.assert_close(embedding(encoder, metres), embedding(encoder, seq), rtol=1e-4, atol=1e-5)
    shifted = changed(
        metres,
        data=np.where(metres.streams["depth"].data > 0, metres.streams["depth"].data + np.float32(2.37), 0),
    )
    torch.testing.assert_close(embedding(encoder, shifted), embedding(encoder, seq), rtol=1e-3, atol=1e-4)


def test_relief_is_metres_from_the_median() -> None:
    body = figure()
    z = np.where(body, 4.0, 0.0)
    z[30:40, 28:36] = 3.9
    z[60:62, 20:24] = 8.0  # far behind: the wall that a leg's pixel was mixed with
    values, known = relief(body, z, "m")  # type: ignore[misc]
    np.testing.assert_allclose(values[30:40, 28:36], -0.1 / REACH_M)
    assert not known[60:62, 20:24].any()
    assert values[known].max() == 0.0
    assert relief(body, np.zeros_like(z), "m") is None
    flat = relief(body, np.where(body, 4.0, 0.0), "1")
    assert flat is not None
    assert not flat[0].any()


def test_holes_are_masked_and_not_zero_metres() -> None:
    seq = walk("mm")
    z = seq.streams["depth"].data.copy()
    whole = prepared(seq)
    z[:, 36:44, 26:38] = 0
    torn = prepared(changed(seq, data=z))
    (_, before, known), (_, after, rest) = parts(whole), parts(torn)
    gone = (known > 0) & (rest == 0)
    assert gone.any(axis=(1, 2)).all()
    assert (after[gone] == 0).all()
    # the rest of the body keeps its relief: the median moves by as little as its pixels say
    both = (known > 0) & (rest > 0)
    assert np.abs(after - before)[both].max() * REACH_M < 0.02
    np.testing.assert_array_equal(whole.frames[:, 0], torn.frames[:, 0])
    nothing = changed(seq, data=np.zeros_like(z))
    assert Depth().sample(nothing) is None
    one_frame = z.copy()
    one_frame[2] = 0
    assert len(prepared(changed(seq, data=one_frame))) == len(whole) - 1


def test_known_nowhere_is_not_relief_nought(encoder: torch.nn.Module) -> None:
    sample = prepared(walk())
    frames = sample.frames.copy()
    silhouette, _, known = unpack(torch.from_numpy(frames), torch.float32)
    flat = torch.cat([(255 * silhouette).byte(), pack(torch.zeros_like(known), known > 0)], dim=1)
    gone = torch.cat([(255 * silhouette).byte(), pack(torch.zeros_like(known), known > 2)], dim=1)
    batches = [Depth().collate([Sample(x.numpy(), sample.t_s, sample.used)]) for x in (flat, gone)]
    with torch.inference_mode():
        a, b = (encoder(batch).values for batch in batches)
    assert apart(a, b) > 0.01


def test_two_bytes_keep_relief() -> None:
    values = torch.linspace(-1, 1, 4001, dtype=torch.float64).view(1, 1, -1)
    known = torch.rand(values.shape) < 0.8
    frames = torch.cat([torch.zeros_like(values, dtype=torch.uint8), pack(values, known)])
    _, back, there = unpack(frames[None], torch.float64)
    assert torch.equal(there[0] > 0, known)
    assert (back[0] - values)[known].abs().max() <= 0.5 / 32767
    assert (back[0][~known] == 0).all()


# ---- registration ---------------------------------------------------------------------------------


def cropped(image: np.ndarray, box: tuple[int, int, int, int], step: int) -> np.ndarray:  # type: ignore[type-arg]
    x, y, w, h = box
    return image[..., y : y + h : step, x : x + w : step]


def test_crops_of_other_size_and_place_are_laid_over_each_other() -> None:
    """One scene; silhouette and depth cut with other boxes, and depth at half the pixels."""
    frames, seq = 4, walk(frames=4)
    scene_mask, scene_depth = np.zeros((frames, 200, 160), np.uint8), np.zeros((frames, 200, 160), np.uint16)
    scene_mask[:, 40:136, 30:94] = seq.streams["silhouette"].data
    scene_depth[:, 40:136, 30:94] = seq.streams["depth"].data
    boxes = [(20, 30, 90, 120), (10, 22, 120, 140)]
    t_ns = seq.streams["silhouette"].t_ns

    def crops(shift: int) -> GaitSequence:
        mask, depth = cropped(scene_mask, boxes[0], 1), cropped(scene_depth, boxes[1], 2)
        told = np.tile(np.array(boxes, np.float32)[:, None], (1, frames, 1))
        told[1, :, 0] += shift
        return GaitSequence(
            {
                "silhouette": Stream(mask, t_ns, boxes=told[0]),
                "depth": Stream(depth, t_ns, "mm", boxes=told[1]),
            }
        )

    both_alike = {
        "silhouette": Stream(cropped(scene_mask, boxes[0], 1), t_ns),
        "depth": Stream(cropped(scene_depth, boxes[0], 1), t_ns, "mm"),
    }
    same = prepared(GaitSequence(both_alike))
    made = prepared(crops(0))
    np.testing.assert_array_equal(made.frames[:, 0], same.frames[:, 0])
    (_, want, known), (_, have, there) = parts(same), parts(made)
    both = (known > 0) & (there > 0)
    assert both.sum() > 0.95 * (known > 0).sum()
    assert np.abs(have - want)[both].mean() * REACH_M < 0.006
    # a box that is told wrongly by 12 pixels moves the depth off the body, and only the depth
    wrong = prepared(crops(12))
    np.testing.assert_array_equal(wrong.frames[:, 0], same.frames[:, 0])
    assert (parts(wrong)[2] > 0).sum() < 0.9 * (known > 0).sum()


def test_a_planted_shift_is_undone_to_the_pixel() -> None:
    image = RNG.integers(1, 5000, (1, 40, 30)).astype(np.uint16)
    t_ns = np.zeros(1, np.int64)
    source = Stream(image, t_ns, "mm", boxes=np.array([[100, 50, 60, 80]], np.float32))
    target = Stream(np.zeros((1, 50, 40), np.uint8), t_ns, boxes=np.array([[110, 40, 80, 100]], np.float32))
    out = onto(source, 0, target, 0)
    assert out is not None
    want = np.zeros((50, 40), np.uint16)
    want[5:45, :25] = image[0, :, 5:]  # two image pixels to a pixel of either: 10 to the right, 10 up
    np.testing.assert_array_equal(out, want)


def test_streams_that_cannot_be_registered_are_refused() -> None:
    seq = walk()
    smaller = changed(seq, data=seq.streams["depth"].data[:, ::2, ::2])
    with pytest.raises(InputError, match="give both their boxes"):
        Depth().sample(smaller)
    boxes = np.tile(np.array([0, 0, W, H], np.float32), (5, 1))
    with pytest.raises(InputError, match="give both their boxes"):
        Depth().sample(changed(seq, boxes=boxes))
    nowhere = np.full((5, 4), np.nan, np.float32)
    assert Depth().sample(changed(changed(seq, boxes=nowhere), "silhouette", boxes=boxes)) is None


def test_silhouettes_are_those_of_the_silhouette_modality() -> None:
    seq = walk()
    other = Silhouette().sample(seq)
    assert other is not None
    np.testing.assert_array_equal(prepared(seq).frames[:, :1], other.frames)


def test_depth_is_paired_by_time() -> None:
    seq = walk(frames=6)
    late = changed(seq, t_ns=seq.streams["depth"].t_ns + 10_000_000)
    np.testing.assert_array_equal(prepared(late).frames, prepared(seq).frames)
    assert Depth().sample(changed(seq, t_ns=seq.streams["depth"].t_ns + 10**9)) is None
    some = seq.streams["depth"].slice(2, 5)
    sample = prepared(GaitSequence({**seq.streams, "depth": some}))
    np.testing.assert_array_equal(sample.frames, prepared(seq).frames[2:5])
    np.testing.assert_allclose(sample.t_s, np.arange(2, 5) / 30, atol=1e-5)


# ---- silhouettes from depth ------------------------------------------------------------------------


def test_a_walk_with_depth_alone_gets_its_outline_from_it() -> None:
    seq = walk()
    z = seq.streams["depth"].data.copy()
    z[RNG.random(z.shape) < 0.03] = 0  # pixels that the sensor lost
    z[:, 3:5, 3:5] = 3000  # a stray
    alone = changed(seq, data=z).without("silhouette")
    sample, whole = prepared(alone), prepared(seq)
    assert sample.used == ("depth",)
    assert whole.used == ("silhouette", "depth")
    assert np.mean((sample.frames[:, 0] > 127) != (whole.frames[:, 0] > 127)) < 0.02
    assert Depth().sample(seq.without("depth")) is None
    dense = changed(seq, data=np.full_like(z, 3000)).without("silhouette")
    assert Depth().sample(dense) is None, "nobody was cut out"
    assert Depth().sample(changed(walk("1")).without("silhouette")) is None


# ---- the network -------------------------------------------------------------------------------------


def test_sizes_are_keywords_and_the_default_is_small() -> None:
    def count(modality: Depth) -> int:
        return sum(p.numel() for p in modality.encoder(128).parameters())

    assert count(Depth()) <= 1_000_000
    published = {"widths": [64, 128, 256, 512], "depths": [1, 4, 4, 1], "stem": 1}
    assert count(Depth(network=published)) > 20_000_000
    tiny = Depth(network={"widths": [4, 4, 8, 8], "stem": 1}, strips=4)
    assert tiny.encoder(8)(tiny.collate([prepared(walk())])).values.shape == (1, 4, 8)
    with pytest.raises(ConfigError, match="four levels"):
        Depth(network={"widths": [4, 4]}).encoder(8)
    with pytest.raises(ConfigError, match="only the first level"):
        Depth(network={"depths": [1, 0, 1, 1]}).encoder(8)
    with pytest.raises(ConfigError, match=r"network\.width: unknown key"):
        Depth(network={"width": 4})
    with pytest.raises(ConfigError, match=r"network: of branches"):
        Depth(encoder="paths", network={"stem": 1})
    with pytest.raises(ConfigError, match=r'width: of "paths"'):
        Depth(width=64)


def test_swapping_the_streams_is_swapping_the_parameters() -> None:
    from gait3dlib.modalities._depth_network import CrossLevel

    torch.manual_seed(1)
    fuse = CrossLevel(4, 8, 2).eval()
    here, below = torch.randn(2, 3, 8, 8, 6), torch.randn(2, 3, 4, 16, 12)
    wanted = fuse(list(here), list(below))
    state = fuse.state_dict()
    names = [name for name in state if name.startswith("down.0")]
    for name in names:
        other = name.replace("down.0", "down.1")
        state[name], state[other] = state[other].clone(), state[name].clone()
    order = torch.arange(32).view(4, 8)[[1, 0, 3, 2]].flatten()  # candidates: a, b, a below, b below
    state["scores.0.weight"] = state["scores.0.weight"][:, order]
    for name in ("scores.6.weight", "scores.6.bias"):
        state[name] = state[name][order]
    fuse.load_state_dict(state)
    torch.testing.assert_close(fuse([here[1], here[0]], [below[1], below[0]]), wanted)
