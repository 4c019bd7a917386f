"""Makes gait3dlib/_assets/walking_reaction.json: the usual ground reaction of walking people.

    python tools/learn_walking_reaction.py --data DIR

Learned from the Straight trials of biomechZoo's sample study (Apache-2.0), in DIR/biomechzoo.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from gait3dlib._resources import asset
from gait3dlib.dynamics import fit_reaction, measured_steps, read_biomechzoo


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    folder = parser.parse_args().data / "biomechzoo"
    trials = [read_biomechzoo(path) for path in sorted(folder.glob("*_Straight_*.npz"))]
    steps = [step for trial in trials for step in measured_steps(trial)]
    source = (
        f"biomechZoo sample study (Apache-2.0): {len(steps)} steps of {len(trials)} children on force plates"
    )
    fit_reaction(steps, source).save(asset("walking_reaction.json"))
    print(source)


if __name__ == "__main__":
    main()
