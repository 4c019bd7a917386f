"""Every training config and protocol is known down to its last word, and builds what it describes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gait3dlib import _resources, config, protocols, training
from gait3dlib.data.augment import Augment
from gait3dlib.errors import Gait3DError
from gait3dlib.fusion import weights
from gait3dlib.training.identity import IdentityLoss
from gait3dlib.training.schedule import Schedule


def problems(folder: Path) -> list[str]:
    """One sentence a problem; an empty list when all is well."""
    found = []
    for path, check in _checks(folder):
        try:
            check(config.read(path))
        except Gait3DError as error:
            found.append(f"{path.relative_to(folder)}: {error}")
    return found


def _checks(folder: Path) -> Iterator[tuple[Path, Callable[[dict[str, Any]], object]]]:
    for path in sorted(folder.rglob("*.yaml")):
        if path.parent.name != "protocols":
            yield path, _recipe
    for path in sorted(folder.glob("protocols/*.yaml")):
        yield path, lambda values, path=path: protocols.read(path)


def _recipe(values: dict[str, Any]) -> None:
    _, checked = training.check_config(values)
    config.build(Schedule, checked["schedule"] or {}, "schedule")
    config.build(Augment, checked["augment"] or {}, "augment")
    config.build(IdentityLoss, checked["identity"] or {}, "identity")
    if "modality" in checked:
        for name, settings in checked["modality"].items():
            weights.make_modality(name, settings).encoder(checked["dim"])
    if "modalities" in checked:
        weights.untrained({name: {} for name in checked["modalities"]}, checked["fusion"])


def main() -> int:
    folder = _resources.shipped("configs")
    found = problems(folder)
    for line in found:
        print(line, file=sys.stderr)
    print(f"{len(list(_checks(folder)))} configs, {len(found)} problems")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
