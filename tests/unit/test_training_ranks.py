"""Several processes: the losses of one; and a process that is killed: the losses of one that was not."""

from __future__ import annotations

import csv
import os
import signal
import socket
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from torch.nn import functional

from gait3dlib.errors import ConfigError
from gait3dlib.training.ranks import Ranks, _Cut

TIMES = ("seconds_per_step", "walks_per_second", "data_wait")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Samples prepared, so that no run starts processes for it."""
    data = tiny.make_world(tmp_path_factory.mktemp("world"))
    tiny.prepare(data, tiny.MODALITIES)
    return data


def in_child(work: Callable[[], object], log: Path, env: Mapping[str, str]) -> int:
    """Run something in a process of its own, and return its number; forked, for imports take seconds."""
    child = os.fork()
    if child:
        return child
    try:
        os.environ.update(env)
        work()
        os._exit(0)
    except BaseException:
        log.write_text(traceback.format_exc())
        os._exit(1)


def ended(child: int, log: Path) -> int:
    """Its exit code, or minus the signal that ended it."""
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code <= 0, log.read_text()
    return code


def together(work: Callable[[], object], logs: Path, count: int = 2) -> None:
    """As torchrun starts them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    world = {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    world |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    mine = [{**world, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(count)]
    files = [logs / f"{rank}.log" for rank in range(count)]
    children = [in_child(work, log, env) for log, env in zip(files, mine, strict=True)]
    assert [ended(child, log) for child, log in zip(children, files, strict=True)] == [0] * count


def figures(out: Path) -> dict[tuple[str, str], str]:
    with (out / "metrics.csv").open(newline="") as file:
        return {(s, name): value for s, name, value in csv.reader(file) if name not in TIMES}


def test_two_processes_have_the_losses_of_one_step_by_step(world: Path, tmp_path: Path) -> None:
    """Frames, augmentation and dropout are drawn as in one process, and what the fusion leaves out."""
    plan = {"schedule": {"log_every": 1, "frozen_norms": True}}
    encoders = tmp_path / "encoders"
    for name in tiny.MODALITIES:
        tiny.train_encoder(name, world, encoders)
    runs: list[Callable[[str], object]] = [
        lambda out: tiny.train_encoder("silhouette", world, tmp_path / f"{out}_0", **plan),
        lambda out: tiny.train_fusion(encoders, world, tmp_path / f"{out}_1", **plan),
        lambda out: tiny.train_fusion(
            encoders, world, tmp_path / f"{out}_2", finetune=True, fusion={"kind": "shared_trunk"}, **plan
        ),
    ]
    for run in runs:
        run("one")
    together(lambda: [run("two") for run in runs], tmp_path)
    for number in range(len(runs)):
        wanted, got = figures(tmp_path / f"one_{number}"), figures(tmp_path / f"two_{number}")
        assert wanted.keys() == got.keys(), "one process writes, once"
        assert ("4", "triplet") in wanted
        for key, value in wanted.items():
            if key[0].isdecimal():
                assert float(got[key]) == pytest.approx(float(value), abs=1e-5), (number, key)
        assert float(wanted["1", "classes"]) != float(wanted["2", "classes"])


def test_killed_and_resumed_is_the_run_that_was_not_to_the_last_digit(world: Path, tmp_path: Path) -> None:
    plan = {"steps": 12, "log_every": 1, "ema": 0.9, "accumulate": 2, "validate_every": 5}

    def run(out: str, **more: Any) -> Path:
        return tiny.train_encoder("silhouette", world, tmp_path / out, schedule=plan, **more)

    def die(text: str) -> None:
        if text.startswith("step 8/"):
            os.kill(os.getpid(), signal.SIGKILL)

    whole = run("whole")
    log = tmp_path / "log"
    assert ended(in_child(lambda: run("killed", report=die), log, {}), log) == -signal.SIGKILL
    said: list[str] = []
    killed = run("killed", resume=True, report=said.append)
    assert "resumed at step 7" in said
    assert figures(tmp_path / "killed") == figures(tmp_path / "whole")
    assert killed.read_bytes() == whole.read_bytes()


# ---- shares ---------------------------------------------------------------------------------------


def test_one_process_has_the_whole_batch() -> None:
    ranks = Ranks("32-true")
    assert (ranks.first, ranks.share(6)) == (True, slice(0, 6))
    x = torch.randn(3, 2)
    assert ranks.whole(x) is x
    ranks.count = 4
    with pytest.raises(
        ConfigError, match=r"6 walks a batch cannot be shared by 4 processes; choose a multiple"
    ):
        ranks.share(6)
    ranks.rank = 1
    assert ranks.share(8) == slice(2, 4)


def test_a_share_of_what_is_drawn() -> None:
    def draws(b: int) -> list[torch.Tensor]:
        torch.manual_seed(3)
        generator = torch.Generator().manual_seed(1)
        x = torch.ones(b, 3, 4)
        return [
            torch.rand(b),
            torch.rand(b, 5, generator=generator),
            torch.randn((b, 2)),
            torch.rand(x.shape),
            torch.randint(9, (b, 4), generator=generator),
            torch.randint(2, 9, (b,), generator=generator),
            functional.dropout(x, 0.5, True),
            torch.nn.Dropout(0.3)(x),
        ]

    whole = draws(6)
    for rows in (slice(0, 3), slice(3, 6)):
        with _Cut(rows, 6):
            mine = draws(3)
        for a, b in zip(mine, whole, strict=True):
            assert torch.equal(a, b[rows])
    with _Cut(slice(0, 3), 6):
        torch.manual_seed(3)
        other = torch.rand(7)
    torch.manual_seed(3)
    assert torch.equal(other, torch.rand(7)), "what is not of the walks is drawn as ever"
