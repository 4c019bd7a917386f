"""Optional packages, imported when first needed; what is missing is named with the extra that brings it."""

from __future__ import annotations

import ctypes
import importlib
from types import ModuleType

from gait3dlib.errors import MissingDependency

# module -> (the extra that brings it, a remark for the error where pip alone does not do)
EXTRAS: dict[str, tuple[str, str]] = {
    "torch": ("model", ""),
    "safetensors": ("model", ""),
    "lightning": ("train", ""),
    "tensorboard": ("train", ""),
    "cv2": ("video", ""),
    "onnxruntime": ("onnx", ""),
    "onnx": ("onnx", ""),
    "embreex": ("simulation", ""),
    "smplx": ("smpl", ""),
    "velodyne_decoder": ("velodyne", ""),
    # ouster-sdk pins an old click, a web server and its own tests' packages, and needs none of them here
    "ouster": ("ouster", " and then: pip install --no-deps ouster-sdk==1.0.1"),
    "rosbags": ("bags", ""),
    "pyrealsense2": ("realsense", ""),
    "rerun": ("view", ""),
    "spconv": ("sparse", ""),
    "pyarrow": ("parquet", ""),
    "matplotlib": ("plots", ""),
    "torch_geometric": ("force", ""),
    # mediapipe asks for jax and for a second OpenCV build, and needs neither
    "mediapipe": ("pose", " and then: pip install --no-deps mediapipe==0.10.14"),
}

# libraries of the system that optional packages link -> Debian's package
SYSTEM_PACKAGES = {"libGL.so.1": "libgl1", "libEGL.so.1": "libegl1", "libgomp.so.1": "libgomp1"}

# Packages whose binaries link libusb-1.0, which a bare machine lacks; PyPI's libusb-package carries it.
NEEDS_LIBUSB = frozenset({"pyrealsense2", "open3d"})


def require(module: str) -> ModuleType:
    """Import an optional module.

    Raises:
        MissingDependency: it is not installed; the message is the command that installs it.
    """
    if module.partition(".")[0] in NEEDS_LIBUSB:
        preload_libusb()
    try:
        return importlib.import_module(module)
    except ImportError as error:
        top = module.partition(".")[0]
        if "cannot open shared object file" in str(error):
            library = str(error).partition(":")[0]
            package = SYSTEM_PACKAGES.get(library, f"the package that holds {library}")
            raise MissingDependency(
                f"{top} needs {library}, which this machine lacks; on Debian: apt install {package}"
            ) from error
        extra, remark = EXTRAS.get(top, ("all", ""))
        raise MissingDependency(
            f"{top} is needed here and cannot be imported ({error}); "
            f"install it with: pip install 'gait3dlib[{extra}]'{remark}"
        ) from error


def preload_libusb() -> bool:
    """Load the libusb that PyPI's ``libusb-package`` carries; False where that package is absent."""
    try:
        package = importlib.import_module("libusb_package")
    except ImportError:
        return False
    ctypes.CDLL(str(package.get_library_path()), mode=ctypes.RTLD_GLOBAL)
    return True
