"""Cards: a page beside every set of weights and every data set, with fields that a program can check.

A card is Markdown with YAML front matter. The fields of :class:`ModelCard` and :class:`DataCard` are the
schema; a card that leaves one empty is refused when it is written and when it is read.

>>> card = parse(ModelCard, "---\\nname: silhouette\\n---\\nText.", "silhouette.md")
Traceback (most recent call last):
gait3dlib.errors.ConfigError: silhouette.md.licence: missing; ...
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import yaml

from gait3dlib import _resources, config
from gait3dlib.errors import ConfigError, UnknownComponent, did_you_mean

C = TypeVar("C", bound="_Card")
Metric = float | int | str | list[float]
_MAX_BYTES = 1_000_000
_FENCE = "---\n"


@dataclass(frozen=True, kw_only=True)
class _Card:
    name: str
    licence: str
    people: int
    limits: list[str]
    must_not_be_used_for: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON or YAML."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class ModelCard(_Card):
    """What one weights file is.

    Args:
        name: the file's name without its suffix.
        task: what goes in and what comes out.
        licence: SPDX name.
        data: names of the data cards it was trained on.
        people: how many people it was trained on.
        metrics: measured figures by name; a group of them may be nested once.
        limits: where it is known or likely to fail.
        must_not_be_used_for: uses that the authors rule out.
        config: the config file it was trained from.
        commit: of the code that trained it.
        fingerprint: :func:`fingerprint` of the weights file, so that an outdated card is noticed.
    """

    task: str
    data: list[str]
    metrics: dict[str, Metric | dict[str, Metric]]
    config: str
    commit: str
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class DataCard(_Card):
    """What one data set is.

    Args:
        name: the file's name without its suffix.
        licence: of the data, in one line.
        source: where it comes from.
        consent: what the people in it agreed to.
        people: how many there are; 0 where they are drawn afresh by a generator.
        streams: names of the streams it holds.
        labels: what is known about each person.
        covariates: what varies between the walks of one person.
        splits: who is trained on, validated on, tested on.
        bias: whom it does not represent.
        limits: what it cannot show.
        must_not_be_used_for: uses that the authors rule out.
    """

    source: str
    consent: str
    streams: list[str]
    labels: list[str]
    covariates: list[str]
    splits: str
    bias: list[str]


def read(kind: type[C], path: Path | str) -> tuple[C, str]:
    """A card's fields and its text.

    Raises:
        ConfigError: it cannot be read, has no front matter, or a field is missing, empty or unknown.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ConfigError(f"{path}: larger than {_MAX_BYTES} bytes; a card is a page of text")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); a card is a Markdown file") from error
    return parse(kind, text, str(path))


def parse(kind: type[C], text: str, where: str) -> tuple[C, str]:
    """Fields and body of a card's text; ``where`` names it in errors."""
    head, fence, body = text.removeprefix(_FENCE).partition("\n" + _FENCE)
    if not text.startswith(_FENCE) or not fence:
        raise ConfigError(f"{where}: a card starts with YAML fields between two lines of ---")
    try:
        values = yaml.safe_load(head)
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: the fields are not safe YAML: {' '.join(str(error).split())}") from error
    card = config.build(kind, values, where)
    _check_filled(card, where)
    return card, body.strip()


def write(path: Path | str, card: _Card, body: str) -> None:
    """Write a card; what :func:`read` would refuse is refused here.

    Raises:
        ConfigError: a field is empty, or of the wrong type.
    """
    head = yaml.safe_dump(card.to_dict(), sort_keys=False, allow_unicode=True, width=100)
    text = f"{_FENCE}{head}{_FENCE}\n{body.strip()}\n"
    parse(type(card), text, str(path))
    Path(path).write_text(text, encoding="utf-8")


def fingerprint(path: Path | str) -> str:
    """SHA-256 of a weights file, in hexadecimal: what its card must say."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_weights(folder: Path | str) -> list[tuple[ModelCard, str]]:
    """The cards of a folder of weights, the fusion's first; each belongs to the file beside it.

    Raises:
        ConfigError: no weights, a file without a card, or a card of another file.
    """
    files = sorted(Path(folder).glob("*.safetensors"), key=lambda path: (path.stem != "fusion", path.stem))
    if not files:
        raise ConfigError(f"{folder}: no weights here; a folder of weights holds .safetensors files")
    found = []
    for file in files:
        path = file.with_suffix(".md")
        if not path.is_file():
            raise ConfigError(f"{file}: has no card; gait3d train writes one beside every file it makes")
        card, body = read(ModelCard, path)
        if card.fingerprint != fingerprint(file):
            raise ConfigError(f"{path}: the card of another file than {file.name}; keep the two together")
        found.append((card, body))
    return found


def page(held: Sequence[tuple[_Card, str]]) -> str:
    """Cards as one Markdown page for people: the fields as lists, then the text."""
    parts = []
    for card, body in held:
        title = [] if body.startswith("# ") else [f"# {card.name}"]
        fields_ = [
            f"- **{name.replace('_', ' ')}**: {_text(value)}" for name, value in card.to_dict().items()
        ]
        parts.append("\n\n".join([*title, body, "\n".join(fields_)]))
    return "\n\n".join(parts) + "\n"


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{name} {_text(item)}" for name, item in value.items())
    if isinstance(value, list):
        numbers = all(isinstance(item, float) for item in value)
        return ("[{}]" if numbers else "{}").format((", " if numbers else "; ").join(map(_text, value)))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def names() -> list[str]:
    """All cards that ship with the package, data sets and weights."""
    return sorted(_shipped())


def find(name: str) -> Path:
    """The file of a card by name: ``silhouette``, ``simulated_walkers``.

    Raises:
        UnknownComponent: no card has that name; the message says the nearest ones.
    """
    if name not in (shipped := _shipped()):
        raise UnknownComponent(f"no card is called {name!r}{did_you_mean(name, shipped)}")
    return shipped[name]


def _shipped() -> dict[str, Path]:
    folders = (_resources.shipped("data_cards"), _resources.weights_folder())
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.md"))}


def _check_filled(card: _Card, where: str) -> None:
    for field in fields(card):
        value = getattr(card, field.name)
        parts = value if isinstance(value, list) else [value]
        if not parts or any(part is None or part == {} or not str(part).strip() for part in parts):
            raise ConfigError(f"{where}.{field.name}: empty; every field of a card must say something")
    if card.people < 0:
        raise ConfigError(f"{where}.people: must not be negative")
