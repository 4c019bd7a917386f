"""The benchmark of depth: who is searched among whom, its baselines, and its part of the page."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from gait3dlib.data.recordings import WalkFolder
from gait3dlib.recording import open_recording, save
from gait3dlib.types import GaitSequence, Meta, Stream

HERE = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def scripts() -> dict[str, ModuleType]:
    sys.path.insert(0, str(HERE))
    try:
        return {name: __import__(name) for name in ("depth", "_depth_tables")}
    finally:
        sys.path.remove(str(HERE))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> WalkFolder:
    """Three people, a gallery and two probes at each distance; nothing to be seen in them."""
    home = tmp_path_factory.mktemp("figures")
    blank = {"silhouette": Stream(np.zeros((1, 8, 8), np.uint8), np.zeros(1, np.int64))}
    sessions = [f"{side}-{at}m" for at in (2, 4, 6) for side in ("gallery", "probe", "probe")]
    for who in ("a", "b", "c"):
        save(home / f"{who}.h5", *(GaitSequence(blank, who, Meta(session=s)) for s in sessions))
    return WalkFolder(home)


def test_probes_are_searched_in_the_gallery_of_their_own_distance(
    scripts: dict[str, ModuleType], folder: WalkFolder
) -> None:
    depth = scripts["depth"]
    people = np.array([walk.subject for walk in folder.walks])
    sessions = np.array([walk.session for walk in folder.walks])
    at_4 = np.char.endswith(sessions, "4m")
    alike = (people[:, None] == people).astype(float)
    # at 4 m c is taken for a; from one distance to another nobody would be right
    alike[np.ix_((people == "c") & at_4, (people == "a") & at_4)] = 2.0
    far = np.array([s[-2:] for s in sessions])
    alike[far[:, None] != far] *= -1
    rows = depth.search(alike, folder, "hand", 0)
    assert [(row["distance_m"], row["people"], row["probes"]) for row in rows] == [
        (2.0, 3, 6), (4.0, 3, 6), (6.0, 3, 6)
    ]  # fmt: skip
    assert [row["rank1"]["value"] for row in rows] == pytest.approx([1.0, 2 / 3, 1.0])
    assert all(row["chance"] == pytest.approx(1 / 3) for row in rows)


def test_walks_are_made_once_and_are_the_same_again(scripts: dict[str, ModuleType], tmp_path: Path) -> None:
    depth = scripts["depth"]
    for home in ("one", "two"):
        (tmp_path / home).mkdir()
        depth.make(tmp_path / home, 7, 2, 3)
    with open_recording(tmp_path / "one" / "figure7-0003.h5") as recording:
        walks = list(recording)
    with open_recording(tmp_path / "two" / "figure7-0003.h5") as recording:
        again = list(recording)
    assert [walk.meta.session for walk in walks] == ["train-0", "train-1"]
    assert {walk.subject for walk in walks} == {"figure7-0003"}
    for a, b in zip(walks, again, strict=True):
        assert set(a.streams) == {"silhouette", "depth"}
        for name in a.streams:
            np.testing.assert_array_equal(a.streams[name].data, b.streams[name].data)
    kept = (tmp_path / "one" / "figure7-0003.h5").stat().st_mtime_ns
    depth.make(tmp_path / "one", 7, 2, 3)
    assert (tmp_path / "one" / "figure7-0003.h5").stat().st_mtime_ns == kept


def test_the_page_says_what_was_measured_and_what_was_not(scripts: dict[str, ModuleType]) -> None:
    row = {"name": "depth", "distance_m": 4.0, "people": 40, "probes": 80, "chance": 0.025}
    rank1 = {"value": 0.9125, "low": 0.85, "high": 0.97, "note": ""}
    planted = {"train_people": 80, "walks": 5, "steps": 400, "rows": [{**row, "rank1": rank1}]}
    text = scripts["_depth_tables"].depth({"seed": 0, "planted": planted, "frozen": None})
    assert "| 4 m | 40 | 80 | 2.5 | 91.2 [85.0, 97.0] |" in text
    assert text.count("not measured") == 1
    cell = {"gallery": "one view", "row": "clothes", "name": "silhouette", "people": 200, "probes": 600}
    frozen = {"identification": [{**cell, "chance": 0.005, "rank1": rank1, "fnir": rank1}]}
    text = scripts["_depth_tables"].depth(
        {"seed": 0, "planted": None, "frozen": json.loads(json.dumps(frozen))}
    )
    assert "| silhouette | 200 | 600 | 0.5 | 91.2 [85.0, 97.0] | 91.2 [85.0, 97.0] |" in text


def test_the_frozen_world_needs_weights_that_know_depth(
    scripts: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["depth.py", "--data", "nowhere"])
    with pytest.raises(SystemExit, match="2"):
        scripts["depth"].main()
    assert "--data needs --weights" in capsys.readouterr().err
