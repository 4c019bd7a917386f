"""What works on this machine: each package is imported and used once, and what fails comes with a remedy."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import numpy as np

from gait3dlib import _optional, _resources

CORE = ("numpy", "scipy", "h5py", "pydantic", "yaml", "typer", "rich")

# module -> name of the distribution, where they differ
DISTRIBUTIONS = {
    "yaml": "pyyaml",
    "cv2": "opencv-python-headless",
    "velodyne_decoder": "velodyne-decoder",
    "ouster": "ouster-sdk",
    "libusb_package": "libusb-package",
}

FREE_DISK = 2 * 1024**3  # about half an hour of compressed depth frames


@dataclass(frozen=True)
class Finding:
    """One thing that was tried: whether it works, which version, and what to do if it does not."""

    name: str
    ok: bool
    version: str = ""
    remedy: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


def check(folder: str | Path = ".") -> list[Finding]:
    """Try everything that gait3dlib can use on this machine.

    Args:
        folder: where recordings would be written; its disk is looked at.

    Returns:
        One finding a package or part. A missing extra is not ok, and its remedy is the command that
        installs it; nothing is raised, whatever is broken.
    """
    findings = [Finding("python", True, platform.python_version())]
    findings += [_try(module, partial(_import, module)) for module in CORE]
    findings += [_try(module, partial(_import, module)) for module in _optional.EXTRAS]
    works = {finding.name for finding in findings if finding.ok}
    parts: dict[str, tuple[str, Callable[[], str]]] = {
        "cuda": ("torch", _cuda),
        "pose models": ("mediapipe", _pose_models),
        "ray casting": ("embreex", _rays),
    }
    findings += [_try(name, part) for name, (package, part) in parts.items() if package in works]
    findings += [_try("libusb", _libusb), _try("weights", _weights)]
    findings.append(_try("disk", partial(_disk, Path(folder))))
    return findings


class _Broken(Exception):
    """Carries a version that was found and the remedy."""

    def __init__(self, version: str, remedy: str) -> None:
        super().__init__(remedy)
        self.version = version


def _try(name: str, probe: Callable[[], str]) -> Finding:
    """A doctor must not fall ill: a broken binary can raise anything at all on import."""
    try:
        return Finding(name, True, probe())
    except _Broken as error:
        return Finding(name, False, error.version, str(error))
    except Exception as error:
        return Finding(name, False, "", str(error) or type(error).__name__)


def _import(module: str) -> str:
    if module in CORE:
        import_module(module)
    else:
        _optional.require(module)
    try:
        return metadata.version(DISTRIBUTIONS.get(module, module))
    except metadata.PackageNotFoundError:  # another build of the same module, say opencv-python
        return str(getattr(sys.modules[module], "__version__", "version unknown"))


def _cuda() -> str:
    import torch

    if not torch.cuda.is_available():
        return "none, the CPU is used"
    return f"{torch.version.cuda}, {torch.cuda.get_device_name(0)}"


def _pose_models() -> str:
    """Bundled models: their files are there, and an empty picture goes through them."""
    solutions = _optional.require("mediapipe").solutions
    with solutions.pose.Pose(static_image_mode=True, model_complexity=1) as pose:
        pose.process(np.zeros((64, 64, 3), np.uint8))
    return "pose, complexity 1"


def _rays() -> str:
    """One ray through a triangle, one past it."""
    scene_module = _optional.require("embreex.rtcore_scene")
    meshes = _optional.require("embreex.mesh_construction")
    scene = scene_module.EmbreeScene()
    meshes.TriangleMesh(scene, np.array([[[0, 0, 1], [1, 0, 1], [0, 1, 1]]], np.float32))
    origins = np.array([[0.2, 0.2, 0], [0.9, 0.9, 0]], np.float32)
    hits = scene.run(origins, np.array([[0, 0, 1], [0, 0, 1]], np.float32)).tolist()
    if hits != [0, -1]:
        raise _Broken("", "embreex answers wrongly; reinstall it: pip install --force-reinstall embreex")
    return "2 rays"


def _libusb() -> str:
    if not _optional.preload_libusb():
        raise _Broken("", "USB sensors need libusb; install it with: pip install 'gait3dlib[usb]'")
    return metadata.version("libusb-package")


def _weights() -> str:
    names = sorted(path.stem for path in _resources.weights_folder().glob("*.safetensors"))
    if not names:
        raise _Broken("", "no default weights are installed; train some with: gait3d train CONFIG")
    return ", ".join(names)


def _disk(folder: Path) -> str:
    free = shutil.disk_usage(folder).free
    text = f"{free / 1024**3:.1f} GiB free"
    if free < FREE_DISK:
        raise _Broken(text, f"recordings need space; free some on the disk of {folder.resolve()}")
    return text
