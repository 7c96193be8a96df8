"""A webhook on the loopback that keeps what it is told, and may refuse or hang."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


class Webhook:
    """Take Apprise's json:// messages; `code` is what it answers, `hang` keeps it from answering."""

    def __init__(self) -> None:
        self.code = 200
        self.received: list[dict[str, Any]] = []
        self.asked = 0
        self.hang = threading.Event()
        """While set, requests are read and not answered."""
        self._release = threading.Event()
        hook = self

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.asked += 1
                if hook.hang.is_set():
                    hook._release.wait()
                    self.close_connection = True
                    return
                if hook.code == 200:
                    hook.received.append(json.loads(body))
                self.send_response(hook.code)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing: standard error is the tests'."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self._server.daemon_threads = True
        self.url = f"json://user:sesame@127.0.0.1:{self._server.server_port}/secret-path"

    def __enter__(self) -> Webhook:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._release.set()
        self._server.shutdown()
        self._server.server_close()

    def lines(self) -> list[str]:
        """Return every line received so far."""
        return [line for message in self.received for line in message["message"].splitlines()]

    def said(self, words: str) -> bool:
        """Return whether some line holds these words."""
        return any(words in line for line in self.lines())
