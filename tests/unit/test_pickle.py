"""Pickles read without running them: what comes back is what went in, and no payload runs."""

from __future__ import annotations

import os
import pickle  # noqa: TID251 - to make the files that the reader gets
import pickletools
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gait3dlib._pickle import Record, loads, read_pickle
from gait3dlib.errors import InputError

ARRAYS = [
    np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.arange(6, dtype=">f8").reshape(3, 2),
    np.array([[True, False, True]]),
    np.zeros((0, 3), np.float32),
    np.zeros(0, np.bool_),
    np.array(7, np.int64),
    np.arange(5, dtype=np.float16)[::-2],
    np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2),
]
PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


class Runs:
    """Makes a folder when it is unpickled by somebody who trusts it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.folder),)


class Foreign:
    """Of a class that the reader has never heard of."""


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("index", range(len(ARRAYS)))
def test_arrays_come_back(index: int, protocol: int) -> None:
    array = ARRAYS[index]
    for value in (array, [array, array], {"v": array, "n": (1, -2, 2.5, None, True, "ü", b"\xff", 10**30)}):
        back = loads(pickle.dumps(value, protocol))
        got = back["v"] if isinstance(back, dict) else back[1] if isinstance(back, list) else back
        assert got.dtype == array.dtype.newbyteorder("=")
        assert got.shape == array.shape
        np.testing.assert_array_equal(got, array)
        if isinstance(back, dict):
            assert back["n"] == value["n"]  # type: ignore[index, call-overload]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_numpys_scalars_and_arrays_of_arrays(protocol: int) -> None:
    clouds = np.empty(2, dtype=object)
    clouds[:] = [np.ones((3, 3)), np.zeros((5, 3))]
    back = loads(pickle.dumps([np.float64(2.5), np.uint8(3), clouds], protocol))
    assert back[:2] == [2.5, 3]
    assert [cloud.shape for cloud in back[2]] == [(3, 3), (5, 3)]


def test_what_python_2_wrote() -> None:
    raw = struct.pack("<3f", 1, 2, 3)
    written = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85U\x01b\x87Rq\x03"
        b"(K\x01K\x03\x85cnumpy\ndtype\nq\x04U\x02f4K\x00K\x01\x87Rq\x05(K\x03U\x01<NNNJ\xff\xff\xff\xff"
        b"J\xff\xff\xff\xffK\x00tb\x89U\x0c" + raw + b"tb."
    )
    assert loads(written).tolist() == [1, 2, 3]


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.tuples(inner, inner)
            | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        ),
        max_leaves=12,
    ),
    st.sampled_from(PROTOCOLS),
)
def test_plain_values_come_back(value: object, protocol: int) -> None:
    written = pickle.dumps(value, protocol)
    try:
        back = loads(written)
    except InputError:
        # protocol 0 may write a negative zero or NaN in ways of its own, but never what is refused here
        pytest.fail(pickletools.dis(written) or "refused")
    assert back == value


# ---- hostile --------------------------------------------------------------------------------------


def flat(value: object) -> list[object]:
    """A value and all that lies inside of it."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return [value, *(item for part in inner for item in flat(part))]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_payload_runs(protocol: int, tmp_path: Path) -> None:
    made = tmp_path / "made"
    path = tmp_path / "evil.pkl"
    for value in (Runs(made), [np.zeros(3), Runs(made)], {"a": (Runs(made),)}):
        path.write_bytes(pickle.dumps(value, protocol))
        with pytest.raises(InputError, match=r"evil.pkl is refused: it names '\w+.mkdir'"):
            read_pickle(path)
        records = read_pickle(path, records=True)  # kept as a description, and still not run
        assert not made.exists()
        (found,) = [r for r in flat(records) if isinstance(r, Record)]
        assert found.name.endswith("mkdir")
        assert found.args == (str(made),)
    pickle.loads(pickle.dumps(Runs(made), protocol))
    assert made.exists(), "the payload works where a pickle is trusted"


@pytest.mark.parametrize(
    "written",
    [
        b"cos\nsystem\n(S'touch /tmp/never'\ntR.",
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x01x\x85R.",
        b"(S'touch /tmp/never'\nios\nsystem\n.",
        b"(cos\nsystem\nS'x'\no.",
        b"\x80\x02\x82\x01.",
        b"Pname\n.",
        b"\x80\x04\x8f.",
        b"\x80\x05\x97.",
        b"cnumpy\nload\n(S'x'\ntR.",
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nmemmap\n(I0\ntS'b'\ntR.",
        b"cnumpy\ndtype\n(S'V8'\nI0\nI1\ntR.",
        b"cnumpy\ndtype\n(S'i4,i4'\nI0\nI1\ntR.",
    ],
)
def test_other_ways_to_name_code_are_refused(written: bytes) -> None:
    with pytest.raises(InputError, match="refused"):
        loads(written)


@pytest.mark.parametrize(
    "written",
    [
        b"cnumpy\nndarray\n.",
        b"cnumpy\nndarray\n(I9\ntR.",
        b"cnumpy\ndtype\n(S'f8'\nI0\nI1\ntR.",
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR.",
        b"(lcnumpy\ndtype\n(S'f8'\nI0\nI1\ntRa.",
        b".",
        b"0.",
        b"g7\n.",
        b"I1\nI2\na.",
        b"I1\nI2\nb.",
        b"}I1\ns.",
        b"]]s.",
        b"}](I1\ntI2\ns(]I1\nu.",
        b"\x8a\xff.",
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"B\xff\xff\xff\x7fx.",
        b"",
        b"PK\x03\x04 a zip",
        b"\x89HDF\r\n\x1a\n",
        b"I" + b"9" * 5000 + b"\n.",
    ],
)
def test_nonsense_is_one_sentence(written: bytes) -> None:
    with pytest.raises(InputError, match=r"^the pickle "):
        loads(written)


def test_every_cut_of_a_file_is_noticed() -> None:
    whole = pickle.dumps([np.arange(20, dtype=np.uint8).reshape(4, 5), {"a": [1.5, "x"]}], 4)
    for length in range(len(whole)):
        with pytest.raises(InputError, match=r"copy it again|refused"):
            loads(whole[:length])
    with pytest.raises(InputError, match="truncated"):
        loads(whole[: len(whole) // 2])


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 255), st.sampled_from([0, 2, 4]))
def test_a_changed_byte_gives_values_or_one_sentence(place: int, byte: int, protocol: int) -> None:
    whole = bytearray(pickle.dumps([ARRAYS[0], ARRAYS[2], {"a": (1, "x")}], protocol))
    whole[place % len(whole)] = byte
    message = ""
    try:
        loads(bytes(whole))
    except InputError as error:
        message = str(error)
    assert len(message.splitlines()) <= 1


def test_sizes_are_held_against_the_bytes() -> None:
    """A declared size costs nothing, however large."""
    huge = pickle.dumps(np.zeros(2, np.uint8), 2).replace(b"K\x02\x85", b"\x8a\x05\0\0\0\0\x40\x85")
    with pytest.raises(InputError, match="damaged"):
        loads(huge)
    negative = pickle.dumps(np.zeros(2, np.uint8), 2).replace(b"K\x02\x85", b"J\xfe\xff\xff\xff\x85")
    with pytest.raises(InputError, match="damaged"):
        loads(negative)


def test_the_same_bytes_are_not_copied_for_ever() -> None:
    text = b"x" * 1000
    once = b"c_codecs\nencode\nq\x00X\xe8\x03\0\0" + text + b"q\x01X\x06\0\0\0latin1q\x02\x87"
    assert loads(b"\x80\x02c_codecs\nencode\nX\x02\0\0\0hiX\x06\0\0\0latin1\x86R.") == b"hi"
    again = b"h\x00h\x01h\x02\x86R" * 200
    with pytest.raises(InputError, match="again and again"):
        loads(b"\x80\x02]" + once + b"0" + again + b".")


def test_shared_and_endless_lists_are_only_references() -> None:
    bomb = b"]q\x00(K\x01K\x01e0" + b"".join(
        b"]q" + bytes([i + 1]) + b"(h" + bytes([i]) + b"h" + bytes([i]) + b"e0" for i in range(100)
    )
    value = loads(bomb + b"hd.")
    assert value[0] is value[1]
    endless = loads(b"]q\x00h\x00a.")
    assert endless[0] is endless


def test_steps_and_bytes_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gait3dlib._pickle._machine.MAX_STEPS", 50)
    with pytest.raises(InputError, match="more than 50 steps"):
        loads(pickle.dumps(list(range(300))))
    monkeypatch.setattr("gait3dlib._pickle.MAX_BYTES", 10)
    path = tmp_path / "large.pkl"
    path.write_bytes(pickle.dumps("x" * 20))
    with pytest.raises(InputError, match="at most 10 are read"):
        read_pickle(path)
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_pickle(tmp_path / "none.pkl")
    with pytest.raises(InputError, match="cannot be read"):
        read_pickle(tmp_path)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_records_describe_objects_of_other_classes(protocol: int) -> None:
    thing = Foreign()
    thing.x = np.arange(3.0)  # type: ignore[attr-defined]
    thing.inner = Foreign()  # type: ignore[attr-defined]
    written = pickle.dumps({"thing": thing}, protocol)
    with pytest.raises(InputError, match="refused"):
        loads(written)
    record = loads(written, records=True)["thing"]
    assert isinstance(record, Record)
    assert record.name == f"{__name__}.Foreign"
    assert record.state["x"].tolist() == [0, 1, 2]
    assert record.state["inner"].name == record.name
