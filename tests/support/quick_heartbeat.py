"""Run the tracker as `python -m tests.support.quick_heartbeat run ...`: it beats ten times a second.

$LEAST_ROOM, where it is given, is the room in bytes that a disk must have for it. A server that counts the
calls is here too.
"""

from __future__ import annotations

import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

from tracker.notify import heartbeat

PATH = "/secret-uuid?token=sesame"


class Monitor:
    """Count the calls on the loopback; `code` is what is answered."""

    def __init__(self) -> None:
        self.code = 200
        self.calls: list[str] = []
        monitor = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                monitor.calls.append(self.path)
                self.send_response(monitor.code)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing: standard error is the tests'."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}{PATH}"

    def __enter__(self) -> Monitor:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()


if __name__ == "__main__":
    heartbeat.EVERY_SECONDS = 0.1  # type: ignore[misc]  # A test need not wait for a minute.
    heartbeat.LEAST_ROOM = int(os.environ.get("LEAST_ROOM", "0"))  # type: ignore[misc]  # As above.
    from tracker.cli.main import main

    sys.exit(main())
