"""Makes gait3dlib/_assets/gait_norms.json: how real people walk, for the gait report's grey bands.

    python tools/learn_gait_norms.py --data DIR

Figures and joint angles are of adults (CMU Graphics Lab Motion Capture Database, DIR/cmu/*/*.bvh) and of
children (biomechZoo's sample study, Apache-2.0, DIR/biomechzoo/*_Straight_*.npz). Moments, powers and the
ground's reaction are of the children alone, and only of strides whose stance was on a force plate.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gait3dlib._resources import asset
from gait3dlib.dynamics import MotionTrial, read_biomechzoo
from gait3dlib.errors import InputError
from gait3dlib.report._gait_cycles import G, Strides, read_strides
from gait3dlib.report._gait_norms import FILE, Norms, learn_norms
from gait3dlib.simulation.mocap.bvh import read_bvh
from gait3dlib.simulation.mocap.folder import LONGEST_FRAMES
from gait3dlib.simulation.mocap.measured import measured_bvh


def adults(folder: Path) -> Iterator[tuple[str, Strides]]:
    """Person and strides of CMU's walks; those too short for a stride are left out."""
    for path in sorted(folder.glob("*/*.bvh")):
        motion = read_bvh(path)
        if len(motion.positions) > LONGEST_FRAMES:
            continue
        measured = measured_bvh(motion).every(2)
        try:
            yield f"cmu-{path.parent.name}", read_strides(measured.positions, measured.fps)
        except InputError as error:
            print(f"{path.name} left out: {error}")


def plates(trial: MotionTrial) -> np.ndarray:
    """What the plates measured, over body weight; NaN where no plate was."""
    assert trial.ground_reaction is not None
    assert trial.mass_kg is not None
    force = trial.ground_reaction[..., :3] / (trial.mass_kg * G)
    return np.concatenate([force, trial.ground_reaction[..., 3:6]], -1)


def on_plates(strides: Strides, plate: np.ndarray) -> Strides:
    """The strides whose stance a plate measured from strike to leaving."""
    rows = [
        np.isfinite(plate[s.first + 2 : s.leaves - 2, s.foot, 0]).all()
        and np.nanmax(plate[s.first : s.leaves, s.foot, 2]) > 0.5
        for s in strides.found
    ]
    kept = np.flatnonzero(rows)
    return Strides(
        tuple(strides.found[i] for i in kept),
        {name: values[kept] for name, values in strides.figures.items()},
        {name: values[kept] for name, values in strides.curves.items()},
        strides.exact[kept],
        strides.height_m,
    )


def learn(data: Path) -> Norms:
    """The norms of all people in the folder."""
    moving: dict[str, list[Strides]] = {}
    loaded: dict[str, list[Strides]] = {}
    for person, strides in adults(data / "cmu"):
        moving.setdefault(person, []).append(strides)
    grown = [person for person, walks in moving.items() if any(len(walk) for walk in walks)]
    for path in sorted((data / "biomechzoo").glob("*_Straight_*.npz")):
        trial, person = read_biomechzoo(path), path.name.split("_")[0]
        moving[person] = [read_strides(trial.joints, trial.fps, trial.height_m)]
        plate = plates(trial)
        measured = read_strides(trial.joints, trial.fps, trial.height_m, ground_reaction=plate)
        loaded[person] = [on_plates(measured, plate)]
    moving = {person: walks for person, walks in moving.items() if any(len(walk) for walk in walks)}
    loaded = {person: walks for person, walks in loaded.items() if len(walks[0])}
    children = len(moving) - len(grown)
    sources = (
        f"Figures and angles: {len(grown)} adults of the CMU Graphics Lab Motion Capture Database "
        f"(mocap.cs.cmu.edu) and {children} children of biomechZoo's sample study (Apache-2.0).",
        f"Moments, powers and ground reaction: {sum(len(w[0]) for w in loaded.values())} strides of "
        f"{len(loaded)} of these children on force plates, scaled to the walker's height.",
    )
    return learn_norms(moving, loaded, sources)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    norms = learn(parser.parse_args().data)
    norms.save(asset(FILE))
    print("\n".join(norms.sources))


if __name__ == "__main__":
    main()
