"""What the documents say is true: links lead somewhere, Python runs, commands and targets exist."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest

TOP = Path(__file__).parents[2]
DOCS = sorted([*TOP.glob("*.md"), *(TOP / "docs").glob("*.md")])
PAGES = [*DOCS, *sorted((TOP / "data_cards").glob("*.md"))]
BLOCK = re.compile(
    r"(?:<!-- (?P<kind>\w+): (?P<value>[^>]*) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)```", re.DOTALL
)


def blocks(page: Path, language: str) -> list[re.Match[str]]:
    found = BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [m for m in found if m["language"] == language and m["kind"] != "file"]


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def command_lines() -> list[str]:
    """Every line of a shell block that runs something of ours, with the comments cut off."""
    lines = [line for page in DOCS for block in blocks(page, "bash") for line in block["text"].splitlines()]
    return sorted({line.partition("#")[0].strip() for line in lines if line.startswith(("gait3d ", "make "))})


PYTHON_PAGES = [page for page in DOCS if blocks(page, "python")]


def run(page: Path, *, without: str) -> None:
    """Run the Python blocks of a page one after the other, as a reader would."""
    space: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(page, "python"):
        if block["kind"] == "needs" and without in block["value"]:
            continue
        line = page.read_text(encoding="utf-8")[: block.start("text")].count("\n")
        exec(compile("\n" * line + block["text"], str(page), "exec"), space)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = target.partition("#")
        other = (page.parent / path).resolve() if path else page
        assert other.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(other), f"{page.name}: {target}"


@pytest.mark.parametrize("text", ["[x](none.md)", "# Here\n[x](#there)"])
def test_a_broken_link_is_noticed(tmp_path: Path, text: str) -> None:
    (tmp_path / "page.md").write_text(text)
    with pytest.raises(AssertionError):
        test_links_lead_somewhere(tmp_path / "page.md")


@pytest.mark.parametrize("page", PYTHON_PAGES, ids=lambda page: page.name)
def test_python_runs_on_a_machine_without_weights(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run(page, without="weights")


@pytest.fixture
def walk_files(tmp_path: Path, data_dir: Path) -> Path:
    """A folder as the first page supposes it: a recording of one walk, and a video."""
    from gait3dlib.recording import save
    from gait3dlib.simulation import observe, sample_walker

    walk, truth = observe(sample_walker(seed=1, index=0), seed=1, view_deg=90)
    save(tmp_path / "walk.h5", walk, truths=[truth])
    (tmp_path / "walk.mp4").symlink_to(data_dir / "sports2d" / "demo.mp4")
    return tmp_path


@pytest.mark.weights
@pytest.mark.data
def test_all_python_of_the_first_page_runs(
    walk_files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(walk_files)
    run(TOP / "README.md", without="nothing")
    printed = capsys.readouterr().out
    assert "walker-17" in printed or "unknown" in printed
    assert "Verification(same=" in printed


@pytest.mark.parametrize("line", command_lines())
def test_commands_and_targets_exist(line: str) -> None:
    """The words are parsed as the command line would, up to the point where it would start to work."""
    program, *words = shlex.split(line)
    if program == "make":
        targets = re.findall(r"^(\w+):", (TOP / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        assert set(words) <= set(targets)
        return
    verbs = _verbs()
    assert words[0] in verbs
    verbs[words[0]].make_context(words[0], words[1:])


def test_the_first_page_lists_every_verb() -> None:
    text = (TOP / "README.md").read_text(encoding="utf-8").partition("| verb |")[2].partition("\n\n")[0]
    rows = [line.split("|")[1] for line in text.splitlines()[2:]]
    assert {verb for row in rows for verb in re.findall(r"`(\w+)`", row)} == set(_verbs())


def test_the_design_lists_every_floor_of_the_house() -> None:
    """The page shows the layers that the import contract holds, in the same order."""
    text = (TOP / "docs/design.md").read_text(encoding="utf-8")
    house = text.partition("\ngait3dlib/\n")[2].partition("```")[0]
    shown = [set(re.split(r" {3,}", line.strip())[0].split()) for line in house.splitlines()]
    settings = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    (contract,) = (c for c in settings["contracts"] if c["id"] == "layers")
    folder = TOP / "gait3dlib"
    there = {p.stem for p in folder.glob("*.py")} | {p.parent.name for p in folder.glob("*/__init__.py")}
    held = [set(re.findall(r"\w+", layer)) & there for layer in contract["layers"]]
    assert shown == [layer for layer in held if layer]


def _verbs() -> dict[str, Any]:
    import typer

    from gait3dlib.cli import app

    return dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
