"""Mass, height and body-mass index of sampled people: stated against measured on the mesh.

    python benchmarks/bodies.py [--people 1000] [--detail full] [--seed 4711] [--json]

Stated is what the labels say. Measured is taken from the triangles alone: height between the lowest and the
highest vertex at rest, mass as the enclosed volume times the density of a living body. Must hold: every one
of 1,000 people within 3 %.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait3dlib.body import DENSITY_KG_M3, ShapedBody
from gait3dlib.simulation import sample_walker

LIMIT = 0.03


def measured(body: ShapedBody) -> tuple[float, float]:
    """Height in metres and mass in kilograms of the mesh at rest, from its triangles."""
    vertices = body.vertices.astype(np.float64)
    a, b, c = (vertices[body.faces[:, k]] for k in range(3))
    volume = float(np.sum(a * np.cross(b, c)) / 6)
    return float(np.ptp(vertices[:, 2])), volume * DENSITY_KG_M3


def errors(people: int, seed: int, detail: Any) -> dict[str, NDArray[np.float64]]:
    """Measured over stated, less one, ``[people]`` for height, mass and body-mass index; and the labels."""
    rows = []
    for index in range(people):
        who = sample_walker(seed, index)
        height, mass = measured(who.body(detail))
        stated = who.labels
        assert stated.height_m is not None and stated.mass_kg is not None and stated.age_years is not None
        bmi = stated.mass_kg / stated.height_m**2
        off = (height / stated.height_m - 1, mass / stated.mass_kg - 1, mass / height**2 / bmi - 1)
        rows.append((*off, stated.age_years, stated.height_m, stated.mass_kg, bmi))
    names = ("height", "mass", "bmi", "age_years", "height_m", "mass_kg", "bmi_kg_m2")
    return dict(zip(names, np.array(rows).T, strict=True))


def summary(found: dict[str, NDArray[np.float64]]) -> dict[str, Any]:
    """Errors in percent, and the ranges of the people."""
    table: dict[str, Any] = {
        name: {
            "mean_percent": round(100 * float(found[name].mean()), 4),
            "p95_percent": round(100 * float(np.quantile(np.abs(found[name]), 0.95)), 4),
            "max_percent": round(100 * float(np.abs(found[name]).max()), 4),
            "beyond_limit": int((np.abs(found[name]) > LIMIT).sum()),
        }
        for name in ("height", "mass", "bmi")
    }
    for name in ("age_years", "height_m", "mass_kg", "bmi_kg_m2"):
        table[name] = [round(float(found[name].min()), 2), round(float(found[name].max()), 2)]
    return table


def main() -> None:
    """Print the table; status 1 when a person is beyond the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--people", type=int, default=1000)
    parser.add_argument("--detail", choices=("full", "low"), default="full")
    parser.add_argument("--seed", type=int, default=4711)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    table = summary(errors(options.people, options.seed, options.detail))
    failed = any(table[name]["beyond_limit"] for name in ("height", "mass", "bmi"))
    if options.json:
        print(json.dumps({"people": options.people, "detail": options.detail, "seed": options.seed, **table}))
    else:
        print(f"{options.people} people, {options.detail} mesh, seed {options.seed}")
        for name in ("age_years", "height_m", "mass_kg", "bmi_kg_m2"):
            print(f"  {name}: {table[name][0]} to {table[name][1]}")
        print("error of      mean     95 %      max   beyond 3 %")
        for name in ("height", "mass", "bmi"):
            row = table[name]
            print(
                f"{name:8} {row['mean_percent']:8.3f}% {row['p95_percent']:7.3f}% {row['max_percent']:7.3f}%"
                f" {row['beyond_limit']:8d}"
            )
    raise SystemExit(int(failed))


if __name__ == "__main__":
    main()
