"""Training: the loop and its run folder."""

from __future__ import annotations

import csv
import io
import json
import math
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from gait3dlib import config
from gait3dlib._optional import require
from gait3dlib.errors import ConfigError, InputError, WeightsError
from gait3dlib.training.ahead import Ahead
from gait3dlib.training.average import Average
from gait3dlib.training.folder import environment
from gait3dlib.training.loop import Loop
from gait3dlib.training.schedule import Schedule


def loop(out: Path, report: Any = lambda text: None, **changes: Any) -> Loop:
    asked = {
        "steps": 6,
        "validate_every": 2,
        "save_seconds": 0.0,
        "precision": "32-true",
        "lr": 0.1,
        **changes,
    }
    return Loop(out, Schedule(**asked), 3, {"recipe": "test"}, report)


def loss_of(network: nn.Module, step: int) -> dict[str, torch.Tensor]:
    x = torch.randn(8, 2)
    return {"a": (network(x) - x.sum(dim=1, keepdim=True)).square().mean(), "b": network(x).square().mean()}


def rows_of(out: Path) -> list[list[str]]:
    with (out / "metrics.csv").open(newline="") as file:
        return list(csv.reader(file))


def test_the_rate_warms_up_and_falls_to_a_hundredth(tmp_path: Path) -> None:
    made = loop(tmp_path, steps=200)
    rates = [made.schedule.rate(step) for step in range(200)]
    assert rates[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    for step in (10, 77, 150, 199):
        share = (step - 10) / 190
        assert rates[step] == pytest.approx(0.01 + 0.99 * (1 + math.cos(math.pi * share)) / 2, rel=1e-4)
    assert made.schedule.rate(200) == pytest.approx(0.01, rel=1e-3)
    assert loop(tmp_path, steps=1).schedule.rate(0) == 1.0


def test_a_parameter_may_learn_at_its_own_pace(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    made = loop(tmp_path, steps=2)
    made.run(network, loss_of, lambda network: {}, pace=lambda name: 0.0 if name == "0.weight" else 1.0)
    still = [name for name, p in network.named_parameters() if torch.equal(p, before[name])]
    assert still == ["0.weight"]
    # and it goes on as it was
    again = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    loop(tmp_path, steps=2).run(
        again, loss_of, lambda network: {}, pace=lambda name: 0.0 if name == "0.weight" else 1.0, resume=True
    )
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), network.parameters(), strict=True))


def test_a_run_keeps_what_it_did(tmp_path: Path) -> None:
    said: list[str] = []
    made = loop(tmp_path / "deep" / "run", said.append)
    network = made.run(nn.Linear(2, 1), loss_of, lambda network: {"score": 0.5})
    assert not network.training
    assert made.validation == {"score": 0.5}
    head, *rows = rows_of(made.out)
    assert head == ["step", "name", "value"]
    assert [row[0] for row in rows if row[1] == "score"] == ["2", "4", "6"]
    assert [row[1] for row in rows if row[0] == "6"] == [
        "a",
        "b",
        "seconds_per_step",
        "walks_per_second",
        "data_wait",
        "score",
    ]
    assert any(line.startswith("step 6/6") and "score 0.5" in line for line in said)
    assert config.read(made.out / "config.yaml") == {"recipe": "test"}
    assert json.loads((made.out / "environment.json").read_text())["seed"] == 3
    assert (made.out / "checkpoint.pt").is_file()
    assert list(made.out.glob("events.out.tfevents*")), "tensorboard is installed here"


def test_a_run_begun_anew_starts_a_new_log_and_a_resumed_one_goes_on(tmp_path: Path) -> None:
    for _ in range(2):
        loop(tmp_path).run(nn.Linear(2, 1), loss_of, lambda network: {"score": 0.5})
    whole = [row[:2] for row in rows_of(tmp_path)]
    assert len(whole) == 1 + 3 + 5

    class Stop(Exception):
        pass

    def stop(network: nn.Module) -> dict[str, float]:
        if made.validation:
            raise Stop
        return {"score": 0.5}

    made = loop(tmp_path)
    with pytest.raises(Stop):
        made.run(nn.Linear(2, 1), loss_of, stop)
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("5,lost,0.1\r\n")  # logged after the last checkpoint, and now done again
    loop(tmp_path).run(nn.Linear(2, 1), loss_of, lambda network: {"score": 0.5}, resume=True)
    assert [row[:2] for row in rows_of(tmp_path)] == whole


def test_resuming_without_a_checkpoint_is_starting(tmp_path: Path) -> None:
    said: list[str] = []
    loop(tmp_path, said.append).run(nn.Linear(2, 1), loss_of, lambda network: {}, resume=True)
    assert not any("resumed" in line for line in said)


class Payload:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def test_a_checkpoint_of_something_else_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint.pt"
    torch.save({"module": Payload(tmp_path / "ran")}, held := io.BytesIO())
    other = nn.Linear(3, 1)
    for content in (b"", b"nothing", held.getvalue()):
        checkpoint.write_bytes(content)
        with pytest.raises(WeightsError, match=r"checkpoint.pt: does not fit this config; start afresh"):
            loop(tmp_path).run(nn.Linear(2, 1), loss_of, lambda network: {}, resume=True)
    loop(tmp_path).run(other, lambda m, step: {"a": m(torch.ones(1, 3)).sum()}, lambda network: {})
    with pytest.raises(WeightsError, match="does not fit"):
        loop(tmp_path).run(nn.Linear(2, 1), loss_of, lambda network: {}, resume=True)
    assert not (tmp_path / "ran").exists()


def test_the_environment_is_told_with_and_without_git(monkeypatch: pytest.MonkeyPatch) -> None:
    told = environment(4)
    assert told["seed"] == 4
    assert told["torch"] == torch.__version__
    assert len(told["git"]) in (0, 40)

    def no_git(*words: object, **more: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(subprocess, "run", no_git)
    assert environment(4)["git"] == ""
    assert environment(4)["git_changes"] is False


def test_without_tensorboard_the_table_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    made = loop(tmp_path, steps=1)
    assert made.folder.writer is None
    made.run(nn.Linear(2, 1), loss_of, lambda network: {"score": 1.0})
    assert rows_of(tmp_path)


# ---- schedules ------------------------------------------------------------------------------------


def test_the_rate_falls_as_asked() -> None:
    def rates(**asked: Any) -> list[float]:
        plan = Schedule(steps=10, warm_up=0.0, **asked)
        return [plan.rate(step) for step in range(10)]

    assert rates(decay="constant") == [1.0] * 10
    stairs = [1.0] * 3 + [0.1] * 4 + [0.01] * 3
    assert rates(decay="multi_step", milestones=[3, 7]) == pytest.approx(stairs)
    halves = [0.5 ** (i // 4) for i in range(10)]
    assert rates(decay="step", period=4, gamma=0.5) == pytest.approx(halves)
    cosine = [0.001 + 0.999 * (1 + math.cos(math.pi * i / 10)) / 2 for i in range(10)]
    assert rates(floor=0.001) == pytest.approx(cosine)
    for wrong in ({"decay": "multi_step"}, {"decay": "multi_step", "milestones": [5, 5]}, {"decay": "step"}):
        with pytest.raises(ConfigError, match="schedule"):
            Schedule(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_optimisers_are_torchs(tmp_path: Path, name: str) -> None:
    torch.manual_seed(1)
    network, twin = nn.Linear(2, 1), nn.Linear(2, 1)
    twin.load_state_dict(network.state_dict())
    plan = {"optimiser": name, "decay": "constant", "warm_up": 0.0, "weight_decay": 0.1, "clip": None}
    made = loop(tmp_path, steps=3, lr=0.05, **plan)
    made.run(network, loss_of, lambda network: {})
    kinds: dict[str, Any] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    slow = kinds.get(name, torch.optim.SGD)(
        twin.parameters(), lr=0.05, weight_decay=0.1, **({"momentum": 0.9} if name == "sgd" else {})
    )
    for step in range(3):
        torch.manual_seed(3 * 1_000_003 + step)
        slow.zero_grad()
        torch.stack(list(loss_of(twin, step).values())).sum().backward()
        slow.step()
    for a, b in zip(network.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_gradients_of_several_batches_make_one_step(tmp_path: Path) -> None:
    x = torch.arange(12.0).view(6, 2)

    def loss(network: nn.Module, rows: slice) -> dict[str, torch.Tensor]:
        return {"a": network(x[rows]).square().mean()}

    plan = {"steps": 4, "clip": None, "lr": 0.01}
    torch.manual_seed(0)
    one, two = nn.Linear(2, 1), nn.Linear(2, 1)
    two.load_state_dict(one.state_dict())
    loop(tmp_path / "one", **plan).run(one, loss, lambda n: {}, batch_of=lambda number: slice(0, 6))
    parts = [slice(0, 3), slice(3, 6)]
    made = loop(tmp_path / "two", **plan, accumulate=2)
    made.run(two, loss, lambda n: {}, batch_of=lambda number: parts[number % 2])
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(a, b)
    shown = [row for row in rows_of(tmp_path / "two") if row[1] == "a"]
    wanted = [row for row in rows_of(tmp_path / "one") if row[1] == "a"]
    assert [float(r[2]) for r in shown] == pytest.approx([float(r[2]) for r in wanted], rel=1e-5)


def test_the_average_is_its_closed_form() -> None:
    network = nn.BatchNorm1d(1)
    average = Average(network, 0.5)
    value, held = 1.0, 1.0
    for step in range(6):
        value = 3.0 * step
        network.weight.data.fill_(value)
        network.num_batches_tracked.fill_(step)  # type: ignore[operator]
        average.update(network, step)
        keep = min(0.5, (1 + step) / (10 + step))
        held = keep * held + (1 - keep) * value
    assert float(average.state["weight"]) == pytest.approx(held)
    assert int(average.state["num_batches_tracked"]) == 5
    with average.inside(network):
        assert network.weight.tolist() == pytest.approx([held])
    assert network.weight.tolist() == [value]


def test_training_stops_when_nothing_gets_better_and_keeps_the_best(tmp_path: Path) -> None:
    scores = iter([0.1, 0.5, 0.4, 0.5, 0.9])
    seen: list[torch.Tensor] = []

    def validate(network: nn.Module) -> dict[str, float]:
        seen.append(network.weight.detach().clone())  # type: ignore[operator]
        return {"other": 1.0, "score": next(scores)}

    said: list[str] = []
    made = loop(tmp_path, said.append, steps=20, patience=2)
    network = made.run(nn.Linear(2, 1), loss_of, validate)
    assert len(seen) == 4, "two validations without a better one"
    assert torch.equal(network.weight, seen[1])  # type: ignore[arg-type]
    assert "kept the weights of step 4, the best" in said
    again = loop(tmp_path, said.append, steps=20, patience=2)
    resumed = again.run(nn.Linear(2, 1), loss_of, validate, resume=True)
    assert torch.equal(resumed.weight, seen[1]), "what has stopped does not go on"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [("lr", 0.2, r"schedule\.lr 0\.1, not 0\.2"), ("people", 3, r"schedule\.people 16, not 3")],
)
def test_a_resumed_run_has_the_same_schedule(tmp_path: Path, key: str, value: Any, message: str) -> None:
    def run(resume: bool, **changes: Any) -> None:
        asked = {"steps": 2, "precision": "32-true", "lr": 0.1, **changes}
        plan = Schedule(**asked)
        made = Loop(tmp_path, plan, 3, {"seed": 3, "schedule": vars(plan)}, lambda text: None)
        made.keep_inputs({"data": {"train": {"sha256": "a"}}})
        made.run(nn.Linear(2, 1), loss_of, lambda network: {}, resume=resume)

    run(False)
    with pytest.raises(ConfigError, match=message):
        run(True, **{key: value})
    run(True, save_seconds=7.0, log_every=1)


def test_a_resumed_run_has_the_same_seed_and_data(tmp_path: Path) -> None:
    def run(seed: int, data: str, resume: bool) -> None:
        plan = Schedule(steps=1, precision="32-true")
        made = Loop(tmp_path, plan, seed, {"seed": seed, "data": data}, lambda text: None)
        made.keep_inputs({"data": {"train": {"sha256": data}}})
        made.run(nn.Linear(2, 1), loss_of, lambda network: {}, resume=resume)

    run(3, "a", False)
    with pytest.raises(
        ConfigError, match=r"checkpoint.pt was written with seed 3, not 4: resume with the same"
    ):
        run(4, "a", True)
    with pytest.raises(ConfigError, match=r"written with data\.train\.sha256 'a', not 'b'"):
        run(3, "b", True)
    run(3, "a", True)


def test_the_scaler_of_half_precision_is_kept(tmp_path: Path) -> None:
    """Fabric has none on a CPU, so one is put there."""

    def run(scale: float, resume: bool, steps: int) -> Any:
        mixed = require("lightning.fabric.plugins.precision").MixedPrecision
        plugin = mixed("16-mixed", "cpu", scaler=torch.amp.GradScaler("cpu", init_scale=scale))
        made = loop(tmp_path, steps=steps)
        made.fabric.strategy.precision = plugin
        made.run(nn.Linear(2, 1), loss_of, lambda network: {}, resume=resume)
        return plugin.scaler

    assert run(128.0, False, 2).get_scale() == 128.0
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["scaler"]["scale"] == 128.0
    assert run(4.0, True, 2).get_scale() == 128.0


# ---- batches made ahead ---------------------------------------------------------------------------


@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_batches_come_in_order_and_no_more_than_asked(ahead: int) -> None:
    made: list[int] = []

    def make(number: int) -> int:
        made.append(number)
        return number * number

    with Ahead(make, stop=7, ahead=ahead) as batches:
        assert [batches(number) for number in range(2, 7)] == [4, 9, 16, 25, 36]
    assert made == [2, 3, 4, 5, 6]


def test_waiting_is_told_and_errors_come_through() -> None:
    def slow(number: int) -> int:
        if number == 3:
            raise InputError("no walk")
        time.sleep(0.05)
        return number

    with Ahead(slow, stop=9, ahead=0) as batches:
        batches(0)
        assert batches.waited >= 0.05
    with Ahead(slow, stop=9, ahead=2) as batches:
        batches(0)
        time.sleep(0.3)
        before = batches.waited
        batches(1)
        assert batches.waited - before < 0.04, "it was there already"
        batches(2)
        with pytest.raises(InputError, match="no walk"):
            batches(3)
