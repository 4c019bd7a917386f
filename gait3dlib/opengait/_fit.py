"""What to say of a checkpoint that is not of the architecture that was named."""

from __future__ import annotations

from collections.abc import Mapping

from gait3dlib.opengait._architecture import Architecture, Shapes

_SHOWN = 2
_ALIKE = 0.1  # the share of tensors below which a checkpoint resembles nothing we know


def misfit(name: str, shapes: Shapes, known: Mapping[str, Architecture]) -> str:
    """Which tensors do not fit the named architecture, and which architecture they resemble most."""
    wanted = _wanted(known[name], shapes)
    wrong = [
        f"{key} is {'missing' if key not in shapes else list(shapes[key])} instead of {list(shape)}"
        for key, shape in wanted.items()
        if shapes.get(key) != shape
    ]
    alien = [f"{key} has no place in it" for key in shapes if key not in wanted]
    problems = [*wrong[:_SHOWN], *alien[:_SHOWN]]
    more = len(wrong) + len(alien) - len(problems)
    text = f"does not fit {name}: {'; '.join(problems)}" + (f"; and {more} more" if more else "")
    likeness = {other: _likeness(_wanted(entry, shapes), shapes) for other, entry in known.items()}
    best = max(likeness, key=lambda other: (likeness[other], other == name))
    if likeness[best] < _ALIKE:
        return f"{text}; it resembles no architecture that is read here: {', '.join(known)}"
    if best == name:
        return f"{text}; {name} is the likeliest architecture still, so the file is incomplete or was changed"
    certain = "it fits" if likeness[best] == 1 else "the likeliest architecture is"
    return f"{text}; {certain} {best}: load it with architecture={best!r}"


def _wanted(architecture: Architecture, shapes: Shapes) -> Shapes:
    """What the architecture would hold with settings as near to these shapes as can be."""
    settings = architecture.settings(shapes)
    network = None if settings is None else architecture.sketch(settings)
    network = network or architecture.sketch({})
    return Shapes() if network is None else architecture.shapes(network)


def _likeness(wanted: Shapes, shapes: Shapes) -> float:
    """The share of tensors, of both together, that have the same name and shape."""
    same = sum(shapes.get(key) == shape for key, shape in wanted.items())
    return same / max(len(wanted.keys() | shapes.keys()), 1)
