"""How worker processes are started: one thread each, and deaf to Ctrl-C."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def starting_workers() -> Iterator[None]:
    """Processes that start in here use one BLAS thread and never see SIGINT.

    There is a process a core already, so more threads would only fight. A terminal sends Ctrl-C to all
    processes in the foreground; the parent ends its workers by itself, and their tracebacks would only be
    noise. Both are inherited, so they hold from a worker's first instruction on. A SIGINT that comes
    meanwhile reaches the parent when the block ends: be ready for it there.
    """
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
