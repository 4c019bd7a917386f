"""The order of packets: what is missing, late or strange."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gait3dlib.sensors._order import WAIT, PacketCounts, Sequencer


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_the_sequencer_counts_what_was_done_and_restores_the_order(data: st.DataObject) -> None:
    total = data.draw(st.integers(40, 400))
    inner = list(range(1, total - 1))
    lost = set(data.draw(st.lists(st.sampled_from(inner), max_size=20)))
    late = data.draw(st.dictionaries(st.sampled_from(inner), st.integers(1, WAIT // 2), max_size=10))
    twice = data.draw(st.lists(st.sampled_from(inner), max_size=5))
    arrivals = [(i + late.get(i, 0) + 0.5 * (i in late), i) for i in range(total) if i not in lost]
    arrivals += [(i + late.get(i, 0) + 0.75, i) for i in twice if i not in lost]
    order = [i for _, i in sorted(arrivals)]
    sequencer: Sequencer[int] = Sequencer()
    out = [item for number in order for item in sequencer.push(number + 1000, number)]
    out += sequencer.flush()
    first = [i for at, i in enumerate(order) if i not in order[:at]]
    assert sequencer.reordered == sum(i < max(first[:at], default=-1) for at, i in enumerate(first))
    assert sequencer.lost == len(lost)
    assert sequencer.duplicates == len(order) - len(first)
    assert out == sorted(set(out)) == sorted(first)
    assert (sequencer.late, sequencer.strays, sequencer.restarts) == (0, 0, 0)


def test_what_comes_after_its_turn_is_late_but_not_lost() -> None:
    sequencer: Sequencer[int] = Sequencer()
    out = [i for number in range(3 * WAIT) if number != 5 for i in sequencer.push(number, number)]
    assert sequencer.lost == 1
    assert sequencer.push(5, 5) == []
    assert (sequencer.lost, sequencer.late, sequencer.reordered) == (0, 1, 1)
    assert sequencer.push(5, 5) == []
    assert sequencer.duplicates == 1
    assert out == [i for i in range(3 * WAIT) if i != 5]


def test_a_wild_number_is_a_stray_and_two_that_agree_are_a_restart() -> None:
    sequencer: Sequencer[int] = Sequencer()
    for number in (0, 1, 10**9, 2, 3):
        sequencer.push(number, number)
    assert (sequencer.strays, sequencer.restarts, sequencer.lost) == (1, 0, 0)
    out = [i for number in (10**8, 10**8 + 1, 10**8 + 2) for i in sequencer.push(number, number)]
    assert out == [10**8, 10**8 + 1, 10**8 + 2]
    assert (sequencer.strays, sequencer.restarts, sequencer.lost) == (1, 1, 0)


def test_counts_in_words() -> None:
    assert str(PacketCounts()) == "0 packets"
    assert str(PacketCounts(packets=7, wrong_size=2).plus(lost=3)) == "7 packets, 3 lost, 2 wrong size"
