"""Plot speed, cadence and step length of simulated walkers beside published norms: `docs/gait_norms.png`.

    python tools/plot_norms.py [--walkers 600] [--out docs/gait_norms.png]

Walkers are drawn with `sample_manner` for the bodies of `sample_walker`; dots are people, lines and bands the
published means and spreads of `gait3dlib.simulation.published`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from gait3dlib.simulation import published, sample_walker
from gait3dlib.simulation.manner import comfortable, sample_manner

COLOURS = {"male": "tab:blue", "female": "tab:orange"}


def drawn(walkers: int, seed: int) -> dict[str, np.ndarray]:
    """Rows of age, speed, cadence and step length by sex."""
    rows: dict[str, list[tuple[float, ...]]] = {"male": [], "female": []}
    for index in range(walkers):
        labels = sample_walker(seed, index).labels
        body = {"age_years": labels.age_years, "gender": labels.gender, "height_m": labels.height_m}
        manner = sample_manner(np.random.default_rng([seed, index]), bmi=labels.bmi_kg_m2, **body)
        ratio, speed = comfortable(manner, **body)
        cadence = np.sqrt(60 * speed / ratio)
        rows[labels.gender].append((labels.age_years, speed, cadence, ratio * cadence))
    return {sex: np.array(found) for sex, found in rows.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--walkers", type=int, default=600)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("docs/gait_norms.png"))
    options = parser.parse_args()
    people = drawn(options.walkers, options.seed)
    figure, axes = plt.subplots(1, 3, figsize=(12, 4))
    names = ("speed, m/s", "cadence, steps/min", "step length, m")
    for axis, column, name, seven in zip(axes, (1, 2, 3), names, published.AGE_SEVEN.values(), strict=True):
        for sex, colour in COLOURS.items():
            rows = people[sex]
            axis.plot(
                rows[:, 0], rows[:, column], ".", ms=3, alpha=0.45, color=colour, label=f"simulated, {sex}"
            )
            ages, mean = np.array([20.0, 65.0]), (0.0, 0.0)
            if column == 1:
                ages, mean = np.array(published.DECADES), np.array(published.SPEED_M_S[sex])
                sd = published.SPEED_SD_M_S
            else:
                table = published.CADENCE_PER_MIN if column == 2 else published.STEP_M
                mean = np.full(2, table[sex])
                sd = published.CV * table[sex]
            axis.plot(ages, mean, color=colour, label=f"published, {sex}")
            axis.fill_between(ages, mean - sd, mean + sd, color=colour, alpha=0.15)
        axis.plot(7, seven, "k*", ms=9, label="published, age 7")
        axis.set(xlabel="age, years", title=name)
    axes[0].legend(fontsize=7, loc="lower left")
    sources = (
        "Speed: Bohannon and Andrews 2011, mean and 1 SD. Cadence, step length: Perry 1992, "
        "spread of Oberg 1993. Age 7: Sutherland 1980."
    )
    figure.text(0.01, 0.01, sources, fontsize=7)
    figure.tight_layout(rect=(0, 0.03, 1, 1))
    figure.savefig(options.out, dpi=80)
    print(f"{options.out}: {options.out.stat().st_size / 1e3:.0f} kB")
    for sex, rows in people.items():
        adult = rows[(rows[:, 0] >= 20) & (rows[:, 0] < 65)]
        means = ", ".join(
            f"{m:.3f} ({s:.3f})" for m, s in zip(adult[:, 1:].mean(0), adult[:, 1:].std(0), strict=True)
        )
        print(f"{sex}, 20 to 64: speed, cadence, step length {means}")


if __name__ == "__main__":
    main()
