"""Parameters as a function of a tensor's name and shape, so that golden numbers need no file of weights.

Each tensor has a generator of its own, seeded by the CRC-32 of its OpenGait name: running variances and
one-dimensional weights uniform in 0.5..1.5, biases and running means 0.1 times standard normal, the exponent
of generalised-mean pooling 6.5, counters 0, everything else standard normal over the square root of its
fan-in.
"""

from __future__ import annotations

import json
import math
import zlib
from pathlib import Path

import numpy as np
import torch

GOLDEN = Path(__file__).parent / "golden"


def fill_value(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """float64, of that shape."""
    draw = np.random.RandomState(zlib.crc32(key.encode()))
    leaf = key.rpartition(".")[2]
    if leaf == "num_batches_tracked":
        return np.zeros(shape)
    if key.endswith("HPP.p"):
        return np.full(shape, 6.5)
    if leaf == "running_mean" or (leaf == "bias" and len(shape) == 1):
        return 0.1 * draw.standard_normal(shape)
    if leaf == "running_var" or len(shape) == 1:
        return draw.uniform(0.5, 1.5, shape)
    fan_in = shape[1] if leaf == "fc_bin" else math.prod(shape[1:])
    return draw.standard_normal(shape) / math.sqrt(fan_in)


def key_shapes(case: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of OpenGait's state in a golden case."""
    stored = json.loads((GOLDEN / f"{case}.keys.json").read_text(encoding="utf-8"))
    return {key: tuple(shape) for key, shape in stored["state_dict"].items()}


def filled_state(case: str) -> dict[str, torch.Tensor]:
    """A float32 state under OpenGait's names; counters are int64."""
    return {
        key: torch.from_numpy(fill_value(key, shape)).to(torch.float32 if shape else torch.int64)
        for key, shape in key_shapes(case).items()
    }
