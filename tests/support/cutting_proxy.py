"""A TCP proxy that cuts a connection after so many bytes, or goes silent, as networks do."""

from __future__ import annotations

import select
import socket
import threading
from contextlib import suppress
from types import TracebackType

_CHUNK = 65_536
_TICK_SECONDS = 0.05


class CuttingProxy:
    """Pass bytes between a port of its own and another one of the loopback, for any number of connections."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._left: int | None = None
        self._talking = threading.Event()
        self._talking.set()
        self._closed = self._refuses = False
        self.passed = 0
        """How many bytes went through, both ways together."""
        self.cuts = 0
        """How often all connections were cut."""
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_after(self, count: int) -> None:
        """Cut all connections once so many more bytes went through, both ways together; then go on as new."""
        with self._lock:
            self._left = count
        if not count:
            self._spend(0)

    def cut(self) -> None:
        """Cut all connections now."""
        self.cut_after(0)

    def go_silent(self) -> None:
        """Pass nothing on, and keep all connections open; new ones are taken and hear nothing."""
        self._talking.clear()

    def refuse(self) -> None:
        """Cut all connections, and end new ones at once, as where nothing listens."""
        self._refuses = True
        self.cut()

    def go_on(self) -> None:
        """Take connections, and pass on what waited and all that follows."""
        self._refuses = False
        self._talking.set()

    def close(self) -> None:
        self._closed = True
        self._talking.set()
        self.cut()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def __enter__(self) -> CuttingProxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._refuses:
                client.close()
                continue
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self._target), timeout=5)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        pair = client, server
        for one in pair:
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._pairs.add(pair)
        try:
            self._pass(client, server)
        except OSError:
            pass  # Either end, or a cut, ended it.
        finally:
            with self._lock:
                self._pairs.discard(pair)
            client.close()
            server.close()

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        other = {client: server, server: client}
        while not self._closed:
            self._talking.wait()
            for one in select.select([client, server], [], [], _TICK_SECONDS)[0]:
                data = one.recv(_CHUNK)
                if not data:
                    return
                # It may have gone silent while this waited.
                self._talking.wait()
                allowed = self._allowed(len(data))
                other[one].sendall(data[:allowed])
                self._spend(allowed)

    def _allowed(self, wanted: int) -> int:
        with self._lock:
            return wanted if self._left is None else min(wanted, self._left)

    def _spend(self, count: int) -> None:
        with self._lock:
            self.passed += count
            if self._left is None:
                return
            self._left -= count
            if self._left > 0:
                return
            self._left = None
            self.cuts += 1
            pairs = list(self._pairs)
        for pair in pairs:
            for one in pair:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
