"""Reading a checkpoint that came from outside: tensors and nothing else."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import torch

from gait3dlib.errors import WeightsError
from gait3dlib.opengait._architecture import State

_MAX_BYTES = 8 * 1024**3  # 100,000 classes in a training checkpoint take half of it


def read(path: Path) -> State:
    """The state dict of a ``.pt`` file: its tensors by OpenGait's names.

    It may lie under ``"model"``, and its names may begin with ``module.`` (DataParallel).

    Raises:
        WeightsError: missing, truncated, too large, holding more than tensors, or holding no state dict.
    """
    _check_file(path)
    try:
        # mapped, what the optimiser left in a file is never read
        held = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # torch has no one error for damage
        if "GLOBAL" in str(error):  # the step of a pickle that names a function or class
            raise WeightsError(
                f"{path}: holds more than tensors, and a pickle can run code, so it is not read; save its "
                "state dict alone"
            ) from error
        raise WeightsError(f"{path}: truncated, damaged or not a checkpoint; copy it again") from error
    if isinstance(held, dict) and isinstance(held.get("model"), dict):
        held = held["model"]
    return _checked(path, held)


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise WeightsError(f"{path}: no such checkpoint; give the path of a .pt file")
    size = path.stat().st_size
    if zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                entries = archive.infolist()
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise WeightsError(f"{path}: truncated, damaged or not a checkpoint; copy it again") from error
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise WeightsError(f"{path}: a compressed archive, which torch.save never writes; save it again")
        size = max(size, sum(entry.file_size for entry in entries))
    if size > _MAX_BYTES:
        raise WeightsError(f"{path}: larger than {_MAX_BYTES // 1024**3} GiB, which no such checkpoint is")


def _checked(path: Path, held: Any) -> State:
    if not isinstance(held, dict) or not held:
        raise WeightsError(f"{path}: holds no state dict; save model.state_dict(), or one under 'model'")
    for key, tensor in held.items():
        if not (isinstance(key, str) and isinstance(tensor, torch.Tensor)):
            raise WeightsError(
                f"{path}: {str(key)[:80]!r} is no tensor; save model.state_dict(), or one under 'model'"
            )
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex():
            raise WeightsError(f"{path}: {key!r} is no plain tensor of numbers; save it in floating point")
        # a stride of 0 makes terabytes out of one number
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise WeightsError(f"{path}: {key!r} claims more numbers than the file holds; copy it again")
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise WeightsError(f"{path}: {key!r} holds NaN or infinity; take an earlier checkpoint")
    if all(key.startswith("module.") for key in held):
        return {key.removeprefix("module."): tensor for key, tensor in held.items()}
    return dict(held)
