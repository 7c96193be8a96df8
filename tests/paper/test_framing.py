"""Frames and the handshake, however the network slices them."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.paper.framing import FrameReader, Hello, HelloReader, WireError, frame, negotiate

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
messages = st.lists(st.lists(texts, min_size=1, max_size=8).map(tuple), max_size=6)


def sliced(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return [*pieces, data]


@given(messages, st.lists(st.integers(0, 30), max_size=30))
def test_round_trip_however_sliced(sent: list[tuple[str, ...]], sizes: list[int]) -> None:
    """Messages come out as they went in however they are sliced."""
    reader = FrameReader()
    got = [fields for piece in sliced(b"".join(map(frame, sent)), sizes) for fields in reader.feed(piece)]
    assert got == sent
    assert reader.feed(frame(["49", "1"])) == [("49", "1")], "nothing was left over"


def test_an_empty_frame_is_passed_over() -> None:
    assert FrameReader().feed(b"\0\0\0\0" + frame(["49", "1"])) == [("49", "1")]


def test_last_field_without_nul() -> None:
    """A last field without nul is kept."""
    assert FrameReader().feed(struct.pack(">I", 5) + b"49\x001x") == [("49", "1x")]


def test_frame_over_the_limit() -> None:
    """A frame over the limit is refused before it is read."""
    reader = FrameReader(limit=100)
    with pytest.raises(WireError, match="101 bytes"):
        reader.feed(struct.pack(">I", 101))


def test_frame_of_the_limit() -> None:
    """A frame of the limit waits until it is whole."""
    reader = FrameReader(limit=100)
    for piece in (struct.pack(">I", 100), *[b"aaaa"] * 24):
        assert reader.feed(piece) == []
    assert reader.feed(b"aaaa") == [("a" * 100,)]


def test_invalid_utf8_keeps_the_stream() -> None:
    """Invalid utf8 does not stop the stream."""
    body = b"7\0\xff\xfe\0"
    assert FrameReader().feed(struct.pack(">I", len(body)) + body) == [("7", "\ufffd\ufffd")]


def test_field_with_nul_is_refused() -> None:
    """A field with nul cannot be framed."""
    with pytest.raises(ValueError, match="NUL"):
        frame(["3", "a\0b"])


@given(st.lists(st.integers(0, 5), max_size=30))
def test_hello_however_sliced(sizes: list[int]) -> None:
    """The hello is read however it is sliced."""
    text = b"v157..176 +PACEAPI"
    data = b"API\0" + struct.pack(">I", len(text)) + text + b"rest"
    reader = HelloReader()
    found, rest = None, b""
    for piece in sliced(data, sizes):
        if found is None:
            got = reader.feed(piece)
            if got is not None:
                found, rest = got
        else:
            rest += piece
    assert found == Hello(157, 176, "+PACEAPI")
    assert rest == b"rest"


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"AP1\0",
        b"API\0" + struct.pack(">I", 2000),
        b"API\0" + struct.pack(">I", 4) + b"x157",
        b"API\0" + struct.pack(">I", 12) + b"v157..176..1",
    ],
)
def test_other_beginnings_are_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        HelloReader().feed(data)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_wire_error(data: bytes) -> None:
    """Arbitrary bytes raise nothing but a wire error."""
    for reader in (HelloReader(), FrameReader(limit=50)):
        feed: Any = reader.feed
        try:
            feed(data)
        except WireError:
            continue


@pytest.mark.parametrize(
    ("lowest", "highest", "version"),
    [(157, 176, 176), (157, 178, 178), (100, 226, 178), (157, 157, 157), (100, 156, None), (179, 226, None)],
)
def test_version_negotiation(lowest: int, highest: int, version: int | None) -> None:
    """The lower of both highest versions is agreed."""
    assert negotiate(Hello(lowest, highest)) == version
