"""Tables of inverse dynamics: against plates and other programs, and when forces help."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from _tables import Json, table

QUANTITIES = ("vertical", "ankle", "knee", "hip")


def forces(result: Json) -> str:
    """Correlation and error of every row, and whether what was asked for is met."""
    lines = [
        [row["row"], row["people"], row["legs"], *(_cell(name, row.get(name)) for name in QUANTITIES)]
        for row in result["rows"]
    ]
    headings = ["", "people", "legs", "vertical, % of body weight", *(f"{n}, N m/kg" for n in QUANTITIES[1:])]
    text = (
        "Median over legs of correlation / root-mean-square error over stance [95 % interval of the error];\n"
        "a star where both are as good as was asked for.\n\n"
    )
    return text + table(headings, lines)


def _cell(name: str, cell: Mapping[str, Any] | None) -> str:
    if cell is None:
        return ""
    digits = 1 if name == "vertical" else 3
    text = f"{cell['r']:.3f} / {cell['rmse']:.{digits}f}"
    if "rmse_95" in cell:
        text += " [{:.{d}f}, {:.{d}f}]".format(*cell["rmse_95"], d=digits)
    return text + (" *" if cell.get("met") else "")


def forces_help(result: Json) -> str:
    """Rank-1 of each encoder between twins."""
    asked = result["settings"]
    lines = [
        [
            row["encoder"],
            row["people"],
            row["probes"],
            f"{100 * row['chance']:.0f}",
            "{:.1f} [{:.1f}, {:.1f}]".format(100 * row["rank1"], *(100 * edge for edge in row["rank1_95"])),
        ]
        for row in result["rows"]
    ]
    text = (
        f"Trained on {asked['pairs']} pairs for {asked['steps']} steps; push-off {asked['lag']:g} of a cycle "
        f"early or late; {asked['noise_mm']:g} mm of noise in joints.\n\n"
    )
    return text + table(["", "people", "probes", "chance", "rank-1, %"], lines)


FORCES = (
    (
        "forces",
        "Joint forces and moments",
        "python benchmarks/forces.py --data DIR",
        "Inverse dynamics of real people against force plates and other programs. `walking` and `null` have\n"
        "never seen the person that they are asked about. Gait2354 and Gait2392 are one walk, for which\n"
        "OpenSim published two left knees that differ by up to 0.17 N m/kg: nothing can agree with both.",
        forces,
    ),
    (
        "forces_help",
        "When forces help",
        "python benchmarks/forces_help.py",
        "Simulated twins with one body and one mean pose who push off at another time, told apart by a\n"
        "small encoder with its channels of force, by the same without them, and by silhouettes.",
        forces_help,
    ),
)
