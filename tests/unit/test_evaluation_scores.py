"""Similarity of embeddings, and the plain baselines: against loops."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gait3dlib import evaluation as ev
from gait3dlib.errors import InputError
from gait3dlib.evaluation import scores

# ---- similarity -----------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [5, 10**6])
def test_similarity_equals_loops(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores, "_CHUNK_VALUES", chunk)
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(7, 3, 5)).astype(np.float32), rng.normal(size=(4, 3, 5)).astype(np.float32)
    cosine, distance = ev.similarity(a, b), ev.similarity(a, b, metric="euclidean")
    assert cosine.dtype == np.float32
    for i, j in np.ndindex(7, 4):
        parts = [(a[i, p].astype(float), b[j, p].astype(float)) for p in range(3)]
        cosines = [sum(x * y) / math.sqrt(sum(x * x) * sum(y * y)) for x, y in parts]
        assert cosine[i, j] == pytest.approx(sum(cosines) / 3, abs=1e-6)
        assert distance[i, j] == pytest.approx(-sum(math.dist(x, y) for x, y in parts) / 3, rel=1e-6)
    np.testing.assert_array_equal(ev.similarity(a[:, 0], b[:, 0]), ev.similarity(a[:, :1], b[:, :1]))


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_equal_embeddings_tie_wherever_they_stand(metric: str) -> None:
    rng = np.random.default_rng(1)
    one = rng.normal(size=(1, 16, 33)).astype(np.float32)
    gallery = rng.normal(size=(101, 16, 33)).astype(np.float32)
    gallery[[0, 17, 64, 100]] = one
    got = ev.similarity(np.concatenate([one, gallery[1:2]]), gallery, metric=metric)  # type: ignore[arg-type]
    assert len(set(got[0, [0, 17, 64, 100]].tolist())) == 1
    assert got[0, 0] == (1.0 if metric == "cosine" else 0.0)
    assert len(set(got[1, [0, 17, 64, 100]].tolist())) == 1


def test_a_part_of_length_zero_counts_nothing() -> None:
    a = np.array([[[1.0, 0.0], [0.0, 0.0]]])
    assert ev.similarity(a, a)[0, 0] == 0.5


def test_bad_embeddings() -> None:
    good = np.ones((2, 3, 4), dtype=np.float32)
    nan = good.copy()
    nan[1, 1, 1] = np.nan
    for probe, gallery, words in (
        (good, np.ones((2, 3, 5)), "differ from the gallery's"),
        (nan, good, "probe embeddings hold NaN"),
        (good, good.astype(np.int64), "gallery embeddings must be floats"),
        (np.ones(3), good, "probe embeddings must be floats"),
    ):
        with pytest.raises(InputError, match=words):
            ev.similarity(probe, gallery)
    with pytest.raises(InputError, match="metric"):
        ev.similarity(good, good, metric="manhattan")  # type: ignore[arg-type]


# ---- baseline -------------------------------------------------------------------------------------


def test_gait_energy_image() -> None:
    frames = np.zeros((4, 64, 44), dtype=np.uint8)
    frames[:, 10, 10] = 255
    frames[0, 20, 20] = 255
    image = ev.gait_energy_image(frames)
    assert (image.shape, image.dtype) == ((64, 44), np.float32)
    assert (image[10, 10], image[20, 20], image[0, 0]) == (1.0, 0.25, 0.0)
    np.testing.assert_array_equal(ev.gait_energy_image(frames > 0), image)
    np.testing.assert_allclose(ev.gait_energy_image(frames / 255.0), image, atol=1e-7)
    empty = np.zeros((3, 64, 44), dtype=np.uint8)
    np.testing.assert_array_equal(ev.gait_energy_image(np.concatenate([frames, empty])), image)
    np.testing.assert_array_equal(ev.gait_energy_image(frames[::-1]), image)
    for bad, words in (
        (empty, "nobody is seen"),
        (frames[0], r"shape \[T, H, W\]"),
        (frames.astype(np.int32), "uint8, bool or float"),
        (frames.astype(np.float32), "lie in 0 to 1"),
        (np.full((2, 4, 4), np.nan), "lie in 0 to 1"),
    ):
        with pytest.raises(InputError, match=words):
            ev.gait_energy_image(bad)


def test_energy_images_are_compared_by_distance() -> None:
    rng = np.random.default_rng(0)
    walks = [rng.random((int(n), 8, 6)) < 0.4 for n in (5, 9, 3)]
    got = ev.energy_image_scores(walks[:2], walks)
    for i, j in np.ndindex(2, 3):
        a, b = walks[i].mean(axis=0), walks[j].mean(axis=0)
        assert got[i, j] == pytest.approx(-math.sqrt(((a - b) ** 2).sum()), abs=1e-6)
    for bad in ([], [walks[0], walks[0][:, :4]]):
        with pytest.raises(InputError, match="energy images need"):
            ev.energy_image_scores(bad, walks)
