"""Run a protocol: a pipeline on a data set, by rules that are data.

A protocol is a YAML file, one of those in ``configs/protocols`` or your own. Of kind ``groups``
(:class:`~gait3dlib.evaluation.Groups`) are the protocols of public data sets; the others are cross-view tests
on our recordings (:class:`CrossView`).
"""

from __future__ import annotations

from pathlib import Path

from gait3dlib import _resources, config
from gait3dlib.errors import ConfigError, did_you_mean
from gait3dlib.evaluation import Groups, read_rules
from gait3dlib.protocols.cross_view import BASELINE, CrossView, ProtocolReport, evaluate
from gait3dlib.protocols.data_set import DataSetReport, evaluate_data_set

__all__ = [
    "BASELINE",
    "CrossView",
    "DataSetReport",
    "ProtocolReport",
    "evaluate",
    "evaluate_data_set",
    "find",
    "read",
]


def find(protocol: Path | str) -> Path:
    """The file of a protocol: a path as it is, else the shipped one of that name, such as ``casia_b``.

    Raises:
        ConfigError: there is none; says "did you mean".
    """
    path = Path(protocol)
    if path.exists():
        return path
    shipped = {p.stem: p for p in (_resources.shipped("configs") / "protocols").glob("*.yaml")}
    if str(protocol) not in shipped:
        raise ConfigError(f"there is no protocol {str(protocol)!r}{did_you_mean(str(protocol), shipped)}")
    return shipped[str(protocol)]


def read(protocol: Path | str) -> CrossView | Groups:
    """The rules of a protocol, by its file or its name.

    Raises:
        ConfigError: there is none, or it has unknown keys or wrong types.
    """
    path = find(protocol)
    values = config.read(path)
    kind = values.get("kind", "cross_view")
    if kind == "groups":
        return read_rules(values, path.stem)
    if kind != "cross_view":
        raise ConfigError(f"{path.stem}.kind: must be groups or cross_view, not {kind!r}")
    return config.build(CrossView, values, path.stem)
