"""What ``depth.py`` found, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from _tables import MISSING, Json, percent, table


def depth(result: Json) -> str:
    """Walkers whom no outline tells apart, and the frozen world, each where it was measured."""
    parts = ["### Walkers who differ from front to back, and in nothing else\n"]
    parts += [MISSING + "\n"] if result["planted"] is None else _planted(result["planted"], result["seed"])
    parts.append("### The frozen world\n")
    parts += [MISSING + "\n"] if result["frozen"] is None else _frozen(result["frozen"]["identification"])
    return "\n".join(parts)


def _planted(result: Json, seed: int) -> list[str]:
    rows = result["rows"]
    names = list(dict.fromkeys(row["name"] for row in rows))
    lines = []
    for at in dict.fromkeys(row["distance_m"] for row in rows):
        own = {row["name"]: row for row in rows if row["distance_m"] == at}
        first = own[names[0]]
        figures = [percent(own[name]["rank1"]) for name in names]
        chance = f"{100 * first['chance']:.1f}"
        lines.append([f"{at:g} m", first["people"], first["probes"], chance, *figures])
    text = (
        f"Rank-1 in percent. Both encoders had {result['steps']} steps on {result['train_people']} other "
        f"walkers, {result['walks']} walks of each; seed {seed}.\n"
    )
    return [text, table(["D435 at", "people", "probes", "chance", *names], lines)]


def _frozen(rows: Sequence[Json]) -> list[str]:
    parts = []
    for gallery in dict.fromkeys(row["gallery"] for row in rows):
        own = [row for row in rows if row["gallery"] == gallery]
        for cell in dict.fromkeys(row["row"] for row in own):
            lines = [
                [
                    row["name"],
                    row["people"],
                    row["probes"],
                    f"{100 * row['chance']:.1f}",
                    percent(row["rank1"]),
                    percent(row["fnir"]),
                ]
                for row in own
                if row["row"] == cell
            ]
            head = ["", "people", "probes", "chance", "rank-1, %", "FNIR at 1 % FPIR, %"]
            parts += [f"Gallery of {gallery}, probes in `{cell}`:\n", table(head, lines)]
    return parts
