"""Published networks as encoders of a modality, and the modality of two streams."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'model'")

import tiny  # noqa: E402
from torch import nn  # noqa: E402

from gait3dlib import config, registry  # noqa: E402
from gait3dlib.errors import ConfigError, WeightsError  # noqa: E402
from gait3dlib.fusion import weights  # noqa: E402
from gait3dlib.modalities import Batch  # noqa: E402
from gait3dlib.modalities._image_networks import NetworkEncoder  # noqa: E402
from gait3dlib.modalities.silhouette import Silhouette  # noqa: E402
from gait3dlib.modalities.skeleton_map import SkeletonMap  # noqa: E402
from gait3dlib.modalities.skeleton_silhouette import SkeletonSilhouette  # noqa: E402
from gait3dlib.types import GaitSequence  # noqa: E402

THIN = {"widths": [4, 6, 8, 10], "depths": [1, 1, 1, 1]}
PLAIN = {
    "gaitset": {"widths": [4, 6, 8]},
    "gaitpart": {"widths": [[4, 4], [6, 6], [8, 8]], "squeezed": 2},
    "gaitgl": {"stem": [3], "stages": [[4], [5], [6]]},
}
CHOICES = [
    *[("silhouette", name) for name in ("gaitbase", "deepgaitv2", *PLAIN)],
    *[("skeleton_map", name) for name in ("skeletongait", "gaitbase", *PLAIN)],
    ("skeleton_silhouette", ""),
]
PARTS = {"gaitset": 62, "gaitgl": 64}


def settings_of(encoder: str) -> dict[str, Any]:
    chosen = {"encoder": encoder} if encoder else {}
    return {**chosen, "network": PLAIN.get(encoder, THIN)}


def walks(channels: int, frames: int = 4, seed: int = 0) -> Batch:
    """Three walks, the second without the modality."""
    images = np.random.default_rng(seed).integers(0, 256, (3, frames, channels, 64, 44), np.uint8)
    return Batch(torch.from_numpy(images), torch.tensor([frames, 0, 2]), torch.zeros(3, frames))


@pytest.mark.parametrize(("modality", "encoder"), CHOICES)
def test_a_network_may_be_the_encoder(modality: str, encoder: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    made = config.build(registry.get("modality", modality), settings_of(encoder))
    config.write(tmp_path / "settings.yaml", vars(made))
    assert config.read(tmp_path / "settings.yaml") == vars(made)
    assert vars(tiny.sent(made)) == vars(made)
    assert made.ordered is (encoder not in ("gaitbase", "gaitset"))
    network: NetworkEncoder = made.encoder(7).eval()
    batch = walks(network.network.channels)
    tokens = network(batch)
    assert tokens.values.shape == (3, PARTS.get(encoder, 16), 7)
    assert tokens.real.all(dim=1).tolist() == [True, False, True]
    assert not tokens.values[1].any()
    short = Batch(batch.frames[2:, :2], batch.lengths[2:], batch.t_s[2:, :2])
    assert torch.equal(network(short).values[0], tokens.values[2]), "what lies past a length"
    lacking = Batch(batch.frames[1:2], batch.lengths[1:2], batch.t_s[1:2])
    assert not network(lacking).real.any()
    network.train()(batch).values.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_tokens_know_how_high_they_lie() -> None:
    def heights(encoder: str, network: dict[str, Any]) -> list[float]:
        made = Silhouette(encoder=encoder, network=network)  # type: ignore[arg-type]
        return made.encoder(4).height.tolist()

    assert heights("gaitbase", {**THIN, "bins": [4]}) == [0.875, 0.625, 0.375, 0.125]
    once = [0.75, 0.25, 0.5]
    assert heights("gaitset", {"widths": [4, 4, 4], "bins": [2, 1]}) == once * 2
    rows = heights("gaitgl", PLAIN["gaitgl"])
    assert rows[:32] == rows[32:] == [1 - (row + 0.5) / 32 for row in range(32)]


def test_a_norm_can_become_part_of_the_encoder() -> None:
    torch.manual_seed(0)
    encoder = Silhouette(encoder="gaitbase", network=THIN).encoder(5).eval()
    norm = nn.BatchNorm1d(16 * 5).eval()
    for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        nn.init.uniform_(tensor, 0.5, 1.5)
    batch = walks(1)
    for _ in range(2):  # and again, onto what it then is
        before = encoder(batch).values[0]
        encoder.absorb(norm)
        after = encoder(batch).values[0]
        torch.testing.assert_close(after.flatten(), norm(before.reshape(1, -1))[0], atol=1e-5, rtol=1e-5)


def test_settings_of_encoders_that_were_not_chosen_are_refused() -> None:
    with pytest.raises(ConfigError, match="width: of the strip encoder; give those of 'gaitbase' in network"):
        Silhouette(encoder="gaitbase", width=8)
    with pytest.raises(ConfigError, match="network: 'strips' has width and strips"):
        SkeletonMap(network=THIN)
    with pytest.raises(ConfigError, match=r"network.widht: unknown key; did you mean 'widths'"):
        Silhouette(encoder="gaitbase", network={"widht": [1, 2, 3, 4]})
    with pytest.raises(ConfigError, match=r"network.embedding: decided by the modality"):
        SkeletonSilhouette(network={"embedding": 9})
    with pytest.raises(ConfigError, match=r"encoder: .*'gaitgl'"):
        config.build(Silhouette, {"encoder": "skeletongait"})


def test_weights_from_before_encoders_could_be_chosen_are_read(tmp_path: Path) -> None:
    encoder = Silhouette(width=8).encoder(16)
    meta = {"kind": "modality", "name": "silhouette", "dim": 16, "config": {"width": 8, "strips": 16}}
    weights.write(tmp_path / "old.safetensors", encoder.state_dict(), meta)
    settings = weights.resolved("silhouette", {"width": 8})
    assert settings != meta["config"]
    weights.load_encoder(Silhouette(width=8).encoder(16), tmp_path / "old.safetensors", settings)
    with pytest.raises(WeightsError, match=r"made with .*'width': 8"):
        weights.load_encoder(encoder, tmp_path / "old.safetensors", {**settings, "width": 9})


def test_a_model_of_networks_is_saved_and_loaded(tmp_path: Path) -> None:
    settings = {
        "silhouette": settings_of("deepgaitv2"),
        "skeleton_map": settings_of("skeletongait"),
        "skeleton_silhouette": settings_of(""),
    }
    fusion = {**tiny.FUSION, "modalities": sorted(settings)}
    model = weights.untrained(settings, fusion)
    given = {name: weights.resolved(name, chosen) for name, chosen in settings.items()}
    weights.save(tmp_path, model, settings=given, fusion=fusion, info={"trained": False})
    again, _ = weights.load(tmp_path, list(settings))
    assert weights.fingerprint(again) == weights.fingerprint(model)
    batch = {"silhouette": walks(1), "skeleton_map": walks(2), "skeleton_silhouette": walks(3)}
    batch = {name: Batch(held.frames, torch.tensor([4, 3, 2]), held.t_s) for name, held in batch.items()}
    assert torch.equal(again(batch).embedding, model(batch).embedding)


# ---- two streams ----------------------------------------------------------------------------------


def test_skeleton_and_silhouette_are_of_the_same_instants(strolls: list[GaitSequence]) -> None:
    seq = strolls[0]
    both = SkeletonSilhouette().sample(seq)
    outline, maps = Silhouette().sample(seq), SkeletonMap().sample(seq)
    assert both is not None
    assert outline is not None
    assert maps is not None
    assert both.used == ("keypoints", "silhouette")
    assert len(both) > 5
    for frame, t in zip(both.frames, both.t_s, strict=True):
        np.testing.assert_array_equal(frame[:2], maps.frames[np.argmin(np.abs(maps.t_s - t))])
        np.testing.assert_array_equal(frame[2:], outline.frames[np.argmin(np.abs(outline.t_s - t))])


def test_instants_that_one_stream_lacks_are_left_out(strolls: list[GaitSequence]) -> None:
    seq = strolls[0]
    whole = SkeletonSilhouette().sample(seq)
    assert whole is not None
    silhouette, keypoints = seq.streams["silhouette"], seq.streams["keypoints"]
    data = silhouette.data.copy()
    data[2] = 0
    holed = dataclasses.replace(silhouette, data=data)
    part = SkeletonSilhouette().sample(GaitSequence({"silhouette": holed, "keypoints": keypoints}))
    assert part is not None
    assert len(part) == len(whole) - 1
    late = dataclasses.replace(keypoints, t_ns=keypoints.t_ns + 3_600_000_000_000)
    apart = GaitSequence({"silhouette": silhouette, "keypoints": late})
    assert SkeletonSilhouette().sample(apart) is None
    for name in ("silhouette", "keypoints"):
        assert SkeletonSilhouette().sample(seq.without(name)) is None
