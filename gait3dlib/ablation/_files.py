"""Writing an ablation: tables, pictures, one page, embeddings."""

from __future__ import annotations

import json
from pathlib import Path

from gait3dlib.ablation._plots import plots_of
from gait3dlib.ablation._report import AblationReport
from gait3dlib.ablation._tables import tables_of, to_csv, to_latex, to_markdown
from gait3dlib.errors import ConfigError
from gait3dlib.report import ReportTable
from gait3dlib.report._ablation import Picture, write_ablation_report

EMBEDDINGS = ("npz", "parquet", "none")
LIMITS = (
    (
        "A difference is a difference on these walks.",
        "Intervals and tests resample the people who are here; they say nothing of other places or sensors.",
    ),
    (
        "Attention is not credit.",
        "It says where the fusion looked, not what it needed; what is lost without a modality stands under "
        "“Leave one out”.",
    ),
    (
        "A modality is credited with its streams.",
        "Where a silhouette was cut out of a depth image, the table of streams says depth.",
    ),
)


def write(report: AblationReport, folder: Path, *, embeddings: str, plots: bool) -> list[Path]:
    """Write ``ablation.json``, ``.csv``, ``.md``, ``.tex``, ``.html``, ``sweeps.csv``, ``plots/*.svg`` and
    ``embeddings.npz`` or ``.parquet``; returns what was written.

    Raises:
        ConfigError: ``embeddings`` is not "npz", "parquet" or "none".
        MissingDependency: plots without matplotlib, or Parquet without pyarrow.
    """
    if embeddings not in EMBEDDINGS:
        raise ConfigError(f"embeddings: {' or '.join(EMBEDDINGS)}, not {embeddings!r}")
    folder.mkdir(parents=True, exist_ok=True)
    tables, pictures = tables_of(report), plots_of(report) if plots else {}
    texts = {
        "ablation.json": json.dumps(report.to_dict(), indent=1, allow_nan=False) + "\n",
        "ablation.csv": to_csv(report.figures),
        "ablation.md": to_markdown(tables),
        "ablation.tex": to_latex(tables),
        **({"sweeps.csv": to_csv(report.sweeps)} if report.sweeps else {}),
        **{f"plots/{name}.svg": svg for name, svg in pictures.items()},
    }
    written = []
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        written.append(path)
    written.append(_page(report, folder / "ablation.html", pictures))
    if embeddings != "none":
        written.append(report.embeddings.save(folder / f"embeddings.{embeddings}"))
    return written


def _page(report: AblationReport, path: Path, pictures: dict[str, str]) -> Path:
    shown = [ReportTable(t.title, t.columns, list(t.rows), t.note) for t in tables_of(report)]
    lead = (
        f"{2 ** len(report.modalities) - 1} subsets of {len(report.modalities)} modalities on {report.walks} "
        f"walks of {report.people} people: {report.probes} probes against {report.gallery} gallery walks."
    )
    return write_ablation_report(
        path,
        setting=report.data,
        lead=lead,
        tables=shown,
        pictures=[Picture(name, svg) for name, svg in pictures.items()],
        notes=LIMITS,
    )
