"""The package as its users meet it: a light import, a public surface, a wheel that holds what it needs."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import json
import os
import pkgutil
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import gait3dlib
from gait3dlib import _optional, _resources
from tools import check_cards, check_configs

TOP = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))
HEAVY = {"torch", "cv2", "mediapipe", "lightning", "tensorboard", "embreex", "h5py", "scipy", "pydantic"}


def fresh(code: str) -> str:
    """What a new interpreter prints; coverage would slow it down and is kept out."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("COV")}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    return done.stdout


def test_importing_takes_less_than_300_ms_and_nothing_heavy() -> None:
    code = (
        # processor time: what else runs on the machine is not the import's fault
        "import sys, time; start = time.process_time(); import gait3dlib;"
        "print(time.process_time() - start); print(' '.join(sys.modules))"
    )
    runs = [fresh(code).splitlines() for _ in range(3)]
    assert min(float(seconds) for seconds, _ in runs) < 0.3
    assert not HEAVY & set(runs[0][1].split())


def test_walks_are_made_and_loaded_without_torch() -> None:
    code = "import sys, gait3dlib; gait3dlib.GaitSequence, gait3dlib.load; print(*sys.modules)"
    loaded = set(fresh(code).split())
    assert "h5py" in loaded
    assert not {"torch", "cv2", "mediapipe", "lightning"} & loaded


def test_public_names_resolve_have_docstrings_and_are_typed() -> None:
    for name in gait3dlib.__all__:
        thing = getattr(gait3dlib, name)
        assert name == "__version__" or inspect.getdoc(thing), name
    assert dir(gait3dlib) == sorted(gait3dlib.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'Pipelin'"):
        gait3dlib.Pipelin  # noqa: B018
    tree = ast.parse(Path(gait3dlib.__file__).read_text(encoding="utf-8"))
    (typed,) = (n for n in tree.body if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.unparse(n.test))
    imports = [node for node in ast.walk(typed) if isinstance(node, ast.ImportFrom)]
    seen = {alias.asname for node in imports for alias in node.names}
    assert seen == set(gait3dlib.__all__) - {"__version__"}, "what type checkers see is what there is"


def test_every_docstring_example_runs() -> None:
    examples = 0
    for info in pkgutil.walk_packages(gait3dlib.__path__, "gait3dlib."):
        if info.name.endswith("__main__"):
            continue
        module = importlib.import_module(info.name)
        result = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
        assert result.failed == 0, info.name
        examples += result.attempted
    assert examples > 0


def test_cards_and_configs_are_in_order() -> None:
    assert check_cards.problems(_resources.weights_folder(), _resources.shipped("data_cards")) == []
    assert check_configs.problems(_resources.shipped("configs")) == []


def test_each_optional_module_is_brought_by_the_extra_that_errors_name() -> None:
    extras = PYPROJECT["project"]["optional-dependencies"]
    distributions = {
        "cv2": "opencv-python-headless",
        "velodyne_decoder": "velodyne-decoder",
        "torch_geometric": "torch-geometric",
        "rerun": "rerun-sdk",
    }
    for module, (extra, remark) in _optional.EXTRAS.items():
        brought = {re.split(r"[<>=\[]", line)[0].strip() for line in extras[extra]}
        assert distributions.get(module, module) in brought or module in remark, module
    alone = {"all", "dev", "smpl", "view"}
    assert set(extras) - alone == set(re.findall(r"\w+", extras["all"][0].partition("[")[2]))


def test_every_direct_dependency_is_pinned_for_the_tests_and_has_a_floor() -> None:
    project = PYPROJECT["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    wanted = {line for group in groups for line in group if not line.startswith("gait3dlib[")}
    lines = (TOP / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {line.partition("==")[0].lower() for line in lines if "==" in line}
    for line in wanted:
        name, floor = re.match(r"([\w-]+)(>=[\d.]+)?", line).groups()  # type: ignore[union-attr]
        assert floor, f"{name} has no floor"
        assert name.lower() in pinned, f"{name} is not pinned"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=TOP, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path).namelist()


def test_the_wheel_holds_everything_that_ships(wheel: list[str]) -> None:
    listing = ["git", "ls-files", "gait3dlib", "configs", "data_cards"]
    tracked = subprocess.run(listing, cwd=TOP, check=True, capture_output=True, text=True).stdout.split()
    shipped = {path if path.startswith("gait3dlib/") else f"gait3dlib/{path}" for path in tracked}
    assert shipped - set(wheel) == set()
    assert "gait3dlib/_assets/body.npz" in wheel
    assert "gait3dlib/data_cards/simulated_walkers.md" in wheel


def test_the_wheel_holds_nothing_else(wheel: list[str]) -> None:
    tops = {name.partition("/")[0] for name in wheel}
    assert tops == {"gait3dlib", f"gait3dlib-{gait3dlib.__version__}.dist-info"}
    assert not [name for name in wheel if "__pycache__" in name]


def test_the_change_log_tells_of_this_version() -> None:
    text = (TOP / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## \[{re.escape(gait3dlib.__version__)}\] - \d{{4}}-\d\d-\d\d$", text, re.MULTILINE)


def test_notebooks_and_editors_see_types() -> None:
    assert (TOP / "gait3dlib/py.typed").is_file()
    assert json.dumps(PYPROJECT["project"]["classifiers"]).count("Typed") == 1
