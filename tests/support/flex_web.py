"""IBKR's Flex web service as it is documented, on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

TOKEN = "123456789012345678901234"
QUERY = "987654"
_PATH = "/AccountManagement/FlexWebService"
_REFERENCE = "5555555555"
_WORDS = {"1019": "Statement generation in progress. Please try again shortly."}


@dataclass
class FlexWeb:
    """Answer SendRequest and GetStatement; what is asked is noted in `asked`."""

    report: str = "<FlexQueryResponse/>"
    send: list[str] = field(default_factory=list)
    """Error codes of the first SendRequests; then they succeed."""
    get: list[str] = field(default_factory=list)
    """Error codes of the first GetStatements; then the report comes."""
    url: str = ""
    """Where it says that the statement is; empty for its own address."""
    raw: bytes = b""
    """What it answers to everything, where it is not empty."""
    drip: bool = False
    """Whether it sends one byte after the other, and never ends."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Each request's last part of the path, and what it names."""
    agents: set[str] = field(default_factory=set)
    port: int = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}{_PATH}"

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[FlexWeb]:
        """Serve on a free port."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            await self._answer(head, writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, head: str, writer: asyncio.StreamWriter) -> None:
        target = head.split()[1]
        self.agents |= {line[12:] for line in head.splitlines() if line.lower().startswith("user-agent: ")}
        parts = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        name = parts.path.rpartition("/")[2]
        self.asked.append((name, query.get("q", "")))
        if self.drip:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while True:
                writer.write(b"<")
                await writer.drain()
                await asyncio.sleep(0.01)
        if self.raw:
            writer.write(self.raw)
            return
        body = self._body(name, query).encode()
        # The service sends its statements in chunks.
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nTransfer-Encoding: chunked\r\n\r\n")
        for start in range(0, len(body), 1000):
            piece = body[start : start + 1000]
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        writer.write(b"0\r\n\r\n")

    def _body(self, name: str, query: dict[str, str]) -> str:
        if query.get("t") != TOKEN:
            return _failure("1015")
        if name == "SendRequest":
            if self.send:
                return _failure(self.send.pop(0))
            if query.get("q") != QUERY:
                return _failure("1014")
            url = self.url or f"{self.base_url}/GetStatement"
            return _response(
                f"<Status>Success</Status><ReferenceCode>{_REFERENCE}</ReferenceCode><Url>{url}</Url>"
            )
        if self.get:
            return _failure(self.get.pop(0))
        return self.report if query.get("q") == _REFERENCE else _failure("1017")


def _failure(code: str) -> str:
    status = "Warn" if code in ("1018", "1019") else "Fail"
    words = _WORDS.get(code, "words of the service")
    return _response(
        f"<Status>{status}</Status><ErrorCode>{code}</ErrorCode><ErrorMessage>{words}</ErrorMessage>"
    )


def _response(body: str) -> str:
    return f'<FlexStatementResponse timestamp="19 November, 2025 07:01 AM EST">{body}</FlexStatementResponse>'
