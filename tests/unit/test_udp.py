"""A UDP port: what it changes in the interpreter is undone."""

from __future__ import annotations

import sys
import threading

import pytest
from sensing import free_port

from gait3dlib.sensors._udp import SWITCH_S, Ear


def test_the_switch_interval_is_set_back_when_the_last_port_closes() -> None:
    before = sys.getswitchinterval()
    assert before > SWITCH_S
    with Ear(free_port()):
        assert sys.getswitchinterval() == pytest.approx(SWITCH_S)
        with Ear(free_port()):
            assert sys.getswitchinterval() == pytest.approx(SWITCH_S)
        assert sys.getswitchinterval() == pytest.approx(SWITCH_S)
    assert sys.getswitchinterval() == pytest.approx(before)


def test_also_when_ports_close_in_threads() -> None:
    before, start, go = sys.getswitchinterval(), threading.Barrier(5), threading.Event()

    def listen() -> None:
        with Ear(free_port()):
            start.wait(10)
            go.wait(10)

    threads = [threading.Thread(target=listen) for _ in range(4)]
    for thread in threads:
        thread.start()
    start.wait(10)
    assert sys.getswitchinterval() == pytest.approx(SWITCH_S)
    go.set()
    for thread in threads:
        thread.join(10)
    assert sys.getswitchinterval() == pytest.approx(before)
