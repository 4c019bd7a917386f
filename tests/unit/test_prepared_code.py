"""Prepared samples belong to the code that made them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny

from gait3dlib import registry
from gait3dlib.data._code import code_digest
from gait3dlib.data.recordings import WalkFolder
from gait3dlib.modalities import silhouette
from gait3dlib.modalities.silhouette import Silhouette


def fresh_digest(modality: type) -> str:
    code_digest.cache_clear()
    return code_digest(modality)


def test_what_was_made_by_other_code_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = tiny.make_world(tmp_path, people=2, walks=1)
    before = WalkFolder(world).prepare("silhouette", jobs=1)[0]

    def darker(frames, *words):  # type: ignore[no-untyped-def]
        return frames // 2, np.arange(len(frames))

    monkeypatch.setattr(silhouette, "normalise_silhouettes", darker)
    code_digest.cache_clear()
    after = WalkFolder(world).prepare("silhouette", jobs=1)[0]
    monkeypatch.undo()
    code_digest.cache_clear()
    again = WalkFolder(world).prepare("silhouette", jobs=1)[0]
    assert before is not None
    assert after is not None
    assert again is not None
    assert int(after.frames.max()) == 127
    np.testing.assert_array_equal(again.frames, before.frames)


def test_constants_count_and_encoders_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    from gait3dlib.modalities import _silhouettes

    was = fresh_digest(Silhouette)
    monkeypatch.setattr(Silhouette, "encoder", None)
    assert fresh_digest(Silhouette) == was
    monkeypatch.setattr(_silhouettes, "CUT_COLUMNS", 9)
    assert fresh_digest(Silhouette) != was
    monkeypatch.undo()
    assert fresh_digest(Silhouette) == was


def test_another_process_finds_the_same_and_each_modality_its_own() -> None:
    names = registry.names("modality")
    here = [code_digest(registry.get("modality", name)) for name in names]
    assert len(set(here)) == len(names)
    code = (
        "from gait3dlib import registry; from gait3dlib.data._code import code_digest\n"
        "for name in registry.names('modality'): print(code_digest(registry.get('modality', name)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == here
