"""What a verb prints, and how it ends: answers on stdout, everything else on stderr, errors as one sentence.

Exit status: 0 ok, 1 the work failed, 2 the words were wrong, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import functools
import json
import math
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec

import typer

from gait3dlib.errors import ConfigError, Gait3DError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

P = ParamSpec("P")
FAILED, WRONG_WORDS, STOPPED = 1, 2, 130
TRACEBACK = "GAIT3D_TRACEBACK"


def ends_well(verb: Callable[P, None]) -> Callable[P, None]:
    """The verb, but whatever it raises becomes one sentence and an exit status."""

    @functools.wraps(verb)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            verb(*args, **kwargs)
        except typer.Exit:
            raise
        except KeyboardInterrupt:
            note("stopped")
            raise typer.Exit(STOPPED) from None
        except BrokenPipeError:
            # whoever read our output is gone; a flush at exit must not complain about it again
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(FAILED) from None
        except ConfigError as error:
            _end(str(error), WRONG_WORDS)
        except Gait3DError as error:
            _end(str(error), FAILED)
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            _end(f"{where}{error.strerror or error}", FAILED)
        except MemoryError:
            _end("not enough memory; close other programs, or give shorter walks", FAILED)
        except Exception as error:
            _end(
                f"unexpected error, please report it ({type(error).__name__}: {error}); "
                f"for the traceback, run again with {TRACEBACK}=1",
                FAILED,
            )

    return run


def _end(message: str, status: int) -> NoReturn:
    if os.environ.get(TRACEBACK):
        traceback.print_exc()
    head = typer.style("Error:", fg=typer.colors.RED, bold=True)
    typer.echo(f"{head} {clean(message)}", err=True)
    raise typer.Exit(status)


def clean(text: object) -> str:
    """One printable line: names and messages may come from hostile files, and a terminal obeys them."""
    words = " ".join(str(text).split())
    return "".join(c if c.isprintable() else "�" for c in words)


def console() -> Console:
    """The terminal's stdout, or a pipe; made anew, so that tests may swap stdout."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False)


def note(text: str) -> None:
    """A remark for people; on stderr, so that it never mixes with JSON."""
    typer.echo(clean(text), err=True)


def show_json(value: object) -> None:
    """One JSON value on one line of stdout; strict, so a number that is not finite becomes null."""
    typer.echo(json.dumps(plain(value), allow_nan=False, ensure_ascii=False))


def plain(value: Any) -> Any:
    """Strings, numbers, lists and dicts that strict JSON can hold."""
    if hasattr(value, "to_dict"):
        value = value.to_dict()
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(v) for v in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (str, int, type(None))):
        return value
    return plain(value.item()) if hasattr(value, "item") else str(value)


def show_table(table: Table) -> None:
    """A table, as wide as the terminal; through a pipe as wide as it needs."""
    out = console()
    if not out.is_terminal and "COLUMNS" not in os.environ:
        out.width = 160
    out.print(table)


def simple_table(title: str, *columns: str) -> Table:
    """An empty table in the house's style; cells are plain text, never markup."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", pad_edge=False)
    for name in columns:
        table.add_column(name, overflow="fold")
    return table


class Rows:
    """A table that grows by a row at a time, for answers that come one by one.

    Args:
        columns: name and width of each; the last one takes what is left.
    """

    def __init__(self, columns: Sequence[tuple[str, int]]) -> None:
        self.columns = columns
        self.started = False

    def add(self, *cells: str, style: str = "") -> None:
        """Print a row, the first one below the names of the columns."""
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, show_header=not self.started, padding=(0, 1, 0, 0))
        for name, width in self.columns[:-1]:
            table.add_column(name, width=width, overflow="fold", header_style="bold")
        table.add_column(self.columns[-1][0], min_width=self.columns[-1][1], header_style="bold")
        table.add_row(*(Text("\n".join(map(clean, cell.split("\n")))) for cell in cells), style=style)
        self.started = True
        show_table(table)


@contextmanager
def counting(what: str, *, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr; yields what is called with (done, all). Drawn on terminals only."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    err = Console(stderr=True)
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(compact=True))
    with Progress(*columns, console=err, disable=quiet or not err.is_terminal, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def waiting(what: str) -> Iterator[Callable[[str], None]]:
    """A spinner on stderr; yields what changes its text. Drawn on terminals only."""
    from rich.console import Console

    err = Console(stderr=True, markup=False)
    if not err.is_terminal:
        yield lambda text: None
        return
    with err.status(clean(what)) as status:
        yield lambda text: status.update(clean(text))


def read_names(text: str | None) -> list[str]:
    """``a,b`` as a list of names."""
    return [name.strip() for name in (text or "").split(",") if name.strip()]
