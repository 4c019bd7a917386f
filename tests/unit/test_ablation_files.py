"""What an ablation writes: each file is read back by what it is for."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from typer.testing import CliRunner

from gait3dlib import Pipeline, load
from gait3dlib.ablation import AblationReport, ablate
from gait3dlib.ablation._tables import Table, to_latex, to_markdown
from gait3dlib.cli import app
from gait3dlib.data.recordings import WalkFolder
from gait3dlib.errors import ConfigError


@pytest.fixture(scope="module")
def pipeline(weights_folder: Path) -> Iterator[Pipeline]:
    with Pipeline.from_pretrained(weights_folder, device="cpu") as made:
        yield made


@pytest.fixture(scope="module")
def report(pipeline: Pipeline, world: Path) -> AblationReport:
    return ablate(pipeline, world, sweeps={"missing": [0.5, 1.0]}, replicates=50)


@pytest.fixture(scope="module")
def written(report: AblationReport, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ablation")
    paths = report.write(folder, embeddings="parquet")
    assert sorted(paths) == sorted(p for p in folder.rglob("*") if p.is_file())
    return folder


def test_json_and_csv_hold_every_figure(report: AblationReport, written: Path) -> None:
    held = json.loads((written / "ablation.json").read_text(), parse_constant=pytest.fail)
    rows = list(csv.DictReader((written / "ablation.csv").open()))
    assert len(held["figures"]) == len(rows) == len(report.figures)
    for plain, row in zip(held["figures"], rows, strict=True):
        assert {k: "" if v is None else str(v) for k, v in plain.items()} == row
    assert held["best"]["mAP"] in {f.name for f in report.figures}
    assert len(list(csv.DictReader((written / "sweeps.csv").open()))) == len(report.sweeps)


def test_markdown_tables_are_rectangular(written: Path) -> None:
    text = (written / "ablation.md").read_text()
    for title in ("Every subset", "Leave one out", "by view_deg", "missing", "Attention", "Streams used"):
        assert re.search(rf"^## .*{title}", text, re.MULTILINE), title
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({line.count("|") for line in block.splitlines()}) == 1


def test_names_cannot_break_a_table() -> None:
    hostile = Table("100 % of a_b", "x & y", ("a", "b|c"), (("$1 #2 {3} ~4 ^5 \\6", "ok|"),))
    assert to_markdown([hostile]).count("\\|") == 2
    latex = to_latex([hostile])
    assert r"\$1 \#2 \{3\} \textasciitilde{}4 \textasciicircum{}5 \textbackslash{}6 & ok| \\" in latex
    assert r"\caption{100 \% of a\_b. x \& y}" in latex


def test_latex_rows_have_as_many_cells_as_columns(written: Path) -> None:
    text = (written / "ablation.tex").read_text()
    tables = re.findall(r"\\begin\{tabular\}\{(l?r*)\}(.*?)\\end\{tabular\}", text, re.DOTALL)
    assert len(tables) > 5
    for columns, body in tables:
        rows = [line for line in body.splitlines() if line.endswith(r"\\")]
        assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {len(columns)}


def test_plots_are_svg_and_the_same_each_time(report: AblationReport, written: Path, tmp_path: Path) -> None:
    plots = sorted((written / "plots").glob("*.svg"))
    assert {"subsets-rank-1.svg", "view-deg-rank-1.svg", "sweep-missing-map.svg"} <= {p.name for p in plots}
    report.write(tmp_path, embeddings="none")
    for path in plots:
        assert ElementTree.fromstring(path.read_bytes()).tag.endswith("svg")
        assert (tmp_path / "plots" / path.name).read_bytes() == path.read_bytes()


def test_the_page_is_one_file(written: Path) -> None:
    page = (written / "ablation.html").read_text()
    assert page.count("<table>") > 5
    assert page.count("data:image/svg+xml;base64,") == len(list((written / "plots").glob("*.svg")))
    assert not re.search(r"(src|href)=[\"']?(http|//|file)", page)
    assert "<script" not in page


def test_embeddings_are_those_of_the_front_door(
    report: AblationReport, pipeline: Pipeline, world: Path, written: Path, tmp_path: Path
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    walks = WalkFolder(world).walks
    with np.load(report.embeddings.save(tmp_path / "e.npz"), allow_pickle=False) as held:
        assert held["subject"].tolist() == [w.subject for w in walks]
        assert held["covariate/speed"].shape == (24,)
        vectors = {name: held[f"embedding/{name}"] for name in report.embeddings.vectors}
    assert list(vectors) == ["silhouette + skeleton_map", "skeleton_map", "silhouette"]
    seq = load(walks[5].path, walks[5].index)
    assert vectors["silhouette"][5] == pytest.approx(pipeline.embed(seq, drop=["skeleton_map"]), abs=1e-6)
    rows = parquet.read_table(written / "embeddings.parquet").to_pylist()
    assert len(rows) == 3 * 24
    for row in rows[::7]:
        assert row["embedding"] == vectors[row["modalities"]][row["walk"]].reshape(-1).tolist()
        assert row["subject"] == walks[row["walk"]].subject
    with pytest.raises(ConfigError, match=r"npz or \.parquet"):
        report.embeddings.save(tmp_path / "e.pkl")


def test_the_command_line(weights_folder: Path, world: Path, tmp_path: Path) -> None:
    asked = [
        "ablate",
        str(weights_folder),
        "--data",
        str(world),
        "--out",
        str(tmp_path / "out"),
        "--no-plots",
    ]
    done = CliRunner().invoke(app, [*asked, "--replicates", "20", "--sweeps", "missing"])
    assert done.exit_code == 0, done.output
    assert "Leave one out" in done.output
    assert (tmp_path / "out" / "embeddings.npz").exists()
    done = CliRunner().invoke(app, [*asked, "--replicates", "20", "--json"])
    assert json.loads(done.stdout)["probes"] == 12
    done = CliRunner().invoke(app, [*asked, "--sweeps", "rain"])
    assert (done.exit_code, "there is no corruption 'rain'" in done.output) == (2, True)
