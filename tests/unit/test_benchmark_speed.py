"""The sections on speed of the page of benchmarks, and what they are written from."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("torch", reason="needs the extra 'model'")

HERE = Path(__file__).parents[2] / "benchmarks"
ROW = {"what": "GaitBase forward", "precision": "int8", "theirs_ms": 232.49, "ours_ms": 44.66}


@pytest.fixture(scope="module")
def scripts() -> dict[str, ModuleType]:
    sys.path.insert(0, str(HERE))
    try:
        names = ("write_docs", "_speed_tables", "_machine", "preprocessing_speed")
        return {name: __import__(name) for name in names}
    finally:
        sys.path.remove(str(HERE))


def result(clock: str = "wall", **row: object) -> dict[str, object]:
    told = {"machine": "A chip, 2 cores", "torch": "2.13", "threads": 2, "clock": clock, "repeats": 9}
    return {**told, "rows": [{**ROW, "times_faster": 5.204, "cosine": 0.9999747, **row}]}


def test_both_commands_stand_on_the_page(scripts: dict[str, ModuleType], tmp_path: Path) -> None:
    text = scripts["write_docs"].page(tmp_path)
    command = "python benchmarks/opengait_speed.py --opengait OpenGait --threads 2"
    assert f"{command}\n" in text
    assert f"{command} --train\n" in text
    assert "python benchmarks/preprocessing_speed.py\n" in text


def test_figures_machine_threads_and_clock_are_told(scripts: dict[str, ModuleType]) -> None:
    text = scripts["_speed_tables"].opengait(result())
    assert "A chip, 2 cores, torch 2.13, 2 threads; wall time. Medians of 9 turns." in text
    assert "| GaitBase forward | int8 | 232 | 45 | 5.20 | 0.99997 |" in text
    training = scripts["_speed_tables"].opengait(result("cpu", cosine=None))
    assert "processor time, on a machine that did other work beside" in training
    assert "cosine" not in training
    drawn = {"what": "skeleton maps", "per_second": 2345.6, "asked": 1500}
    told = {"machine": "A chip", "clock": "wall", "repeats": 7, "processes": 2, "rows": [drawn]}
    text = scripts["_speed_tables"].preprocessing(told)
    assert "A chip; wall time. Medians of 7 runs." in text
    assert "| skeleton maps | 2346 | 1500 | 2 |" in text


def test_the_machine_has_a_name_and_cores(scripts: dict[str, ModuleType]) -> None:
    name, cores, system = scripts["_machine"].machine().rsplit(", ", 2)
    assert name
    assert int(cores.removesuffix(" cores")) >= 1
    assert system


def test_every_frame_of_a_walk_is_drawn(scripts: dict[str, ModuleType]) -> None:
    speed = scripts["preprocessing_speed"]
    keypoints, clouds = speed.walked(0)
    few = keypoints[:3], clouds[:3]
    assert len(keypoints) == len(clouds) == speed.FRAMES
    for what in speed.ASKED:
        assert speed.draw(what, few) == 3
        assert speed.one_process(what, few, "cpu", 1, 0) > 0
