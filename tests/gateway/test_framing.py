"""Framing gives each message once it is whole, however the network sliced the bytes."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.gateway.framing import FIELDS_LIMIT, FRAME_LIMIT, Framing
from tracker.paper.framing import frame

ORDER = ("5", "42", "700100200", "NVDA", *map(str, range(140)))
STATUS = ("3", "42", "Submitted", "0", "10")

messages = st.lists(
    st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1).map(
        tuple
    )
)


def read(framing: Framing, *slices: bytes) -> list[tuple[str, ...]]:
    return [fields for each in slices for fields in framing.feed(each)]


@given(told=messages, cuts=st.lists(st.integers(0, 400)))
def test_messages_survive_any_cut(told: list[tuple[str, ...]], cuts: list[int]) -> None:
    """Messages come whole wherever the bytes were cut."""
    data = b"".join(map(frame, told))
    places = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    slices = [data[start:end] for start, end in pairwise(places)]
    assert read(Framing(b""), *slices) == told
    assert read(Framing(b""), *(data[at : at + 1] for at in range(len(data)))) == told


def test_what_the_login_left_comes_first() -> None:
    data = frame(STATUS) + frame(ORDER)
    assert read(Framing(data[:30]), data[30:]) == [STATUS, ORDER]
    assert read(Framing(data), b"") == [STATUS, ORDER]


@pytest.mark.parametrize("told", [ORDER, STATUS])
def test_copy_of_orders_message_is_one_object(told: tuple[str, ...]) -> None:
    """What a gateway repeats about an order is split once."""
    first, other, second = read(Framing(b""), frame(told), frame((*told, "Filled")), frame(told))
    assert second is first
    assert other == (*told, "Filled")


def test_few_orders_are_kept() -> None:
    """Many orders are read, and few kept."""
    framing = Framing(b"")
    told = [("5", str(number), "NVDA") for number in range(1000)]
    assert read(framing, *map(frame, told)) == told
    assert len(framing._known) <= 64


def test_invalid_utf8_is_escaped() -> None:
    """Bytes that are no UTF-8 are spelled out."""
    assert read(Framing(b""), b"\x00\x00\x00\x04a\0\xff\0") == [("a", "\\xff")]


def test_rest_behind_last_nul_dropped() -> None:
    """What follows the last NUL is no field."""
    assert read(Framing(b""), b"\x00\x00\x00\x05a\0b\0c") == [("a", "b")]


def test_empty_message_is_left_out() -> None:
    """A message without a field says nothing and is left out."""
    assert read(Framing(b""), b"\x00\x00\x00\x00" + frame(STATUS)) == [STATUS]


def test_unfinished_message_is_seen() -> None:
    """Whether the beginning of a message waits for its rest, also if that is less than its length."""
    framing = Framing(b"")
    data = frame(STATUS)
    for count in (1, 4, len(data) - 1):
        framing = Framing(data[:count])
        assert framing.unfinished
        assert framing.feed(data[count:]) == [STATUS]
        assert not framing.unfinished


def test_large_message_is_not_copied_each_time() -> None:
    """Two million bytes that come one hundred at a time are put together in little time."""
    body = b"a\0" * 1_000_000
    data = len(body).to_bytes(4, "big") + body
    framing = Framing(b"")
    found = [message for at in range(0, len(data), 100) for message in framing.feed(data[at : at + 100])]
    assert [len(message) for message in found] == [FIELDS_LIMIT], "and no more memory for its fields"


def test_absurd_length_breaks_at_once() -> None:
    """A length that no gateway sends is refused as soon as its four bytes are there."""
    framing = Framing(b"")
    assert read(framing, frame(STATUS) + FRAME_LIMIT.to_bytes(4, "big")) == [STATUS]
    assert framing.broken == ""
    framing = Framing(b"")
    assert read(framing, frame(STATUS) + (FRAME_LIMIT + 1).to_bytes(4, "big")) == [STATUS]
    assert framing.broken == "a message of 16777216 bytes is announced"
