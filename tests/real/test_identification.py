"""A real walker, from the video to rank 1 among simulated people, with the weights that ship."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "real_video.py"


@pytest.mark.data
def test_second_half_of_her_walk_is_found_among_a_hundred_others(data_dir: Path) -> None:
    done = subprocess.run(
        [sys.executable, BENCHMARK, "--data", data_dir, "--walkers", "100", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    report = json.loads(done.stdout)
    trained, untrained = report["rows"]
    assert report["frames"] >= 60
    assert report["others"] == 100
    assert trained["both"]["rank"] == 1
    assert trained["both"]["score"] > trained["both"]["best_other"]
    assert untrained["weights"] == "untrained"
    # fresh weights tell everybody apart less well: they leave a smaller gap to the next best
    gap = {row["weights"]: row["both"]["score"] - row["both"]["best_other"] for row in report["rows"]}
    assert gap["default"] > gap["untrained"]
