"""Templates and galleries of a made-up model, for tests of the gallery."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gait3dlib.gallery import Gallery

DIM = 64
PRINT = "0123456789abcdef" * 4
F32 = NDArray[np.float32]


def unit(n: int, dim: int = DIM, seed: int = 0) -> F32:
    x = np.random.default_rng(seed).normal(size=(n, dim))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def opened(path: Path | None, dim: int = DIM) -> Gallery:
    return Gallery.open(path, PRINT, dim)


def run(code: str, *arguments: object) -> str:
    """Run Python in another process and return what it prints."""
    preamble = "import sys, numpy as np\nfrom gait3dlib.gallery import Gallery\n"
    return subprocess.run(
        [sys.executable, "-c", preamble + code, *map(str, arguments)],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout


def disk(path: Path) -> bytes:
    """All bytes of the database and its side files; read by another process, since closing drops locks."""
    files = sorted(path.parent.glob(path.name + "*"))
    return subprocess.check_output(["cat", *map(str, files)])


def traces(path: Path, template: F32, *texts: str) -> list[str]:
    """What is found of a template (16 bytes at a time, since SQLite may split it) and of texts."""
    held, raw = disk(path), template.astype("<f4").tobytes()
    pieces = [raw[i : i + 16] for i in range(0, len(raw), 16)]
    found = [f"bytes {16 * i}" for i, piece in enumerate(pieces) if piece in held]
    return found + [text for text in texts if text.encode() in held]
