"""Packets put back in order and counted: what the network lost, swapped, doubled and damaged."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")

WAIT = 64  # packets that may overtake one that is late; a tenth of a revolution
FAR = 100_000  # more than minutes of packets: no loss, but a sensor that was switched off and on
REMEMBERED = 4096


@dataclass(frozen=True)
class PacketCounts:
    """What arrived at a sensor's port, by its fate.

    Args:
        packets: measurements taken in.
        lost: numbered by the sensor, but never arrived.
        reordered: arrived after one that was sent later.
        late: of those, too late to be used.
        duplicates: arrived once more.
        wrong_size: no packet of this kind of sensor.
        wrong_sensor: from another sensor, or of another model.
        corrupted: this sensor's, but what they say contradicts itself or their check sum.
        other: what the sensor sends beside its measurements (motion, position, status).
        overrun: arrived while this computer did not read, and dropped by it; they are among the lost.
    """

    packets: int = 0
    lost: int = 0
    reordered: int = 0
    late: int = 0
    duplicates: int = 0
    wrong_size: int = 0
    wrong_sensor: int = 0
    corrupted: int = 0
    other: int = 0
    overrun: int = 0

    def plus(self, **more: int) -> PacketCounts:
        """The same with these counts raised."""
        return dataclasses.replace(self, **{name: getattr(self, name) + n for name, n in more.items()})

    def to_dict(self) -> dict[str, int]:
        """Plain values, ready for JSON."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        """Such as "754 packets, 38 lost, 1 corrupted": what is not nought."""
        wrong = [f"{n} {name.replace('_', ' ')}" for name, n in self.to_dict().items() if n]
        return ", ".join(wrong) if self.packets else ", ".join(["0 packets", *wrong])


class Sequencer(Generic[Item]):
    """Gives numbered packets back in order, and counts what is not as it should be.

    A packet is handed on when all before it have come, or when ``WAIT`` later ones have: then the missing
    ones count as lost. Numbers that jump far are believed only when the next packet goes on from there.
    """

    def __init__(self) -> None:
        self.lost = self.reordered = self.late = self.duplicates = self.restarts = 0
        self.strays = 0  # packets whose number was believed by no other
        self._due: int | None = None
        self._first = self._last = 0
        self._held: dict[int, Item] = {}
        self._missing: OrderedDict[int, None] = OrderedDict()
        self._far: tuple[int, Item] | None = None

    def push(self, number: int, item: Item) -> list[Item]:
        """Take in a packet; returns those that are thereby due, in order."""
        if self._due is None:
            self._due = self._first = self._last = number
        if abs(number - self._last) > FAR:
            return self._jump(number, item)
        if self._far is not None:
            self.strays, self._far = self.strays + 1, None
        if number < self._first:
            self.reordered, self.late = self.reordered + 1, self.late + 1
            return []
        if number < self._last:
            if number in self._held or (number < self._due and number not in self._missing):
                self.duplicates += 1
                return []
            self.reordered += 1
            if number < self._due:
                del self._missing[number]
                self.late, self.lost = self.late + 1, self.lost - 1
                return []
        elif number in self._held or (number == self._last and number < self._due):
            self.duplicates += 1
            return []
        self._last = max(self._last, number)
        self._held[number] = item
        return self._release()

    def flush(self) -> list[Item]:
        """What is still held, in order; the stream has ended or starts anew."""
        out = []
        while self._held:
            out += self._skip()
        return out

    def _release(self) -> list[Item]:
        assert self._due is not None
        out = []
        while self._due in self._held:
            out.append(self._held.pop(self._due))
            self._due += 1
        if self._held and self._last - self._due >= WAIT:
            out += self._skip()
        return out

    def _skip(self) -> list[Item]:
        """Give up on what is missing before the first packet that is held."""
        assert self._due is not None
        first = min(self._held)
        self.lost += first - self._due
        for number in range(max(self._due, first - REMEMBERED), first):
            self._missing[number] = None
        while len(self._missing) > REMEMBERED:
            self._missing.popitem(last=False)
        self._due = first
        return self._release()

    def _jump(self, number: int, item: Item) -> list[Item]:
        if self._far is None or not 0 < number - self._far[0] <= WAIT:
            self.strays += self._far is not None
            self._far = (number, item)
            return []
        out = self.flush()
        start, first = self._far
        self._far, self._due, self._first, self._last = None, start, start, start
        self._missing.clear()
        self.restarts += 1
        return out + self.push(start, first) + self.push(number, item)

    def counts(self) -> dict[str, Any]:
        """Its counts under the names of :class:`PacketCounts`."""
        return {name: getattr(self, name) for name in ("lost", "reordered", "late", "duplicates")}
