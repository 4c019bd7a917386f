"""gait3dlib: who walks there, from silhouettes, skeletons and (as they land) any other sensor.

>>> import gait3dlib
>>> pipeline = gait3dlib.Pipeline(modalities=["silhouette", "skeleton_map"])  # doctest: +SKIP

Everything is imported on first use, so ``import gait3dlib`` is fast and does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# public name -> module that holds it
_PUBLIC = {
    "AblationReport": "gait3dlib.ablation",
    "Pipeline": "gait3dlib.pipeline",
    "ablate": "gait3dlib.ablation",
    "GaitSequence": "gait3dlib.types",
    "Stream": "gait3dlib.types",
    "Calibration": "gait3dlib.types",
    "Labels": "gait3dlib.types",
    "Meta": "gait3dlib.types",
    "Recognition": "gait3dlib.types",
    "Verification": "gait3dlib.types",
    "align": "gait3dlib.types",
    "Recording": "gait3dlib.recording",
    "load": "gait3dlib.recording",
    "save": "gait3dlib.recording",
    "open_data": "gait3dlib.data.sets",
    "open_recording": "gait3dlib.recording",
    "recover": "gait3dlib.recording",
    "errors": "gait3dlib.errors",
    "opengait": "gait3dlib.opengait",
}

__all__ = ["__version__", *sorted(_PUBLIC)]

if TYPE_CHECKING:
    from gait3dlib import errors as errors
    from gait3dlib import opengait as opengait
    from gait3dlib.ablation import AblationReport as AblationReport
    from gait3dlib.ablation import ablate as ablate
    from gait3dlib.data.sets import open_data as open_data
    from gait3dlib.pipeline import Pipeline as Pipeline
    from gait3dlib.recording import Recording as Recording
    from gait3dlib.recording import load as load
    from gait3dlib.recording import open_recording as open_recording
    from gait3dlib.recording import recover as recover
    from gait3dlib.recording import save as save
    from gait3dlib.types import Calibration as Calibration
    from gait3dlib.types import GaitSequence as GaitSequence
    from gait3dlib.types import Labels as Labels
    from gait3dlib.types import Meta as Meta
    from gait3dlib.types import Recognition as Recognition
    from gait3dlib.types import Stream as Stream
    from gait3dlib.types import Verification as Verification
    from gait3dlib.types import align as align


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'gait3dlib' has no attribute {name!r}")
    module = importlib.import_module(_PUBLIC[name])
    value = module if _PUBLIC[name] == f"gait3dlib.{name}" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
