"""Write ``docs/benchmarks.md`` from ``benchmarks/results/*.json``; nothing on that page is typed by hand.

    python benchmarks/simulated.py --data DIR --json > benchmarks/results/simulated.json
    python benchmarks/write_docs.py [--check]

A result is what a benchmark prints with ``--json``, under the benchmark's name. What has no file stands as
"not measured". With ``--check`` nothing is written; status 1 when the page is not what the results say.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _depth_tables import depth
from _force_tables import FORCES
from _speed_tables import SPEED
from _tables import MISSING, Json, generic, measure, percent, table

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "benchmarks.md"

INTRODUCTION = """# Benchmarks

Written by `make benchmarks-doc` from `benchmarks/results/*.json`; do not edit.

Every table names the number of people, chance, a plain baseline, and an oracle where the truth is known.
Brackets are 95 % intervals from resampling people. Figures on simulated walkers compare methods with each
other; they say nothing about how the library does on people. Every command takes `--data DIR` with other
people in it, `--seed` and `--json`.
"""


@dataclass(frozen=True)
class Section:
    """One benchmark: its result's file, a heading, how it is run, what it is, how JSON becomes text."""

    name: str
    title: str
    command: str
    text: str
    body: Callable[[Any], str]


# ---- the frozen world -----------------------------------------------------------------------------


def simulated(result: Json) -> str:
    """Tables by gallery: the headline with its open-set figure, then rank-1 of every cell."""
    parts = [
        f"World {result['world']} (rules {result['sha256']}, fingerprint {result['fingerprint']}), weights "
        f"{', '.join(result['weights'])}, seed {result['seed']}. {result['people']} people are enrolled, "
        f"{result['impostors']} others are searched for in vain.\n"
    ]
    rows = result["identification"]
    for gallery in dict.fromkeys(row["gallery"] for row in rows):
        own = [row for row in rows if row["gallery"] == gallery]
        names = list(dict.fromkeys(row["name"] for row in own))
        cells = list(dict.fromkeys(row["row"] for row in own))
        by = {(row["row"], row["name"]): row for row in own}
        parts.append(f"### Gallery of {gallery}\n\nOther clothing than in the gallery:\n")
        parts.append(headline([by[cells[0], name] for name in names]))
        parts.append("Rank-1 in percent, under every circumstance:\n")
        lines = []
        for cell in cells:
            first = by[cell, names[0]]
            figures = [percent(by[cell, name]["rank1"]) for name in names]
            lines.append([cell, first["probes"], f"{100 * first['chance']:.1f}", *figures])
        parts.append(table(["", "probes", "chance", *names], lines))
    parts.append(attributes(result["attributes"]))
    return "\n".join(parts)


def headline(rows: Sequence[Json]) -> str:
    """Rank-1, its share of the oracle's, and FNIR."""
    best = next((row["rank1"]["value"] for row in rows if row["name"] == "oracle: both"), None)
    lines = [
        [
            row["name"],
            row["people"],
            row["probes"],
            f"{100 * row['chance']:.1f}",
            percent(row["rank1"]),
            f"{row['rank1']['value'] / best:.2f}" if best else MISSING,
            row["impostor_searches"],
            percent(row["fnir"]),
        ]
        for row in rows
    ]
    return table(
        ["", "people", "probes", "chance", "rank-1, %", "of the oracle's", "impostors", "FNIR at 1 % FPIR"],
        lines,
    )


def attributes(rows: Sequence[Json]) -> str:
    """Age, BMI and sex beside the mean and the oracle."""
    lines = []
    for row in rows:
        oracle = [r for r in rows if r["name"] == "oracle: both" and _place(r) == _place(row)]
        if "auc" in row:
            figures = [measure(row["auc"], digits=3), "0.5"]
            best = measure(oracle[0]["auc"], digits=3) if oracle else MISSING
        else:
            figures = [measure(row["mae"]), measure(row["mean"])]
            best = measure(oracle[0]["mae"]) if oracle else MISSING
        lines.append([f"{row['task']}, {row['row']}", row["name"], row["people"], *figures, best])
    headings = ["", "", "people", "MAE, or AUC of gender", "of the mean, or of chance", "of the oracle"]
    return "### Age, body-mass index, gender\n\n" + table(headings, lines)


def _place(row: Json) -> tuple[str, str]:
    return row["task"], row["row"]


# ---- the others -----------------------------------------------------------------------------------


def real_motion(result: Json) -> str:
    """One table a group of people."""
    parts = []
    for group, rows in result["groups"].items():
        lines = [
            [
                row["name"],
                row["people"],
                row["probes"],
                f"{100 * row['chance']:.1f}",
                percent({"value": row["rank1"], "low": row["low"], "high": row["high"]}),
            ]
            for row in rows
        ]
        head = table(["", "people", "probes", "chance", "rank-1, %"], lines)
        parts.append(f"### {group}\n\n{head}")
    return "\n".join(parts)


def real_video(result: Json) -> str:
    """Ranks of the one walker among simulated ones."""
    lines = []
    for row in result["rows"]:
        for name in ("both", "silhouette", "skeleton_map"):
            found = row[name]
            lines.append(
                [
                    f"{row['weights']}: {name}",
                    found["rank"],
                    f"{found['score']:.3f}",
                    f"{found['best_other']:.3f}",
                ]
            )
    others = result["others"]
    chance = f"{100 / (others + 1):.1f} %"
    text = f"One person among {others} simulated ones; chance of rank 1 is {chance}; no rate.\n\n"
    return text + table(["", "rank", "score", "best of the others"], lines)


def bodies(result: Json) -> str:
    """Stated against measured."""
    lines = [
        [
            name,
            f"{result[name]['mean_percent']:.3f}",
            f"{result[name]['p95_percent']:.3f}",
            f"{result[name]['max_percent']:.3f}",
            result[name]["beyond_limit"],
        ]
        for name in ("height", "mass", "bmi")
    ]
    text = f"{result['people']} people, {result['detail']} mesh, seed {result['seed']}.\n\n"
    return text + table(["error of", "mean, %", "95 %, %", "largest, %", "people beyond 3 %"], lines)


def body_fit(result: Json) -> str:
    """Simulated walkers, and real ones where they were fitted."""
    parts = [f"{result['walkers']} simulated walkers.\n", generic(result["simulated"])]
    parts += ["Real walks:\n", generic(result["real"]) if result.get("real") else MISSING + "\n"]
    return "\n".join(parts)


SECTIONS = (
    Section(
        "simulated",
        "Simulated walkers, world_v1",
        "gait3d simulate --benchmark world_v1 --split test --out DIR\n"
        "gait3d simulate --benchmark world_v1 --split impostors --out DIR\n"
        "python benchmarks/simulated.py --data DIR",
        "People never trained on; probes come from another day, seen from at least 30 degrees away. The\n"
        "oracle (`benchmarks/oracle.py`) is the nearest neighbour on what is true of each walk: the\n"
        "movement of that day, and the body's proportions as far as a camera without metric scale can\n"
        "measure them; it sees no clothes and no obstacle. Its age, BMI and gender are regressed from the\n"
        "same.",
        simulated,
    ),
    Section(
        "simulated_sensors",
        "The same people before every sensor",
        "gait3d simulate --benchmark world_v1 --split test --walkers 100 --out DIR "
        "--streams silhouette,keypoints,depth,points,joints\n"
        "python benchmarks/simulated.py --data DIR",
        "A colour camera, a depth camera that lifts key points to joints, and a LiDAR see the same walks.\n"
        "Of all modalities of the default weights each, the pairs, and all.",
        simulated,
    ),
    Section(
        "simulated_shuffled",
        "The same with shuffled labels",
        "python benchmarks/simulated.py --data DIR --shuffled TRAIN",
        "Trained and tried on walks that were dealt out to people at random. Whatever is above chance, or\n"
        "better than the mean, has leaked.",
        simulated,
    ),
    Section(
        "real_motion",
        "Real people, told apart by movement alone",
        "python benchmarks/real_motion.py --data DIR --weights default --weights none",
        "People who shaped neither the gait prior nor the weights, all rendered on the same average body.",
        real_motion,
    ),
    Section(
        "real_video",
        "One real video",
        "python benchmarks/real_video.py --data DIR",
        "The second half of a walk searched for by its first half.",
        real_video,
    ),
    Section(
        "bodies",
        "Bodies: stated against measured on the mesh",
        "python benchmarks/bodies.py",
        "Height, mass and body-mass index of sampled people.",
        bodies,
    ),
    Section(
        "body_fit",
        "Body fit",
        "python benchmarks/body_fit.py --data DIR",
        "How well a body fitted to a walk is the body that walked.",
        body_fit,
    ),
    Section(
        "depth",
        "Depth",
        "python benchmarks/depth.py\npython benchmarks/depth.py --data DIR --weights WEIGHTS",
        "Belly and stoop on one average body, seen from the front by a simulated D435; the plain baselines\n"
        "are the nearest mean picture. Then people of the frozen world by what one camera gives.",
        depth,
    ),
    *(Section(*part) for part in FORCES),
    *(Section(*part) for part in SPEED),
)


def page(results: Path) -> str:
    """The whole page.

    Args:
        results: folder of JSON files.
    """
    parts = [INTRODUCTION]
    for section in SECTIONS:
        path = results / f"{section.name}.json"
        body = f"{MISSING}\n" if not path.exists() else section.body(json.loads(path.read_text()))
        parts.append(f"## {section.title}\n\n{section.text}\n\n```bash\n{section.command}\n```\n\n{body}")
    return "\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--out", type=Path, default=PAGE)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    text = page(options.results)
    if options.check:
        stale = not options.out.exists() or options.out.read_text() != text
        if stale:
            print(f"{options.out} is stale; write it with: make benchmarks-doc", file=sys.stderr)
        raise SystemExit(int(stale))
    options.out.write_text(text)


if __name__ == "__main__":
    main()
