"""The command line, called from tests."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from gait3dlib.cli import app

CORRIDOR = "simulated:seed=3,walkers=1,fps=12,gap_s=0.2"


def gait3d(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def good(*words: object) -> Result:
    result = gait3d(*words)
    assert result.exit_code == 0, result.output
    return result


def said_json(*words: object) -> dict[str, object]:
    """The one JSON object that a verb printed, and nothing else."""
    lines = good(*words, "--json").stdout.splitlines()
    assert len(lines) == 1
    value = json.loads(lines[0], parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert isinstance(value, dict)
    return value


def with_weights(things: Path, *words: object) -> list[object]:
    return [*words, "--weights", things / "weights"]


def film(path: Path, frames: int) -> Path:
    cv2 = pytest.importorskip("cv2")
    out = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 25, (160, 120))
    shade = np.linspace(60, 200, 160, dtype=np.uint8)
    for _ in range(frames):
        out.write(np.repeat(np.tile(shade, (120, 1))[:, :, None], 3, axis=2))
    out.release()
    return path
