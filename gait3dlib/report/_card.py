"""The card of one walk: the answer and the truth, candidates, estimates, and what the sensors saw."""

from __future__ import annotations

import hashlib

import numpy as np

from gait3dlib.report import _media
from gait3dlib.report._html import Html, fill, join
from gait3dlib.report._walks import Outcome, ReportWalk
from gait3dlib.types import Labels, Recognition

TONES = {
    Outcome.RIGHT: "good",
    Outcome.HELD_BACK: "good",
    Outcome.WRONG: "bad",
    Outcome.FALSE_ALARM: "bad",
    Outcome.MISSED: "warn",
    Outcome.OPEN: "open",
}
CANDIDATES = 5
AGES = (0.0, 100.0)
BMIS = (12.0, 45.0)


def card(index: int, walk: ReportWalk, end: Outcome, meshes: dict[str, Html]) -> Html:
    """The card of walk number ``index``; meshes it needs are added to ``meshes``, each once."""
    answer, truth = walk.recognition, walk.truth_identity
    stranger = end in (Outcome.HELD_BACK, Outcome.FALSE_ALARM)
    return fill(
        "card",
        number=index,
        title=walk.title,
        tone=TONES[end],
        icon=icon(end),
        verdict=end.value,
        said=answer.identity,
        said_note=f"best score {signed(answer.score)}" if answer.candidates else "nobody to compare with",
        truth=truth or "not known",
        truth_note="" if truth is None else "a stranger, not enrolled" if stranger else "enrolled",
        threshold=signed(answer.threshold),
        threshold_at=_at(answer.threshold, (0, 1)),
        candidates=join(_candidates(answer, truth)),
        estimates=_estimates(answer, walk.truth_labels or Labels()),
        stages=_stages(walk, meshes),
        shares=_shares(answer),
    )


def icon(end: Outcome) -> Html:
    """A mark that tells the outcome without colour."""
    return fill("icon", tone=TONES[end])


def signed(value: float) -> str:
    """A score to three decimals, with a true minus sign."""
    return f"{value:.3f}".replace("-", "−")


def number(value: float | None, decimals: int) -> str | None:
    """A number to so many decimals; None stays None."""
    return None if value is None else f"{value:.{decimals}f}"


def gender(female: float | None) -> str | None:
    """The likelier gender and its probability; None stays None."""
    if female is None:
        return None
    name, probability = ("female", female) if female >= 0.5 else ("male", 1 - female)
    return f"{name}, {100 * probability:.0f} %"


def _candidates(answer: Recognition, truth: str | None) -> list[Html]:
    return [
        fill(
            "candidate",
            name=candidate.subject,
            true="true" if candidate.subject == truth else "",
            above="above" if candidate.score >= answer.threshold else "",
            at=_at(candidate.score, (0, 1)),
            score=signed(candidate.score),
        )
        for candidate in answer.candidates[:CANDIDATES]
    ]


def _estimates(answer: Recognition, truth: Labels) -> Html:
    rows = []
    for name, unit, estimate, real, span, decimals in (
        ("Age", "years", answer.age_years, truth.age_years, AGES, 0),
        ("BMI", "kg/m²", answer.bmi_kg_m2, truth.bmi_kg_m2, BMIS, 1),
    ):
        if estimate is not None:
            mean, sd = estimate.mean, estimate.sd
            marks = fill(
                "marks",
                low=_at(mean - sd, span),
                high=_at(mean + sd, span),
                mean=_at(mean, span),
                truth=_mark(real, span),
            )
            value = f"{mean:.{decimals}f} ± {sd:.{decimals}f} {unit}"
            rows.append(
                fill("estimate", name=name, value=value, marks=marks, truth=_really(number(real, decimals)))
            )
    said = gender(answer.female)
    if said is not None and answer.female is not None:
        at = _at(answer.female, (0, 1))
        real = None if truth.gender is None else float(truth.gender == "female")
        marks = fill("marks", low="0.5", high="0.5", mean=at, truth=_mark(real, (0, 1)))
        rows.append(fill("estimate", name="Gender", value=said, marks=marks, truth=_really(truth.gender)))
    return fill("estimates", rows=join(rows)) if rows else Html()


def _really(value: str | None) -> str:
    return "" if value is None else f"really {value}"


def _mark(value: float | None, span: tuple[float, float]) -> Html:
    return Html() if value is None else fill("truth_mark", at=_at(value, span))


def _stages(walk: ReportWalk, meshes: dict[str, Html]) -> Html:
    figures = []
    if walk.silhouettes is not None:
        sheet, frames = _media.sheet(walk.silhouettes)
        fps = f"{walk.fps * frames / len(walk.silhouettes):.4g}"
        figures.append(fill("silhouettes", sheet=sheet, frames=frames, fps=fps))
    if walk.skeleton_maps is not None:
        # squared for the eye: the maps are so soft that limbs would run into each other on a screen
        crisp = (walk.skeleton_maps.astype(np.uint16) ** 2 // 255).astype(np.uint8)
        (limbs, frames), (joints, _) = (_media.sheet(crisp[:, i]) for i in (0, 1))
        fps = f"{walk.fps * frames / len(walk.skeleton_maps):.4g}"
        figures.append(fill("skeleton_maps", limbs=limbs, joints=joints, frames=frames, fps=fps))
    if walk.body_vertices is not None and walk.body_faces is not None:
        faces = _media.faces(walk.body_faces, walk.body_vertices.shape[1])
        mesh = "mesh-" + hashlib.sha256(faces.encode()).hexdigest()[:12]
        meshes.setdefault(mesh, fill("mesh", mesh=mesh, faces=faces))
        body = _media.body(walk.body_vertices)
        figures.append(
            fill(
                "body",
                mesh=mesh,
                vertices=body.vertices,
                frames=body.frames,
                step=f"{body.step:.8g}",
                seconds=f"{walk.body_seconds:.3f}",
                caption=walk.body_caption,
            )
        )
    return fill("stages", figures=join(figures)) if figures else Html()


def _shares(answer: Recognition) -> Html:
    if not answer.weights:
        return Html()
    total = sum(answer.weights.values()) or 1.0
    shares = [(name, value / total) for name, value in answer.weights.items()]
    return fill(
        "shares",
        stack=join(fill("share", index=i % 6, value=f"{v:.4f}") for i, (_, v) in enumerate(shares)),
        items=join(
            fill("share_item", index=i % 6, name=n.replace("_", " "), percent=f"{100 * v:.0f} %")
            for i, (n, v) in enumerate(shares)
        ),
    )


def _at(value: float, span: tuple[float, float]) -> str:
    """Where a value lies in a span, 0 to 1, held inside."""
    return f"{min(1.0, max(0.0, (value - span[0]) / (span[1] - span[0]))):.4f}"
