"""The bytes of the TWS socket protocol, seen from the server's side.

Owns the handshake and the framing (4-byte big-endian length, fields ended by NUL), incremental and bounded.
It never touches a socket and knows no message: a message here is a tuple of texts.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

Fields: TypeAlias = tuple[str, ...]

MIN_VERSION: Final = 157
"""The oldest layout this gateway can write; ib_insync and ib_async refuse anything older, too."""
MAX_VERSION: Final = 178
"""The newest layout that all three known clients read; ibapi wants protobuf from 201 on."""
MAX_REQUEST_BYTES: Final = 1 << 18
"""The longest request of a client; a real placeOrder is a few kilobytes."""

_PREAMBLE: Final = b"API\0"
_MAX_HELLO_BYTES: Final = 1024
_HELLO: Final = re.compile(r"v(\d{1,5})(?:\.\.(\d{1,5}))?(?: (.*))?")


class WireError(Exception):
    """Raised where the peer sent bytes that are not of this protocol; nothing more can be read from it."""


@dataclass(frozen=True, slots=True)
class Hello:
    """Hold the first message of a client: the versions it speaks."""

    lowest: int
    highest: int
    options: str = ""


def frame(fields: Iterable[str]) -> bytes:
    """Return one frame; ValueError where a field contains NUL, which would shift every later field."""
    texts = tuple(fields)
    if any("\0" in text for text in texts):
        raise ValueError(f"a field contains NUL: {texts[:2]!r}")
    body = "".join(f"{text}\0" for text in texts).encode("utf-8", "backslashreplace")
    return struct.pack(">I", len(body)) + body


class FrameReader:
    """Cut a stream of bytes into messages, however the network sliced it."""

    def __init__(self, limit: int = MAX_REQUEST_BYTES) -> None:
        self._limit = limit
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Fields]:
        """Return the messages that `data` completes; empty frames are skipped, as real servers do.

        Raises WireError when a frame announces more than the limit.
        """
        self._buffer += data
        messages: list[Fields] = []
        start = 0
        while len(self._buffer) - start >= 4:
            (length,) = struct.unpack_from(">I", self._buffer, start)
            if length > self._limit:
                raise WireError(f"a frame of {length} bytes is longer than the limit of {self._limit}")
            end = start + 4 + length
            if len(self._buffer) < end:
                break
            if length:
                messages.append(_fields(bytes(self._buffer[start + 4 : end])))
            start = end
        del self._buffer[:start]
        return messages


class HelloReader:
    """Read `API\\0`, a length and `vA..B[ options]`, however the network sliced them."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> tuple[Hello, bytes] | None:
        """Return the hello and the bytes after it, None while it is incomplete; WireError for others."""
        self._buffer += data
        head = bytes(self._buffer[: len(_PREAMBLE)])
        if head != _PREAMBLE[: len(head)]:
            raise WireError(f"the client does not speak the TWS API: it began with {head!r}")
        if len(self._buffer) < len(_PREAMBLE) + 4:
            return None
        (length,) = struct.unpack_from(">I", self._buffer, len(_PREAMBLE))
        if length > _MAX_HELLO_BYTES:
            raise WireError(f"a version string of {length} bytes is longer than {_MAX_HELLO_BYTES}")
        end = len(_PREAMBLE) + 4 + length
        if len(self._buffer) < end:
            return None
        text = bytes(self._buffer[len(_PREAMBLE) + 4 : end]).decode("ascii", "replace").rstrip("\0")
        found = _HELLO.fullmatch(text)
        if found is None:
            raise WireError(f"the version string {text[:40]!r} is not of the form vA..B")
        lowest = int(found[1])
        return Hello(lowest, int(found[2] or lowest), found[3] or ""), bytes(self._buffer[end:])


def negotiate(hello: Hello, highest: int = MAX_VERSION) -> int | None:
    """Return the newest version that both sides speak; None where the client is too old or too new."""
    version = min(highest, hello.highest)
    return version if version >= max(MIN_VERSION, hello.lowest) else None


def no_common_version(hello: Hello, highest: int) -> str:
    """Return why a client cannot be served, and the next step."""
    spoken = f"the client speaks server versions {hello.lowest} to {hello.highest}"
    if hello.lowest > highest:
        return (
            f"{spoken}, this gateway {MIN_VERSION} to {highest}: use an older version of the client library"
            " (from 201 on the protocol is another one, protobuf)"
        )
    return f"{spoken}, this gateway {MIN_VERSION} to {highest}: use a newer version of the client library"


def _fields(body: bytes) -> Fields:
    texts = body.decode("utf-8", "replace").split("\0")
    # A well-formed body ends in NUL; a last field without it is kept rather than lost.
    return tuple(texts if texts[-1] else texts[:-1])
