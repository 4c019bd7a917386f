"""Bake `gait3dlib/_assets/prior.npz` from real walks; a development tool, not shipped.

    python tools/bake_prior.py --data DIR [--out gait3dlib/_assets/prior.npz]

`DIR` holds `cmu/` and `biomechzoo/` as `data_cards/real_walks.md` describes them. Only the people that
`gait3dlib/simulation/real_people.yaml` lists under `prior` are read. Prints the error of the fit, and how
well a person who was left out is described by the others.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from gait3dlib.simulation.mocap import real_walks, split, straight_strides
from gait3dlib.simulation.mocap.learning import learn, leave_one_out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("gait3dlib/_assets/prior.npz"))
    options = parser.parse_args()
    people = split().prior
    strides, errors = {}, {}
    for walk in real_walks(options.data, people.__contains__):
        found = straight_strides(walk.capture)
        error = 1e3 * float(np.nanmean(walk.capture.error_m))
        errors.setdefault(walk.person.source, []).append(error)
        print(f"{walk.person!s:22} {walk.trial:24} {len(found)} strides, joints off by {error:.1f} mm")
        if found:
            strides.setdefault(walk.person, []).append(found)
    for source, values in errors.items():
        print(f"{source}: mean joint error {np.mean(values):.2f} mm over {len(values)} walks")
    prior = learn({person: [s for walk in walks for s in walk] for person, walks in strides.items()})
    prior.save(options.out)
    print(
        f"{options.out}: {options.out.stat().st_size / 1e3:.0f} kB, {len(strides)} people, "
        f"rank {prior.rank}, within over between people {prior.within:.2f}"
    )
    for name, row in leave_one_out(strides).items():
        print(f"left out, {name}: {row.degrees:.1f} degrees, {row.millimetres:.1f} mm")


if __name__ == "__main__":
    main()
