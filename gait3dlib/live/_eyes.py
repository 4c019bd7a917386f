"""What perception saw last, kept for views and for answers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping

from gait3dlib.perception.observing import Observer, Refusal, Seen
from gait3dlib.types import NS_PER_S, Calibration

IN_VIEW_S = 0.5
NAMES_KEPT = 1000


class Eyes(Observer):
    """Told by perception in its thread, asked from others.

    Args:
        late: whether newer frames wait for perception.
    """

    def __init__(self, late: Callable[[], bool]) -> None:
        self._late = late
        self.names: dict[int, str] = {}
        self.camera: Calibration | None = None
        self.waiting: deque[Refusal] = deque()
        self._people: dict[int, tuple[int, Seen]] = {}
        self._now_ns = 0

    def behind(self) -> bool:
        return self._late()

    def people(self, t_ns: int, people: Mapping[int, Seen], camera: Calibration | None = None) -> None:
        self._now_ns = max(self._now_ns, t_ns)
        self.camera = camera or self.camera
        held = {n: (at, seen) for n, (at, seen) in self._people.items() if t_ns - at < IN_VIEW_S * NS_PER_S}
        self._people = {**held, **{number: (t_ns, seen) for number, seen in people.items()}}

    def name(self, track: int, name: str) -> None:
        """Note who a track is; the oldest names are forgotten."""
        self.names = dict([*self.names.items(), (track, name)][-NAMES_KEPT:])

    def refused(self, refusal: Refusal) -> None:
        self.waiting.append(refusal)

    def seen(self) -> dict[int, Seen]:
        return {number: seen for number, (_, seen) in dict(self._people).items()}

    def refusals(self) -> Iterator[Refusal]:
        while self.waiting:
            yield self.waiting.popleft()
