"""Components by name, and what is optional."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gait3dlib import _optional, registry
from gait3dlib.errors import ConfigError, MissingDependency, UnknownComponent

TOP = Path(__file__).parents[2]


@pytest.fixture
def offer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Installs a distribution with one module and one entry point of kind "modality"."""
    monkeypatch.syspath_prepend(str(tmp_path))
    registry._plugins.cache_clear()

    def install(name: str, source: str) -> None:
        (tmp_path / f"plugged_{name}.py").write_text(source)
        monkeypatch.delitem(sys.modules, f"plugged_{name}", raising=False)
        info = tmp_path / f"plugged_{name}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: plugged_{name}\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[gait3dlib.modalities]\n{name} = plugged_{name}:Thing\n")
        registry._plugins.cache_clear()

    yield install
    sys.modules.pop("plugged_gadget", None)
    registry._plugins.cache_clear()


def test_names_are_the_files_and_listing_imports_nothing() -> None:
    for kind, package in registry.KINDS.items():
        folder = TOP / package.replace(".", "/")
        files = {path.stem for path in folder.glob("[!_]*.py")}
        assert files
        assert files <= set(registry.names(kind))
        assert registry.names(kind) == sorted(registry.names(kind))
    code = "from gait3dlib import registry; import sys; registry.names('modality'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=TOP)
    assert not {"torch", "cv2", "gait3dlib.modalities"} & set(done.stdout.split())


def test_unknown_names_say_the_nearest() -> None:
    with pytest.raises(UnknownComponent, match="unknown modality 'silhouete'; did you mean 'silhouette'"):
        registry.get("modality", "silhouete")
    with pytest.raises(UnknownComponent, match="kind of component 'modalty'; did you mean 'modality'"):
        registry.names("modalty")
    for name in ("_base", "../config", "", "silhouette.py"):
        with pytest.raises(UnknownComponent):
            registry.get("modality", name)


def test_class_names() -> None:
    assert registry.class_name("skeleton_map") == "SkeletonMap"
    assert registry.class_name("lidar") == "Lidar"


def test_a_plugin_is_found(offer: Callable[[str, str], None]) -> None:
    offer("gadget", "class Thing: x = 3\n")
    assert "gadget" in registry.names("modality")
    assert registry.get("modality", "gadget").x == 3


def test_a_plugin_cannot_take_a_shipped_name(offer: Callable[[str, str], None]) -> None:
    offer("silhouette", "class Thing: x = 3\n")
    assert registry.names("modality").count("silhouette") == 1
    assert registry.get("modality", "silhouette").__module__ == "gait3dlib.modalities.silhouette"


@pytest.mark.parametrize("source", ["import not_there_at_all\n", "class Other: pass\n"])
def test_a_broken_plugin_is_one_sentence(offer: Callable[[str, str], None], source: str) -> None:
    offer("gadget", source)
    with pytest.raises(ConfigError, match=r"plugged_gadget:Thing .* cannot be loaded"):
        registry.get("modality", "gadget")


def test_a_plugin_that_lacks_an_extra_says_which(offer: Callable[[str, str], None]) -> None:
    offer("gadget", "from gait3dlib._optional import require\nrequire('mediapipe.nothing_here')\n")
    with pytest.raises(MissingDependency, match=r"pip install 'gait3dlib\[pose\]'"):
        registry.get("modality", "gadget")


# ---- optional packages ----------------------------------------------------------------------------


def test_what_is_missing_is_named_with_the_command_that_brings_it() -> None:
    with pytest.raises(MissingDependency, match=r"pip install 'gait3dlib\[video\]'") as caught:
        _optional.require("cv2.nothing_here")
    assert isinstance(caught.value, ImportError)
    with pytest.raises(MissingDependency, match=r"gait3dlib\[all\]"):
        _optional.require("no_such_package_anywhere")
    assert _optional.require("json").loads("1") == 1


def test_a_lacking_library_of_the_system_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise ImportError("libGL.so.1: cannot open shared object file: No such file or directory")

    monkeypatch.setattr("importlib.import_module", broken)
    with pytest.raises(MissingDependency, match=r"ouster needs libGL.so.1, .*apt install libgl1$"):
        _optional.require("ouster.sdk.core")


def test_libusb_is_loaded_before_what_links_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _optional.preload_libusb(), "the extra 'usb' is part of the tests' set-up"
    called: list[bool] = []
    monkeypatch.setattr(_optional, "preload_libusb", lambda: called.append(True))
    with pytest.raises(MissingDependency):
        _optional.require("pyrealsense2.nothing_here")
    assert called == [True]
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "libusb_package", None)
    assert not _optional.preload_libusb()
