"""Every card has its fields, and every weights file has a card that belongs to it."""

from __future__ import annotations

import sys
from pathlib import Path

from gait3dlib import _resources, cards
from gait3dlib.errors import ConfigError

MAX_BYTES = 4 * 1024**2  # a set of default weights comes with every install


def problems(weights: Path, data_cards: Path) -> list[str]:
    """One sentence a problem; an empty list when all is well."""
    found: list[str] = []
    data = {path.stem for path in data_cards.glob("*.md")}
    for path in sorted(data_cards.glob("*.md")):
        card = _read(cards.DataCard, path, found)
        if card is not None and card.name != path.stem:
            found.append(f"{path}: calls itself {card.name!r}")
    for path in sorted(weights.glob("*.safetensors")):
        if path.stat().st_size > MAX_BYTES:
            found.append(f"{path}: {path.stat().st_size} bytes, more than {MAX_BYTES}")
        found += _of_weights(path, data)
    for path in sorted(weights.glob("*.md")):
        if not path.with_suffix(".safetensors").is_file():
            found.append(f"{path}: a card without weights")
    return found


def _of_weights(path: Path, data: set[str]) -> list[str]:
    found: list[str] = []
    card = _read(cards.ModelCard, path.with_suffix(".md"), found)
    if card is None:
        return found
    if card.name != path.stem:
        found.append(f"{path}: its card calls it {card.name!r}")
    if card.fingerprint != cards.fingerprint(path):
        found.append(f"{path}: the card belongs to other weights; its fingerprint is {card.fingerprint}")
    found += [f"{path}: no data card is called {name!r}" for name in card.data if name not in data]
    return found


def _read(kind: type[cards.C], path: Path, found: list[str]) -> cards.C | None:
    try:
        return cards.read(kind, path)[0]
    except ConfigError as error:
        found.append(str(error))
        return None


def main() -> int:
    found = problems(_resources.weights_folder(), _resources.shipped("data_cards"))
    for line in found:
        print(line, file=sys.stderr)
    print(f"{len(cards.names())} cards, {len(found)} problems")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
