"""Make trained weights the default ones: copy the files, write a card with measured figures beside each.

    python tools/release_weights.py runs/fusion/weights --shrink DIR --walks WALKS
    python tools/release_weights.py DIR --report simulated.json --run fusion=runs/fusion ...

The first form keeps matrices in eight bits (`gait3dlib.training.shrinking`), by means of walks that show
every modality, such as those that the fusion learnt from. What is released is what was measured: the second
form takes those files as they are.
``simulated.json`` is what ``benchmarks/simulated.py --json`` printed for these weights on the frozen test.
Of several reports the first that tells of a file's modalities goes into its card. ``--run`` names the run
folder of each file: the commit that its card states is the one that the run noted.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from gait3dlib import _resources, cards
from gait3dlib.cards import Metric
from gait3dlib.data.recordings import WalkFolder
from gait3dlib.fusion.weights import FUSION, available, read
from gait3dlib.training.card import write_card
from gait3dlib.training.shrinking import shrink

DATA = ["simulated_walkers"]
ROWS = ("all", "normal", "clothes")
BASELINE = "gait energy image"


def main() -> None:
    """Copy and describe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shrink", type=Path, metavar="DIR", help="only write the files to measure")
    parser.add_argument("--walks", type=Path, help="recordings; with --shrink")
    parser.add_argument("--report", type=Path, default=[], action="append")
    parser.add_argument("--run", action="append", default=[], metavar="NAME=FOLDER")
    options = parser.parse_args()
    if options.shrink is not None:
        if options.walks is None:
            parser.error("--shrink needs --walks: recordings that show every modality")
        shrink(options.folder, options.shrink, WalkFolder(options.walks))
        return
    if not options.report or not options.run:
        parser.error("--report and --run: what was measured, and the runs that made the files")
    reports = [json.loads(path.read_text()) for path in options.report]
    runs = dict(text.split("=", 1) for text in options.run)
    target = _resources.weights_folder()
    names = available(options.folder)
    for name in [*names, FUSION]:
        shutil.copyfile(options.folder / f"{name}.safetensors", target / f"{name}.safetensors")
    _, info = read(options.folder / f"{FUSION}.safetensors")
    for name in [*names, FUSION]:
        file = target / f"{name}.safetensors"
        _, meta = read(file)
        row = " + ".join(names) if name == FUSION else name
        write_card(
            file,
            task=_task(name, names),
            data=DATA,
            people=int(info["people"]) if name == FUSION else _people(Path(runs[name]) / f"{name}.md"),
            metrics=_metrics(_about(reports, row), row),
            config=f"configs/{_config(name, meta)}.yaml",
            commit=_commit(Path(runs[name])),
        )


def _about(reports: list[dict[str, Any]], row: str) -> dict[str, Any]:
    """The first report that tells of these modalities."""
    return next(r for r in reports if any(found["name"] == row for found in r["identification"]))


def _config(name: str, meta: dict[str, Any]) -> str:
    """The shipped config that a file was trained from, by its encoder or its kind of fusion."""
    if name == FUSION:
        return "fusion"
    encoder = str(meta["config"].get("encoder", "strips"))
    return name if encoder in ("strips", "sparse", "tree") else f"{name}_{encoder}"


def _commit(run: Path) -> str:
    noted = json.loads((run / "environment.json").read_text())
    return noted["git"] + (" with uncommitted changes" if noted["git_changes"] else "")


def _people(card: Path) -> int:
    """How many people an encoder was trained on, by the card of its run."""
    return cards.read(cards.ModelCard, card)[0].people


def _task(name: str, names: list[str]) -> str:
    if name == FUSION:
        return f"Tokens of {' and '.join(names)} to an identity embedding, age, body-mass index and gender."
    return f"The {name} stream of one walk to tokens, which the fusion reads."


def _metrics(report: dict[str, Any], row: str) -> dict[str, Metric | dict[str, Metric]]:
    metrics: dict[str, Metric | dict[str, Metric]] = {
        "benchmark": f"{report['world']}, test people never trained on",
        "people enrolled": report["people"],
        "people enrolled nowhere": report["impostors"],
        "view difference": "at least 30 degrees",
    }
    for found in report["identification"]:
        if found["row"] in ROWS and found["name"] in (row, BASELINE):
            key = f"{found['row']}, {found['gallery']}" + (", baseline" if found["name"] == BASELINE else "")
            about: dict[str, Metric] = {
                "rank-1": _measure(found["rank1"]),
                "rank-1 by chance": round(found["chance"], 4),
            }
            if found["impostor_searches"]:
                about["FNIR at 1 % FPIR"] = _measure(found["fnir"])
            metrics[key] = about
    for found in report["attributes"]:
        if found["row"] == ROWS[0] and found["name"] == row:
            keys = [key for key in ("mae", "mean", "auc") if key in found]
            metrics[found["task"]] = {key: _measure(found[key]) for key in keys}
    return metrics


def _measure(measure: dict[str, Any]) -> list[float]:
    """Value, and both ends of its 95 % interval."""
    ends = [measure.get("low"), measure.get("high")]
    return [round(float(v), 4) for v in (measure["value"], *ends) if v is not None]


if __name__ == "__main__":
    main()
