from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gait3dlib import _resources, cards
from gait3dlib.cli import app
from gait3dlib.errors import ConfigError, UnknownComponent
from tools.check_cards import problems

CARD = cards.ModelCard(
    name="silhouette",
    licence="Apache-2.0",
    people=1000,
    limits=["never saw a coat"],
    must_not_be_used_for=["watching people who did not agree"],
    task="silhouettes of a walk -> tokens",
    data=["walkers"],
    metrics={"rank1": 0.5, "chance": 0.01, "by view": {"90": [0.4, 0.6], "note": "é"}},
    config="silhouette.yaml",
    commit="0123456",
    fingerprint="0" * 64,
)
DATA = cards.DataCard(
    name="walkers",
    licence="CC0-1.0",
    people=0,
    limits=["none known"],
    must_not_be_used_for=["claims"],
    source="a generator",
    consent="not needed",
    streams=["silhouette"],
    labels=["subject"],
    covariates=["view"],
    splits="by seed",
    bias=["adults only"],
)


def test_a_card_comes_back_as_it_was_written(tmp_path: Path) -> None:
    cards.write(tmp_path / "silhouette.md", CARD, "# Silhouette\n\nText with --- in it.\n")
    card, text = cards.read(cards.ModelCard, tmp_path / "silhouette.md")
    assert card == CARD
    assert text == "# Silhouette\n\nText with --- in it."


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"limits": []}, "limits"),
        ({"limits": ["x", " "]}, "limits"),
        ({"must_not_be_used_for": []}, "must_not_be_used_for"),
        ({"task": "  "}, "task"),
        ({"metrics": {}}, "metrics"),
        ({"metrics": {"rank1": None}}, "metrics"),
        ({"people": -1}, "people"),
        ({"people": "many"}, "people"),
    ],
)
def test_an_empty_or_wrong_field_is_refused_by_name(
    tmp_path: Path, change: dict[str, Any], field: str
) -> None:
    with pytest.raises(ConfigError, match=rf"\.{field}\b"):
        cards.write(tmp_path / "x.md", dataclasses.replace(CARD, **change), "")
    assert not (tmp_path / "x.md").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# No fields\n", "starts with YAML fields"),
        ("---\nname: x\n", "starts with YAML fields"),
        ("---\nname: [\n---\n", "not safe YAML"),
        ("---\nname: !!python/object/apply:os.system [echo]\n---\n", "not safe YAML"),
        ("---\n- a\n---\n", "must be a mapping"),
        ("---\nname: x\nlicense: MIT\n---\n", "did you mean 'licence'"),
    ],
)
def test_a_bad_card_is_refused_with_the_reason(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "x.md").write_text(text)
    with pytest.raises(ConfigError, match=message):
        cards.read(cards.ModelCard, tmp_path / "x.md")


def test_a_card_that_is_not_there_or_no_page_of_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        cards.read(cards.DataCard, tmp_path / "none.md")
    (tmp_path / "long.md").write_bytes(b"-" * 1_000_001)
    with pytest.raises(ConfigError, match="larger than"):
        cards.read(cards.DataCard, tmp_path / "long.md")
    (tmp_path / "raw.md").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        cards.read(cards.DataCard, tmp_path / "raw.md")


def test_cards_that_ship_are_found_by_name() -> None:
    assert {"simulated_walkers", "sports2d_clip"} <= set(cards.names())
    assert cards.find("simulated_walkers").is_file()
    with pytest.raises(UnknownComponent, match="did you mean 'simulated_walkers'"):
        cards.find("simulated_walker")


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Weights with a card of theirs, and the card of their data: nothing to complain about."""
    weights, data = tmp_path / "weights", tmp_path / "data"
    weights.mkdir()
    data.mkdir()
    (weights / "silhouette.safetensors").write_bytes(b"weights")
    card = dataclasses.replace(CARD, fingerprint=cards.fingerprint(weights / "silhouette.safetensors"))
    cards.write(weights / "silhouette.md", card, "")
    cards.write(data / "walkers.md", DATA, "")
    assert problems(weights, data) == []
    return weights, data


def test_other_weights_under_an_old_card_are_noticed(folders: tuple[Path, Path]) -> None:
    weights, data = folders
    (weights / "silhouette.safetensors").write_bytes(b"trained again")
    (problem,) = problems(weights, data)
    assert "the card belongs to other weights" in problem


def test_weights_without_card_and_card_without_weights_are_noticed(folders: tuple[Path, Path]) -> None:
    weights, data = folders
    (weights / "silhouette.md").rename(weights / "depth.md")
    (no_card, no_weights) = problems(weights, data)
    assert "silhouette.md: cannot be read" in no_card
    assert "depth.md: a card without weights" in no_weights


def test_names_and_data_must_be_right(folders: tuple[Path, Path]) -> None:
    weights, data = folders
    (data / "walkers.md").rename(data / "people.md")
    misnamed, unknown = problems(weights, data)
    assert "calls itself 'walkers'" in misnamed
    assert "no data card is called 'walkers'" in unknown


def test_weights_too_large_to_ship_are_noticed(folders: tuple[Path, Path]) -> None:
    weights, data = folders
    path = weights / "silhouette.safetensors"
    path.write_bytes(bytes(4 * 1024**2 + 1))
    cards.write(weights / "silhouette.md", dataclasses.replace(CARD, fingerprint=cards.fingerprint(path)), "")
    (problem,) = problems(weights, data)
    assert "more than 4194304" in problem


def test_the_cards_of_a_folder_of_weights_belong_to_its_files(tmp_path: Path) -> None:
    for name in ("silhouette", "fusion"):
        file = tmp_path / f"{name}.safetensors"
        file.write_bytes(name.encode())
        held = dataclasses.replace(CARD, name=name, fingerprint=cards.fingerprint(file))
        cards.write(file.with_suffix(".md"), held, f"# {name}")
    assert [card.name for card, _ in cards.of_weights(tmp_path)] == ["fusion", "silhouette"]
    page = cards.page(cards.of_weights(tmp_path))
    assert page.index("# fusion") < page.index("# silhouette")
    for said in ("**licence**: Apache-2.0", "never saw a coat", "rank1 0.5", "90 [0.4, 0.6]"):
        assert said in page
    (tmp_path / "silhouette.safetensors").write_bytes(b"trained again")
    with pytest.raises(ConfigError, match=r"card of another file than silhouette\.safetensors"):
        cards.of_weights(tmp_path)
    (tmp_path / "silhouette.md").unlink()
    with pytest.raises(ConfigError, match="has no card; gait3d train writes one"):
        cards.of_weights(tmp_path)
    with pytest.raises(ConfigError, match="no weights here"):
        cards.of_weights(tmp_path / "nowhere")


@pytest.mark.weights
def test_the_command_shows_and_writes_the_card_of_weights(tmp_path: Path) -> None:
    folder = _resources.weights_folder()
    done = CliRunner().invoke(app, ["card", str(folder), "--out", str(tmp_path / "CARD.md")])
    assert done.exit_code == 0, done.output
    assert "model card: fusion" in done.output
    text = (tmp_path / "CARD.md").read_text()
    assert text.count("**must not be used for**") == len(list(folder.glob("*.safetensors")))
    done = CliRunner().invoke(app, ["card", str(folder), "--json"])
    assert json.loads(done.stdout)["cards"][0]["name"] == "fusion"
    done = CliRunner().invoke(app, ["card", "--out", str(tmp_path / "x.md")])
    assert done.exit_code == 2
