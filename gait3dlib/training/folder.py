"""The run folder: what another person needs to see what a run did, and to run it again."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import gait3dlib
from gait3dlib import config
from gait3dlib._optional import require
from gait3dlib.data.recordings import Walk

Report = Callable[[str], None]

_PACKAGES = ("torch", "numpy", "scipy", "lightning", "safetensors", "h5py", "opencv-python-headless")


class RunFolder:
    """Writes the run folder; in a process that is not the first one it writes and says nothing.

    ``config.yaml`` the resolved config; ``environment.json`` versions, machine, seed, git state;
    ``inputs.json`` hashes of the walks on either side of the split and of the weights it starts from;
    ``metrics.csv`` step, name, value (and TensorBoard events where tensorboard is installed).
    """

    def __init__(
        self, out: Path, resolved: Mapping[str, Any], seed: int, report: Report, *, writes: bool = True
    ) -> None:
        self.out, self.writes = out, writes
        self.report: Report = report if writes else lambda text: None
        self.writer: Any = None
        if not writes:
            return
        out.mkdir(parents=True, exist_ok=True)
        config.write(out / "config.yaml", resolved)
        self._json("environment.json", environment(seed))
        self.writer = _tensorboard(out)

    def keep_inputs(self, inputs: Mapping[str, Any]) -> None:
        """Write ``inputs.json``."""
        if self.writes:
            self._json("inputs.json", inputs)

    def log(self, step: int, steps: int, row: Mapping[str, float]) -> None:
        """One line to the terminal, the CSV and TensorBoard."""
        self.report(f"step {step}/{steps}  " + "  ".join(f"{k} {v:.4g}" for k, v in row.items()))
        if not self.writes:
            return
        path = self.out / "metrics.csv"
        new = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            if new:
                rows.writerow(["step", "name", "value"])
            # nine digits tell any two numbers of 32 bits apart
            rows.writerows([step, name, f"{value:.9g}"] for name, value in row.items())
        if self.writer is not None:
            for name, value in row.items():
                self.writer.add_scalar(name, value, step)

    def forget_after(self, step: int) -> None:
        """Take out of the CSV what was logged after a step, by a run that is now done again."""
        path = self.out / "metrics.csv"
        if not self.writes or not path.exists():
            return
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.reader(file) if len(row) == 3]  # a killed run may leave half a line
        kept = [row for row in rows if row[0] == "step" or (row[0].isdecimal() and int(row[0]) <= step)]
        path.unlink()
        if step:
            with path.open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows(kept)

    def _json(self, name: str, value: Mapping[str, Any]) -> None:
        (self.out / name).write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def split_hashes(train: Sequence[Walk], validation: Sequence[Walk]) -> dict[str, Any]:
    """Who is on which side of the split: people, walks, and a hash of files, sizes, walks and subjects."""
    return {"train": _side(train), "validation": _side(validation)}


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def environment(seed: int) -> dict[str, Any]:
    """What another person needs to run it again: versions, machine, git state, seed."""
    return {
        "gait3dlib": gait3dlib.__version__,
        **{name: found for name in _PACKAGES if (found := _version(name))},
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "seed": seed,
        "git": _git("rev-parse", "HEAD"),
        "git_changes": bool(_git("status", "--porcelain")),
    }


def _side(walks: Sequence[Walk]) -> dict[str, Any]:
    digest = hashlib.sha256()
    for walk in walks:
        size = walk.path.stat().st_size if walk.path.exists() else 0
        digest.update(f"{walk.path.name}:{size}:{walk.index}:{walk.subject}\n".encode())
    people = {walk.subject for walk in walks}
    return {"people": len(people), "walks": len(walks), "sha256": digest.hexdigest()}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git(*words: str) -> str:
    here = Path(gait3dlib.__file__).resolve().parent
    try:
        done = subprocess.run(["git", "-C", str(here), *words], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _tensorboard(out: Path) -> Any:
    try:
        return require("torch.utils.tensorboard").SummaryWriter(str(out))
    except ImportError:
        return None
