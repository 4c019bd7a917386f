"""The nouns: what they refuse, what they promise, and pairing of clocks against brute force."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import sent

from gait3dlib.errors import InputError
from gait3dlib.types import (
    LAYOUT_JOINTS,
    STREAM_SPECS,
    Candidate,
    GaitSequence,
    Labels,
    Meta,
    Recognition,
    Stream,
    Verification,
    align,
    check_stream,
    frames_of,
)

MS = 1_000_000
IMAGES = np.zeros((3, 4, 5), np.uint8)


def images(times: Any = (0, 1, 2)) -> Stream:
    return Stream(np.zeros((len(times), 4, 5), np.uint8), np.asarray(times))


def points(counts: tuple[int, ...]) -> Stream:
    data = np.arange(4 * sum(counts), dtype=np.float32).reshape(-1, 4)
    return Stream(data, np.arange(len(counts)), "m", offsets=np.cumsum([0, *counts]))


# ---- streams --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Stream(IMAGES, np.array([0, 2, 1])), "frame 2 is not later.*sort the frames"),
        (lambda: Stream(IMAGES, np.array([0, 1, 1])), "frame 2 is not later"),
        (lambda: Stream(IMAGES, np.array([0, 2**63 - 1, -(2**63)])), "frame 2 is not later"),
        (lambda: Stream(IMAGES, np.arange(4)), "holds 3 frames but 4 time stamps"),
        (lambda: Stream(IMAGES, np.zeros((3, 1))), "t_ns must list at least one time stamp"),
        (lambda: Stream(IMAGES[:0], np.array([])), "t_ns must list at least one time stamp"),
        (lambda: Stream(np.uint8(3), np.arange(1)), "holds 0 frames but 1"),
        (lambda: Stream(IMAGES, np.array([0.0, 0.5, 1.0])), "t_ns must be whole numbers; seconds times 1e9"),
        (lambda: Stream(IMAGES, np.array([0.0, 1.0, np.nan])), "t_ns must be whole numbers"),
        (lambda: Stream(IMAGES, np.array([0, 1, 2**63 + 1], np.uint64)), "t_ns must be whole numbers"),
        (lambda: Stream(IMAGES, ["a", "b", "c"]), "t_ns must be an array of numbers"),  # type: ignore[arg-type]
        (
            lambda: Stream(np.array([None] * 3), np.arange(3)),
            "numbers, not of object",
        ),
        (lambda: Stream(np.array(["a"] * 3), np.arange(3)), "data must be an array of numbers"),
        (lambda: Stream(IMAGES * 1j, np.arange(3)), "data must be an array of numbers"),
        (
            lambda: Stream(np.zeros((3, 4)), np.arange(2), offsets=np.array([0, 1, 2])),
            "ascend from 0",
        ),
        (lambda: Stream(np.zeros((3, 4)), np.arange(2), offsets=np.array([1, 2, 3])), "ascend from 0"),
        (lambda: Stream(np.zeros((3, 4)), np.arange(3), offsets=np.array([0, 2, 1, 3])), "ascend from 0"),
        (lambda: Stream(np.zeros((3, 4)), np.arange(2), offsets=np.array(3)), "ascend from 0"),
        (
            lambda: Stream(np.zeros((3, 4)), np.arange(2), offsets=np.array([0, 1.5, 3])),
            "must be whole",
        ),
        (lambda: Stream(np.uint8(3), np.arange(2), offsets=np.array([0, 1, 3])), "ascend from 0"),
        (lambda: Stream(IMAGES, np.arange(3), boxes=np.zeros((3, 3))), r"boxes must have shape \(3, 4\)"),
    ],
)
def test_a_stream_that_is_none_is_refused(make: Callable[[], Stream], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_whole_times_of_any_dtype_become_int64() -> None:
    for dtype in (np.int32, np.uint64, np.float64):
        stream = images(np.array([0, 5, 9], dtype))
        assert stream.t_ns.dtype == np.int64
        assert stream.t_ns.tolist() == [0, 5, 9]


def test_arrays_cannot_be_written_through_a_stream_whatever_way_it_came() -> None:
    stream = Stream(IMAGES.copy(), np.arange(3), boxes=np.zeros((3, 4)))
    for held in (stream, sent(stream), copy.deepcopy(stream), stream.slice(0, 2)):
        for array in (held.data, held.t_ns, held.boxes):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        stream.units = "m"  # type: ignore[misc]


def test_frames_slices_and_rates() -> None:
    ragged, plain = points((2, 0, 3)), images((0, 100 * MS, 200 * MS))
    assert [len(frame) for frame in frames_of(ragged)] == [2, 0, 3]
    np.testing.assert_array_equal(ragged.frame(-1), ragged.data[2:])
    for stream in (ragged, plain):
        for index in (3, -4):
            with pytest.raises(IndexError):
                stream.frame(index)
    part = ragged.slice(1, 3)
    np.testing.assert_array_equal(part.frame(1), ragged.frame(2))
    assert part.offsets is not None
    assert part.offsets.tolist() == [0, 0, 3]
    np.testing.assert_array_equal(ragged.slice(-2, 3).data, part.data)
    for stream in (ragged, plain):
        for span in ((2, 2), (3, 9), (2, 1)):
            with pytest.raises(InputError, match="frames 0 to 2"):
                stream.slice(*span)
    assert plain.fps == pytest.approx(10.0)
    assert plain.slice(0, 1).fps == 0.0


# ---- specs ----------------------------------------------------------------------------------------


def good(name: str) -> Stream:
    """A stream of that name that fits its spec."""
    spec = STREAM_SPECS[name]
    sizes = [7 if isinstance(size, str) else size for size in spec.shape]
    layout = None
    if name == "keypoints":
        sizes[0], layout = 17, "coco17"
    rows = np.ones((3, *sizes), dtype=spec.dtypes[0])
    offsets = np.array([0, 2, 3]) if spec.ragged else None
    return Stream(rows, np.arange(2 if spec.ragged else 3), spec.units[0], offsets, layout)


@pytest.mark.parametrize("name", STREAM_SPECS)
def test_every_spec_takes_what_fits_and_nothing_else(name: str) -> None:
    spec, stream = STREAM_SPECS[name], good(name)
    check_stream(name, stream)
    deeper = dataclasses.replace(stream, data=stream.data[..., None])
    with pytest.raises(InputError, match=f"stream '{name}' must have shape"):
        check_stream(name, deeper)
    other = dataclasses.replace(stream, data=stream.data.astype(np.int64))
    with pytest.raises(InputError, match=f"stream '{name}' must be .*, not int64"):
        check_stream(name, other)
    with pytest.raises(InputError, match=r"must be in .*, not 'furlong'"):
        check_stream(name, dataclasses.replace(stream, units="furlong"))
    loose = dataclasses.replace(stream, t_ns=np.arange(3), offsets=None if spec.ragged else np.arange(4))
    with pytest.raises(InputError, match="needs frame offsets" if spec.ragged else "takes no frame offsets"):
        check_stream(name, loose)


@pytest.mark.parametrize("name", [n for n, spec in STREAM_SPECS.items() if spec.dtypes[0] == "float32"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_is_refused_where_it_says_nothing(name: str, bad: float) -> None:
    stream = good(name)
    data = stream.data.copy()
    data[1:2].flat[0] = bad
    holed = dataclasses.replace(stream, data=data)
    if STREAM_SPECS[name].nan:
        check_stream(name, holed)
        return
    with pytest.raises(InputError, match=r"holds NaN or infinity .first at row 1"):
        check_stream(name, holed)


def test_keypoints_say_their_layout() -> None:
    stream = good("keypoints")
    with pytest.raises(InputError, match="need a layout; did you mean 'coco17'"):
        check_stream("keypoints", dataclasses.replace(stream, layout="coco_17"))
    with pytest.raises(InputError, match="need a layout"):
        check_stream("keypoints", dataclasses.replace(stream, layout=None))
    with pytest.raises(InputError, match="layout 'blazepose33' has 33 keypoints, not 17"):
        check_stream("keypoints", dataclasses.replace(stream, layout="blazepose33"))
    assert set(STREAM_SPECS["keypoints"].layouts) == set(LAYOUT_JOINTS)


def test_a_lidar_may_see_nothing_and_names_without_a_spec_pass() -> None:
    check_stream("points", points((0, 0)))
    check_stream("radar", Stream(np.full((2, 3), np.nan), np.arange(2), "furlong"))


# ---- sequences ------------------------------------------------------------------------------------


def test_a_sequence_checks_its_streams() -> None:
    with pytest.raises(InputError, match="at least one stream"):
        GaitSequence({})
    with pytest.raises(InputError, match="stream 'depth' must be uint16 or float32, not uint8"):
        GaitSequence({"depth": images()})


def test_a_sequence_does_not_change_with_the_mapping_it_was_made_from() -> None:
    given_streams, covariates = {"silhouette": images()}, {"bag": "left"}
    seq = GaitSequence(given_streams, meta=Meta(covariates=covariates))
    given_streams.clear()
    covariates.clear()
    assert list(seq.streams) == ["silhouette"]
    assert dict(seq.meta.covariates) == {"bag": "left"}
    with pytest.raises(TypeError):
        seq.streams["depth"] = images()  # type: ignore[index]
    with pytest.raises(TypeError):
        seq.meta.covariates["bag"] = "right"  # type: ignore[index]


def test_a_sequence_travels_between_processes(walk: GaitSequence) -> None:
    for twin in (sent(walk), copy.deepcopy(walk)):
        assert twin.subject == walk.subject
        assert twin.meta == walk.meta
        for name, stream in walk.streams.items():
            for field in dataclasses.fields(stream):
                a, b = getattr(stream, field.name), getattr(twin.streams[name], field.name)
                assert (a is None and b is None) or np.array_equal(a, b), (name, field.name)


def test_comparing_walks_is_by_identity_and_never_raises(walk: GaitSequence) -> None:
    twin = copy.deepcopy(walk)
    assert walk == walk
    assert walk != twin
    assert len({walk, twin, walk}) == 2
    assert [twin, walk].index(walk) == 1


def test_times_span_all_streams(walk: GaitSequence) -> None:
    assert walk.start_ns == 5_000_000_000
    last = max(walk.streams["keypoints"].t_ns[-1], walk.streams["points"].t_ns[-1])
    assert walk.duration_s == pytest.approx((last - walk.start_ns) / 1e9)


def test_without_leaves_out_and_says_what_there_is(walk: GaitSequence) -> None:
    left = walk.without("points", "keypoints")
    assert list(left.streams) == ["silhouette"]
    assert (left.subject, left.meta) == (walk.subject, walk.meta)
    with pytest.raises(InputError, match="no stream 'point' to leave out; did you mean 'points'"):
        walk.without("point")
    with pytest.raises(InputError, match="at least one stream"):
        left.without("silhouette")


@given(st.floats(-1, 2), st.floats(-1, 2))
@settings(max_examples=60, deadline=None)
def test_a_window_is_a_filter_of_times(start_s: float, stop_s: float) -> None:
    seq = GaitSequence({"silhouette": images(np.arange(9) * 100 * MS + 7), "points": points((1, 2, 1, 0))})
    kept = {}
    for name, stream in seq.streams.items():
        since = stream.t_ns - seq.start_ns
        inside = (since >= round(start_s * 1e9)) & (since < round(stop_s * 1e9))
        if inside.any():
            kept[name] = stream.t_ns[inside]
    if not kept:
        with pytest.raises(InputError, match="no frame lies between"):
            seq.window(start_s, stop_s)
        return
    got = seq.window(start_s, stop_s)
    assert set(got.streams) == set(kept)
    for name, t_ns in kept.items():
        np.testing.assert_array_equal(got.streams[name].t_ns, t_ns)


def test_windows_to_the_end_and_nowhere(walk: GaitSequence) -> None:
    whole = walk.window(-math.inf, math.inf)
    assert [len(s) for s in whole.streams.values()] == [len(s) for s in walk.streams.values()]
    with pytest.raises(InputError, match="not NaN"):
        walk.window(math.nan, 1.0)


# ---- pairing clocks -------------------------------------------------------------------------------

clocks = st.lists(st.integers(0, 400), min_size=1, max_size=12, unique=True).map(sorted)


@given(st.dictionaries(st.sampled_from("abc"), clocks, min_size=1), st.floats(0, 0.1))
@settings(max_examples=150, deadline=None)
def test_align_equals_brute_force(times: dict[str, list[int]], tolerance_s: float) -> None:
    streams = {name: images(np.array(t) * MS) for name, t in times.items()}
    lead = min(streams, key=lambda name: (streams[name].fps, name))
    wanted: dict[str, list[int]] = {name: [] for name in times}
    for instant in times[lead]:
        nearest = {n: min(range(len(t)), key=lambda i: (abs(t[i] - instant), i)) for n, t in times.items()}
        if all(abs(times[n][i] - instant) * MS <= tolerance_s * 1e9 for n, i in nearest.items()):
            for name, index in nearest.items():
                wanted[name].append(index)
    got = align(streams, tolerance_s)
    assert {name: index.tolist() for name, index in got.items()} == wanted


def test_the_slower_clock_leads_even_if_it_ran_longer() -> None:
    camera, lidar = images(np.arange(30) * 33 * MS), images(np.arange(100) * 100 * MS)
    got = align({"camera": camera, "lidar": lidar}, 0.02)
    assert got["lidar"].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], "each frame of the slow clock once"
    with pytest.raises(InputError, match="at least one stream"):
        align({}, 0.1)


# ---- answers --------------------------------------------------------------------------------------


def test_body_mass_index_needs_both() -> None:
    assert Labels(height_m=2.0, mass_kg=80.0).bmi_kg_m2 == pytest.approx(20.0)
    assert Labels(height_m=2.0).bmi_kg_m2 is None
    assert Labels(mass_kg=80.0).bmi_kg_m2 is None


def test_answers_become_plain_values() -> None:
    answer = Recognition("unknown", 0.2, 0.5, False, (Candidate("p1", 0.2),), streams={"lidar": ("points",)})
    assert not answer.known
    assert dataclasses.replace(answer, identity="p1").known
    plain = answer.to_dict()
    assert plain["candidates"] == ({"subject": "p1", "score": 0.2},)
    assert plain["streams"] == {"lidar": ("points",)}
    assert Verification(True, 0.9, 0.5, False).to_dict()["same"] is True
