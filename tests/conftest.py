"""What all tests share: the real recordings, opt-in hardware, one thread a process."""

from __future__ import annotations

import os
from pathlib import Path

# before anything imports torch: tests run one process a core, and more threads only fight
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("GLOG_minloglevel", "2")

import pytest

from gait3dlib._resources import weights_folder

IN_CI = os.environ.get("CI", "").lower() not in ("", "0", "false")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--hardware", action="store_true", help="also run the tests that need a device")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--hardware"):
        skip = pytest.mark.skip(reason="needs a device on this machine; opt in with --hardware")
        for item in items:
            if item.get_closest_marker("hardware"):
                item.add_marker(skip)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """In CI nothing is skipped for want of data or weights: their absence is a failure."""
    if item.get_closest_marker("data"):
        _need(_data_folder() is not None, "real recordings: set GAIT3D_DATA to their folder")
    if item.get_closest_marker("weights"):
        _need(any(weights_folder().glob("*.safetensors")), "trained weights in gait3dlib/_weights")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real recordings."""
    folder = _data_folder()
    _need(folder is not None, "real recordings: set GAIT3D_DATA to their folder")
    assert folder is not None
    return folder


def _data_folder() -> Path | None:
    path = os.environ.get("GAIT3D_DATA")
    return Path(path) if path and Path(path).is_dir() else None


def _need(there: bool, what: str) -> None:
    if there:
        return
    if IN_CI:
        pytest.fail(f"CI must have {what}", pytrace=False)
    pytest.skip(f"needs {what}")
