"""A gateway that only sends: encoded streams, as fast as its client takes them.

Owns the server's side of the measured connections, in a process of its own (`python -m benchmark.gateway`).
Commands and answers are lines of JSON. A stream is encoded when it is prepared, never while it is sent, so
that encoding delays nothing.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from benchmark import streams
from tracker.clock import now
from tracker.paper import encode_messages, framing
from tracker.paper.framing import Fields
from tracker.paper.model import PaperPosition

_REQUEST_DIGITS: Final = range(1, 11)
"""The most digits of a request's number; the day's answer is encoded once for each length."""


class Client:
    """Serve one client's requests in a thread of its own; streams go out from the thread that sends them."""

    def __init__(self, peer: socket.socket, gateway: Gateway) -> None:
        self._peer = peer
        self._gateway = gateway
        self._sending = threading.Lock()
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=self._serve, daemon=True).start()

    def send(self, data: bytes) -> None:
        """Send whole messages; returns when the kernel has taken them all."""
        with self._sending:
            self._peer.sendall(data)

    def _serve(self) -> None:
        hello: tuple[framing.Hello, bytes] | None = None
        greeting = framing.HelloReader()
        while hello is None:
            data = self._peer.recv(1 << 16)
            if not data:
                return
            hello = greeting.feed(data)
        self.send(framing.frame((str(streams.VERSION), "20301220 09:30:00 UTC")))
        frames, rest = framing.FrameReader(), hello[1]
        while True:
            for fields in frames.feed(rest):
                self.send(self._gateway.answer(fields))
            try:
                rest = self._peer.recv(1 << 16)
            except ConnectionError:
                # A client that was killed resets the link.
                rest = b""
            if not rest:
                return


@dataclass(frozen=True, slots=True)
class _Prepared:
    """Hold an encoded stream, and what its fills add to the positions once it is sent."""

    data: bytes
    held: dict[int, PaperPosition]


class Gateway:
    """Hold the prepared streams, the positions, and the executions that answer a request for the day's."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._client: Client | None = None
        self._streams: dict[str, _Prepared] = {}
        self._positions: dict[int, PaperPosition] = {}
        """conId -> what was filled since the start."""
        self._day: dict[int, bytes] = {}
        """Digits of a request's number -> the executions that answer it, with @ in the number's place."""

    def accept(self) -> None:
        """Accept clients for ever; streams are sent to the last one."""
        while True:
            peer, _ = self._server.accept()
            self._client = Client(peer, self)

    def answer(self, fields: Fields) -> bytes:
        """Return what a request is answered with."""
        if fields[0] == "7":
            # reqExecutions: 7, its version, its number, the filter.
            request = fields[2]
            day = self._day.get(len(request), b"")
            placed = day.replace(_place(len(request)), b"\0%b\0" % request.encode())
            return placed + framing.frame(encode_messages.executions_end(int(request)))
        return streams.encode(self._messages(fields))

    def _messages(self, fields: Fields) -> Iterator[Fields]:
        kind = fields[0]
        if kind == "71":
            yield encode_messages.managed_accounts([streams.ACCOUNT])
            yield encode_messages.next_valid_id(1)
        elif kind in ("5", "16"):
            yield encode_messages.open_order_end()
        elif kind == "61":
            yield from map(encode_messages.position, list(self._positions.values()))
            yield encode_messages.position_end()
        elif kind == "99":
            yield encode_messages.completed_orders_end()
        elif kind == "6":
            yield encode_messages.account_download_end(streams.ACCOUNT)
        elif kind == "49":
            yield encode_messages.current_time(int(now().timestamp()))

    def prepare(self, name: str, plan: streams.Plan) -> dict[str, Any]:
        """Encode a stream; returns what the alerts show in the end, and its size in bytes."""
        made = streams.stream(plan, _moment())
        data = made.encoded()
        self._streams[name] = _Prepared(data, made.held)
        return {"prepared": name, "shown": made.shown, "bytes": len(data)}

    def prepare_day(self, plan: streams.Plan) -> dict[str, Any]:
        """Encode the executions of the day, with their fees, for every later request."""
        made = streams.stream(plan, _moment())
        fees = streams.encode(part for part in made.parts if part[0] == "59")
        for digits in _REQUEST_DIGITS:
            number = "@" * digits
            listed = ((part[0], number, *part[2:]) for part in made.executions)
            self._day[digits] = streams.encode(listed) + fees
        self._fill(made.held)
        return {"prepared": "day", "shown": made.shown, "bytes": len(self._day[1])}

    def send(self, name: str) -> dict[str, Any]:
        """Send a stream once; returns when that began."""
        assert self._client is not None, "a client is there before a stream is sent"
        prepared = self._streams.pop(name)
        # An answer that is requested meanwhile comes after the fills, and contains them.
        self._fill(prepared.held)
        began = time.perf_counter()
        self._client.send(prepared.data)
        return {"sent": name, "began": began}

    def _fill(self, held: dict[int, PaperPosition]) -> None:
        """Add what was filled to the positions."""
        for con_id, more in held.items():
            position = self._positions.setdefault(con_id, PaperPosition(more.account, more.contract))
            position.add(more.quantity, more.average_cost / more.contract.factor)


def _place(digits: int) -> bytes:
    return b"\0%b\0" % (b"@" * digits)


def _moment() -> datetime:
    return now().replace(microsecond=0)


def main() -> None:
    """Serve until standard input ends."""
    gateway = Gateway()
    threading.Thread(target=gateway.accept, daemon=True).start()
    _say({"port": gateway.port})
    for line in sys.stdin:
        command: dict[str, Any] = json.loads(line)
        if command.get("prepare") == "day":
            _say(gateway.prepare_day(streams.Plan(**command["plan"])))
        elif "prepare" in command:
            _say(gateway.prepare(command["prepare"], streams.Plan(**command["plan"])))
        else:
            _say(gateway.send(command["send"]))


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
