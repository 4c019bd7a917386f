"""Data sets with holes: what is missing, damaged, hostile or changed is told, and the rest is used."""

from __future__ import annotations

import json
import os
import pickle  # noqa: TID251 - what the data sets are made of
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_data_sets import Body, put, split
from typer.testing import CliRunner

from gait3dlib.cli import app
from gait3dlib.data.opengait_set import Findings, OpenGaitSet
from gait3dlib.data.partitions import Partition, read_partition
from gait3dlib.data.sets import open_data
from gait3dlib.errors import ConfigError, InputError

SILHOUETTE = {"width": 8, "strips": 4}


class Runs:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.folder),))


def opened(root: Path, name: str = "opengait", **settings: Any) -> OpenGaitSet:
    found = open_data(name, root=root, **settings)
    assert isinstance(found, OpenGaitSet)
    return found


def told(found: Findings, root: Path) -> dict[str, list[str]]:
    """Reasons by path."""
    reasons: dict[str, list[str]] = {}
    for hole in found.holes:
        reasons.setdefault(hole.path.relative_to(root).as_posix(), []).append(hole.reason)
    return reasons


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two people, two views, silhouettes and SMPL parameters."""
    for person in (0, 1):
        for view in (0, 1):
            body = Body(person, 0, view)
            place = tmp_path / "set" / f"p{person}" / "nm-01" / f"{90 * view:03}"
            put(place / "sils.pkl", body.silhouette())
            put(place / "smpl.pkl", body.smpl())
    return tmp_path / "set"


# ---- holes ------------------------------------------------------------------------------------------


def test_holes_and_disagreements_are_told_at_once(root: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    (root / "p0/nm-01/000/smpl.pkl").unlink()
    put(root / "p0/nm-01/090/smpl.pkl", Body(0, 0, 1, 7).smpl())
    whole = (root / "p1/nm-01/000/sils.pkl").read_bytes()
    (root / "p1/nm-01/000/sils.pkl").write_bytes(whole[:-300])
    put(root / "p1/nm-01/090/evil.pkl", [Body(1, 0, 1).silhouette(), Runs(ran)])
    put(root / "p1/nm-01/090/zzz.pkl", np.ones((3, 3, 8, 8), np.uint8))
    (root / "p1/bg-01/000").mkdir(parents=True)
    (root / "p1/bg-02").mkdir()
    (root / "p2").mkdir()
    found = opened(root)
    assert not ran.exists(), "nothing in a file is run"
    reasons = told(found.findings, root)
    assert reasons.pop("p0/nm-01/000") == ["has no smpl"]
    assert reasons.pop("p0/nm-01/090") == [
        "its streams have different lengths: silhouette 8 frames, smpl 7 frames"
    ]
    assert "truncated" in reasons.pop("p1/nm-01/000/sils.pkl")[0]
    assert reasons.pop("p1/nm-01/000") == ["has no silhouette"]
    assert "mkdir" in reasons.pop("p1/nm-01/090/evil.pkl")[0]
    assert reasons.pop("p1/bg-01/000") == ["has no .pkl file"]
    assert "no folder inside" in reasons.pop("p1/bg-02")[0]
    assert "no folder inside" in reasons.pop("p2")[0]
    assert reasons == {}
    assert found.findings.left_out == {"coloured pictures (depth pictures are drawn from points)": 1}
    assert (len(found), found.findings.streams) == (4, {"silhouette": 3, "smpl": 3})
    samples = found.prepare("silhouette", SILHOUETTE, jobs=1)
    assert [s is None for s in samples] == [False, False, True, False], "the rest is used"


def test_a_camera_and_a_lidar_of_different_rates_may_differ_by_a_little(tmp_path: Path) -> None:
    root = tmp_path / "sustech"
    for person, frames in enumerate((24, 25, 40)):
        place = root / f"{person:04}" / "00-nm" / "000"
        put(place / "00-000-LiDAR-PCDs.pkl", Body(person, 0, 0).points())
        put(place / "06-000-Camera-Sils_aligned.pkl", Body(person, 0, 0, frames).silhouette())
    reasons = told(opened(root, "sustech1k").findings, root)
    assert list(reasons) == ["0002/00-nm/000"], "8 clouds last 0.8 s, 40 silhouettes 1.3 s"
    assert reasons["0002/00-nm/000"] == [
        "its streams have different lengths: points 8 frames, silhouette 40 frames"
    ]


def test_names_and_contents_must_agree(tmp_path: Path) -> None:
    root = tmp_path / "sustech"
    put(root / "0000/00-nm/000/06-000-Camera-Sils_aligned.pkl", Body(0, 0, 0).pose())
    put(root / "0000/00-nm/045/06-045-Camera-Sils_aligned.pkl", Body(0, 0, 0).silhouette())
    assert told(opened(root, "sustech1k").findings, root) == {
        "0000/00-nm/000/06-000-Camera-Sils_aligned.pkl": ["holds keypoints, but its name says silhouette"]
    }


def test_a_folder_in_which_nothing_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"holds no walk .* SUBJECT/TYPE/VIEW"):
        open_data("casia_b", root=tmp_path / "empty")
    put(tmp_path / "evil/001/nm-01/000/000.pkl", Runs(tmp_path / "ran"))
    with pytest.raises(InputError, match=r"first problem: .*000.pkl: .*mkdir"):
        open_data("casia_b", root=tmp_path / "evil")
    assert not (tmp_path / "ran").exists()


# ---- the index --------------------------------------------------------------------------------------


def test_the_index_is_made_once_and_goes_on_where_it_stopped(root: Path) -> None:
    reports: list[tuple[int, int]] = []
    first = opened(root, progress=lambda *report: reports.append(report))
    assert (first.findings.read, reports) == (2, [(1, 2), (2, 2)])
    assert opened(root).findings.read == 0
    index = first.findings.index
    assert index.parent == root / ".prepared"
    lines = index.read_text().splitlines()
    index.write_text("\n".join(lines[:-1]) + "\n" + lines[-1][:40])  # the power went off
    again = opened(root)
    assert again.findings.read == 1
    assert again.walks == first.walks
    index.write_text("no index\n")
    assert opened(root).findings.read == 2
    index.write_bytes(b"\xff\xfe" + os.urandom(100))
    assert opened(root).findings.read == 2


def test_what_has_changed_is_read_again(root: Path) -> None:
    samples = opened(root).prepare("silhouette", SILHOUETTE, jobs=1)
    put(root / "p1/nm-01/090/sils.pkl", Body(1, 0, 1, 5).silhouette())
    put(root / "p1/nm-01/090/smpl.pkl", Body(1, 0, 1, 5).smpl())
    found = opened(root)
    assert found.findings.read == 1
    after = found.prepare("silhouette", SILHOUETTE, jobs=1)
    assert [len(s) for s in samples if s] == [8, 8, 8, 8]
    assert [len(s) for s in after if s] == [8, 8, 8, 5]
    other_rate = opened(root, fps=50.0).prepare("silhouette", SILHOUETTE, jobs=1)[0]
    assert other_rate is not None
    np.testing.assert_allclose(np.diff(other_rate.t_s), 0.02, atol=1e-6)


def test_a_file_that_changes_under_way_is_no_silent_surprise(root: Path) -> None:
    found = opened(root)
    put(root / "p0/nm-01/000/sils.pkl", Body(0, 0, 0, 5).silhouette())
    with pytest.raises(InputError, match=r"p0/nm-01/000/sils.pkl was changed while .*5 frames"):
        found.prepare("silhouette", SILHOUETTE, jobs=1)


def test_a_folder_that_cannot_be_written_has_its_index_elsewhere(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    found = opened(root)
    assert found.findings.index.is_relative_to(tmp_path / "home" / "gait3dlib")
    assert not (root / ".prepared").exists()
    assert opened(root, cache=tmp_path / "mine").cache() == tmp_path / "mine"


# ---- partitions -------------------------------------------------------------------------------------


def test_a_partition_says_who_is_trained_on(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"partition: .* partition file of OpenGait; name it"):
        opened(root, split="train")
    split(root, ["p0"], ["p1", "p9"], PROBE_SET=["p1-nm-01-000"])
    found = opened(root, split="test")
    assert found.subjects == ["p1"]
    assert found.partition == Partition(
        frozenset({"p0"}), frozenset({"p1", "p9"}), frozenset({"p1-nm-01-000"})
    )
    assert told(found.findings, root) == {"p9": ["is in the partition, not here"]}
    (tmp_path / "mine.json").write_text(json.dumps({"TRAIN_SET": ["p1"], "TEST_SET": ["p0"]}))
    assert opened(root, split="train", partition=tmp_path / "mine.json").subjects == ["p1"]
    (root / "second.json").write_text(json.dumps({"TRAIN_SET": ["p1"], "TEST_SET": ["p0"]}))
    with pytest.raises(ConfigError, match=r"as the only \.json"):
        opened(root, split="train")
    (tmp_path / "mine.json").write_text(json.dumps({"TRAIN_SET": [], "TEST_SET": ["p0"]}))
    with pytest.raises(InputError, match="nobody of the train people"):
        opened(root, split="train", partition=tmp_path / "mine.json")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "no TRAIN_SET and TEST_SET"),
        ('{"TRAIN_SET": ["a"]}', "TEST_SET must be a list"),
        ('{"TRAIN_SET": ["a", 1], "TEST_SET": []}', "TRAIN_SET must be a list of names"),
        ('{"TRAIN_SET": ["a"], "TEST_SET": ["b", "a"]}', "'a' is in TRAIN_SET and in TEST_SET"),
        ('{"TRAIN_SET": ["a", "a"], "TEST_SET": []}', "holds 'a' twice"),
        ('{"TRAIN_SET": [], "TEST_SET": [], "PROBE_SET": {}}', "PROBE_SET must be a list"),
    ],
)
def test_partition_files_that_are_none(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        read_partition(path)


def test_partition_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_partition(tmp_path / "none.json")
    (tmp_path / "x.json").write_bytes(b"\xff")
    with pytest.raises(InputError, match="no JSON"):
        read_partition(tmp_path / "x.json")
    monkeypatch.setattr("gait3dlib.data.partitions.MAX_BYTES", 0)
    with pytest.raises(InputError, match="larger than"):
        read_partition(tmp_path / "x.json")


# ---- the verb ---------------------------------------------------------------------------------------


def test_the_verb_lists_holes(root: Path, tmp_path: Path) -> None:
    (root / "p0/nm-01/000/smpl.pkl").write_bytes(pickle.dumps(Runs(tmp_path / "ran")))
    words = ["index", "opengait", "--root", str(root)]
    result = CliRunner().invoke(app, [*words, "--json"])
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert (found["subjects"], found["walks"], found["read"]) == (2, 4, 2)
    assert found["streams"] == {"silhouette": 4, "smpl": 3}
    assert [Path(h["path"]).name for h in found["holes"]] == ["smpl.pkl", "000"]
    shown = CliRunner().invoke(app, words)
    assert "2 subjects, 4 walks" in shown.stdout
    assert "0 subjects were read anew; 2 holes" in shown.stdout
    assert "mkdir" in shown.stderr
    assert not (tmp_path / "ran").exists()
    for wrong in (["index", "recordings", "--root", str(root)], ["index", "casia", "--root", str(root)]):
        failed = CliRunner().invoke(app, wrong)
        assert failed.exit_code != 0
        assert failed.stderr.startswith("Error: ")
        assert len(failed.stderr.strip().splitlines()) == 1
