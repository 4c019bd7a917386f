"""An ablation as tables: CSV for programs, Markdown and LaTeX for papers."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gait3dlib.ablation._judge import Figure
from gait3dlib.ablation._report import AblationReport, record

PERCENT = ("rank-1", "mAP", "EER")
UNITS = {"age MAE": "years", "BMI MAE": "kg/m²", "gender AUC": ""} | dict.fromkeys(PERCENT, "%")
SURE = 0.05


@dataclass(frozen=True)
class Table:
    """Cells of text under headings; the first column names the row."""

    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def tables_of(report: AblationReport) -> list[Table]:
    """Everything that was measured, most important first."""
    tables = main_tables(report)
    tables += [covariate_table(report, name, m) for name in report.covariates for m in report.measures]
    tables += sweep_tables(report)
    tables += [_shares_table(report), _streams_table(report)]
    return [table for table in tables if table.rows]


def main_tables(report: AblationReport) -> list[Table]:
    """Every subset, and what goes with each modality."""
    return [table for table in (subsets_table(report), leave_one_out_table(report)) if table.rows]


def subsets_table(report: AblationReport) -> Table:
    """Every subset, smallest first."""
    by_measure = {measure: report.rows(measure) for measure in report.measures}
    names = sorted(dict.fromkeys(n for rows in by_measure.values() for n in rows), key=lambda n: (len(n), n))
    rows = [(" + ".join(n), *(_cell(by_measure[m].get(n)) for m in report.measures)) for n in names] + [
        ("chance", *(_chance(by_measure[m]) for m in report.measures))
    ]
    note = (
        f"{report.people} people, {report.probes} probes, {report.gallery} gallery walks; 95 % intervals of "
        f"people. * not all modalities' (sign-flip test over people, Holm, p < {SURE:g}). Chance: random "
        "order; the mean of the training people; 0.5."
    )
    return Table(
        "Every subset of the modalities", note, ("modalities", *map(heading, report.measures)), tuple(rows)
    )


def leave_one_out_table(report: AblationReport) -> Table:
    """What goes with each modality: the figure without it, minus the one with all."""
    without = {measure: report.leave_one_out(measure) for measure in report.measures if measure != "EER"}
    rows = tuple(
        (name, *(_difference(without[m][name]) if name in without[m] else "-" for m in without))
        for name in report.modalities
        if len(report.modalities) > 1
    )
    note = (
        "Difference to all modalities, on the same walks, with its paired 95 % interval. "
        f"* p < {SURE:g} (Holm, among all subsets). Errors rise where a modality is missed; shares fall."
    )
    return Table("Leave one out", note, ("without", *map(heading, without)), rows)


def covariate_table(report: AblationReport, covariate: str, measure: str) -> Table:
    """One measure by the values of a covariate."""
    levels = report.covariates[covariate]
    by_level = {level: report.rows(measure, covariate, level) for level in levels}
    levels = [level for level in levels if by_level[level]]
    names = sorted(dict.fromkeys(n for level in levels for n in by_level[level]), key=lambda n: (len(n), n))
    rows = tuple((" + ".join(n), *(_cell(by_level[v].get(n)) for v in levels)) for n in names)
    counts = ", ".join(f"{v} {_counts(by_level[v])}" for v in levels)
    note = f"Probes of that {covariate}; the gallery is the same. People / walks: {counts}."
    return Table(f"{heading(measure)} by {covariate}", note, ("modalities", *levels), rows)


def sweep_tables(report: AblationReport) -> list[Table]:
    """One table a kind of corruption and measure."""
    found = []
    clean = {f.measure: f for f in report.sweeps if not f.corruption}
    for kind in dict.fromkeys(f.corruption for f in report.sweeps if f.corruption):
        held = [f for f in report.sweeps if f.corruption == kind]
        strengths = sorted({f.strength for f in held})
        for measure in report.measures:
            cells = {(f.name, f.corrupted, f.strength): f for f in held if f.measure == measure}
            pairs = sorted({(name, hit) for name, hit, _ in cells}, key=lambda x: (x[1], -len(x[0])))
            rows = tuple(
                (hit, name, *(_cell(cells.get((name, hit, s))) for s in strengths)) for name, hit in pairs
            )
            note = f"One modality of the probes at a time. Nothing done: {_cell(clean.get(measure))}."
            columns = ("corrupted", "modalities", *(f"{s:g}" for s in strengths))
            if rows:
                found.append(Table(f"{heading(measure)}: {kind.replace('_', ' ')}", note, columns, rows))
    return found


def _shares_table(report: AblationReport) -> Table:
    rows = tuple(
        (part, *(f"{100 * shares[n]:.1f}" if n in shares else "-" for n in report.modalities))
        for part, shares in report.attention.items()
    )
    note = "Mean share, in %, of the identity queries' attention that a modality gets, of walks that have it."
    return Table("Attention", note, ("walks", *report.modalities), rows)


def _streams_table(report: AblationReport) -> Table:
    rows = tuple((name, used, str(n)) for name, held in report.streams.items() for used, n in held.items())
    note = "What each modality was really made from; what is derived is credited to its source."
    return Table("Streams used", note, ("modality", "made from", "walks"), rows)


def heading(measure: str) -> str:
    """The measure with its unit."""
    unit = UNITS[measure]
    return f"{measure}, {unit}" if unit else measure


def text_of(measure: str, figure: Figure) -> str:
    """A figure with its interval, in its unit."""
    return figure.value.percent() if measure in PERCENT else figure.value.plain()


def surely(figure: Figure) -> bool:
    """Whether it differs from all modalities beyond chance."""
    return figure.p_holm < SURE


def _cell(figure: Figure | None) -> str:
    return "-" if figure is None else text_of(figure.measure, figure) + ("*" if surely(figure) else "")


def _difference(figure: Figure) -> str:
    share = figure.measure in PERCENT
    scale, digits = (100.0, 1) if share else (1.0, 2)
    apart = figure.difference
    if apart.value != apart.value:
        return "-"
    low, high = (f"{scale * x:+.{digits}f}" for x in (apart.low, apart.high))
    return f"{scale * apart.value:+.{digits}f} [{low}, {high}]" + ("*" if surely(figure) else "")


def _chance(rows: Mapping[tuple[str, ...], Figure]) -> str:
    figure = next(iter(rows.values()), None)
    if figure is None or figure.chance != figure.chance:
        return "-"
    return f"{100 * figure.chance:.1f}" if figure.measure in PERCENT else f"{figure.chance:.2f}"


def _counts(rows: Mapping[tuple[str, ...], Figure]) -> str:
    figure = next(iter(rows.values()))
    return f"{figure.people}/{figure.walks}"


def to_csv(figures: Sequence[Figure]) -> str:
    """One row a figure; a value that cannot be told is empty."""
    out = io.StringIO()
    rows = [record(figure) for figure in figures]
    writer = csv.DictWriter(out, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def to_markdown(tables: Sequence[Table]) -> str:
    """All tables under headings."""
    parts = []
    for table in tables:
        rule = ["---", *["---:"] * (len(table.columns) - 1)]
        lines = [list(table.columns), rule, *map(list, table.rows)]
        body = "\n".join("| " + " | ".join(c.replace("|", "\\|") for c in line) + " |" for line in lines)
        parts.append(f"## {table.title}\n\n{table.note}\n\n{body}\n")
    return "\n".join(parts)


_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "²": "$^2$"}
_LATEX |= {c: f"\\{c}" for c in "&%$#_{}"}


def to_latex(tables: Sequence[Table]) -> str:
    """All tables, for ``booktabs``."""
    parts = ["% needs \\usepackage{booktabs}"]
    for table in tables:
        lines = [" & ".join(map(_latex, row)) + r" \\" for row in (table.columns, *table.rows)]
        parts += [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_latex(table.title)}. {_latex(table.note)}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}",
            r"\toprule",
            lines[0],
            r"\midrule",
            *lines[1:],
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    return "\n".join(parts)


def _latex(text: str) -> str:
    return "".join(_LATEX.get(c, c) for c in text)
