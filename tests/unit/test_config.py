"""Configs: the signature is the schema, all problems at once, and nothing hostile gets through YAML."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from gait3dlib import config
from gait3dlib.config import Count, Natural, NotNegative, Positive, Share
from gait3dlib.errors import ConfigError, did_you_mean


class Own(BaseModel):
    """Pydantic takes no further rules for such a type."""

    x: int


class Thing:
    """A target with every kind of keyword."""

    def __init__(
        self,
        name: str,
        *,
        width: Count = 4,
        start: Natural = 0,
        rate: Positive = 1e-3,
        weight: NotNegative = 0.0,
        share: Share = 0.5,
        kind: Literal["a", "b"] = "a",
        parts: Sequence[str] = ("x",),
        folder: Path = Path("here"),
        nested: dict[str, dict[str, Any] | None] | None = None,
        **more: Any,
    ) -> None:
        self.held = {"name": name, "width": width, "rate": rate, "parts": parts, "folder": folder, **more}


def problems(values: dict[Any, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config.check(Thing, values, "thing")
    return str(caught.value).split("; thing")


def test_defaults_are_filled_in_and_words_become_types() -> None:
    got = config.check(Thing, {"name": "n", "rate": "1e-3", "folder": "there", "width": "7"})
    assert got["rate"] == 0.001, "YAML reads 1e-3 as text"
    assert (got["folder"], got["width"], got["share"]) == (Path("there"), 7, 0.5)
    assert config.build(Thing, {"name": "n"}).held["width"] == 4


def test_every_problem_is_named_at_once() -> None:
    found = problems({"widht": 3, "rate": "fast", "kind": "c", "nested": {"a": 1}})
    text = "; ".join(found)
    assert "thing.widht: unknown key; did you mean 'width'" in text
    for part in (".name: missing", ".rate: ", ".kind: input should be 'a' or 'b'", ".nested.a: "):
        assert part in text


@pytest.mark.parametrize(
    "wrong",
    [
        {"width": 0},
        {"width": 1.5},
        {"width": None},
        {"start": -1},
        {"rate": 0},
        {"rate": float("nan")},
        {"weight": -0.1},
        {"weight": float("inf")},
        {"share": 1.01},
        {"share": -0.01},
        {"share": float("nan")},
        {"parts": "abc"},
        {"kind": "A"},
        {"nested": [1]},
    ],
)
def test_what_is_out_of_range_is_refused(wrong: dict[str, Any]) -> None:
    (key,) = wrong
    (text,) = problems({"name": "n", **wrong})
    assert text.startswith(f"thing.{key}: ")


def test_keys_that_are_no_text_and_values_that_are_no_mapping() -> None:
    assert problems({"name": "n", 3: 1}) == ["thing.3: unknown key; known: " + ", ".join(KNOWN)]
    for values in ([1], None, "text"):
        with pytest.raises(ConfigError, match="thing: must be a mapping of settings, not"):
            config.check(Thing, values, "thing")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="config: must be a mapping"):
        config.check(Thing, 3)  # type: ignore[arg-type]


KNOWN = sorted(config.check(Thing, {"name": "n"}))


def test_a_function_is_a_schema_too() -> None:
    def step(*, size: Count, label: Any = None) -> tuple[int, Any]:
        return size, label

    assert config.build(step, {"size": 2, "label": {"any": "thing"}}) == (2, {"any": "thing"})
    with pytest.raises(ConfigError, match="size: missing"):
        config.build(step, {})


def test_a_type_that_brings_its_own_rules() -> None:
    def step(*, own: Own) -> int:
        return own.x

    assert config.build(step, {"own": {"x": 3}}) == 3


# ---- YAML -----------------------------------------------------------------------------------------


def yaml_file(folder: Path, text: str | bytes) -> Path:
    path = folder / "c.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_write_then_read(tmp_path: Path) -> None:
    values = {"b": {"x": [1, 2.5, None, "é"]}, "a": True}
    config.write(tmp_path / "c.yaml", values)
    got = config.read(tmp_path / "c.yaml")
    assert got == values
    assert list(got) == ["b", "a"]


BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: !!python/object/apply:os.system ['touch {ran}']", "not safe YAML"),
        ("a: !!python/name:os.system", "not safe YAML"),
        ("a: !!python/tuple [1]", "not safe YAML"),
        (BOMB, "write values out; YAML aliases"),
        ("a: &a [*a]", "write values out"),
        ("a: 2020-99-99", "not safe YAML: month must be"),
        ("a: !!int x", "not safe YAML"),
        ("a: !!timestamp x", "not safe YAML"),
        ("a: " + 900_000 * "[", "nested more than 50 deep"),
        ("".join(f"{i * ' '}a:\n" for i in range(60)), "nested more than 50 deep"),
        ("a: [1", "not safe YAML"),
        ("? [a]\n: b", "not safe YAML"),
        ("a: \x00", "not safe YAML"),
        (b"a: \xff", "not safe YAML"),
        ("", "must hold a mapping"),
        ("- a", "must hold a mapping"),
        ("just words", "must hold a mapping"),
        ("a: " + 1_000_001 * "x", "larger than 1000000 bytes"),
    ],
)
def test_hostile_yaml_is_one_sentence_and_runs_nothing(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    ran = tmp_path / "ran"
    if isinstance(text, str):
        text = text.replace("{ran}", str(ran))
    with pytest.raises(ConfigError, match=message) as caught:
        config.read(yaml_file(tmp_path, text))
    assert "c.yaml" in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert not ran.exists()


def test_the_bomb_would_have_been_read(tmp_path: Path) -> None:
    written_out = "a: [x, x]\nb: [[x, x], [x, x]]\n"
    assert config.read(yaml_file(tmp_path, written_out))["b"] == [["x", "x"], ["x", "x"]]


def test_files_that_are_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(ConfigError, match=r"cannot be read .*give the path of a YAML file"):
            config.read(path)


# ---- overrides ------------------------------------------------------------------------------------


def test_overrides(tmp_path: Path) -> None:
    path = yaml_file(tmp_path, "fusion: {dim: 64, depth: 2}\nempty:\nseed: 1\n")
    got = config.read(path, ["fusion.dim=128", "seed=0", "empty.a.b=[1, x]", "new.key=", "text=a=b"])
    assert got == {
        "fusion": {"dim": 128, "depth": 2},
        "empty": {"a": {"b": [1, "x"]}},
        "seed": 0,
        "new": {"key": None},
        "text": "a=b",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fusion.dim", "write it as section.key=value"),
        ("=3", "write it as section.key=value"),
        ("seed.deep=3", "'seed' is a value, not a section"),
        ("seed=[1", "not safe YAML"),
        ("seed=!!python/name:os.system", "not safe YAML"),
        ("seed=2020-99-99", "not safe YAML"),
    ],
)
def test_bad_overrides(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        config.read(yaml_file(tmp_path, "seed: 1"), [text])
    assert repr(text) in str(caught.value)


def test_did_you_mean() -> None:
    assert did_you_mean("widht", ["width", "depth"]).startswith("; did you mean 'width'")
    assert did_you_mean("zzz", ["b", "a"]) == "; known: a, b"
    assert did_you_mean("zzz", []) == "; known: none"
