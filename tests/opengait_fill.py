"""Golden cases of OpenGait's architectures that read more than images, and their parameters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import opengait_by_hand as by_hand
import torch

GOLDEN = Path(__file__).parent / "golden" / "opengait"


def told(case: str) -> dict[str, Any]:
    """Architecture, parameter counts, and the names and shapes of OpenGait's state."""
    held: dict[str, Any] = json.loads((GOLDEN / f"{case}.json").read_text(encoding="utf-8"))
    return held


def key_shapes(case: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of OpenGait's state in a golden case."""
    return {key: tuple(shape) for key, shape in told(case)["state"].items()}


def filled_state(case: str) -> dict[str, torch.Tensor]:
    """A float32 state under OpenGait's names; counters are int64."""
    return {
        key: torch.as_tensor(by_hand.parameter(key, shape)).to(torch.float32 if shape else torch.int64)
        for key, shape in key_shapes(case).items()
    }
