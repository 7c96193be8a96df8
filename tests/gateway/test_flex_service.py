"""The Flex web service: two requests, its errors in plain words, and an end to every wait."""

from __future__ import annotations

import asyncio
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.flex_web import QUERY, TOKEN, FlexWeb
from tests.support.free_ports import free_port
from tracker.gateway.flex_service import FetchFailed, FlexService

REPORT = "<FlexQueryResponse>" + "x" * 5000 + "</FlexQueryResponse>"


def service(web: FlexWeb, **changes: Any) -> FlexService:
    quick: dict[str, Any] = {
        "pause": 0.001,
        "longest_pause": 0.01,
        "request_seconds": 10.0,
        "total_seconds": 20.0,
    }
    given = {"base_url": web.base_url, "query_id": QUERY, "token": TOKEN, **quick, **changes}
    return FlexService(**given)


def fetch(folder: Path, web: FlexWeb, **changes: Any) -> str:
    """Fetch from a service that behaves so; returns what was put into the file."""

    async def main() -> None:
        async with web.serving():
            await service(web, **changes).fetch(folder / "flex-report.xml")

    asyncio.run(main())
    return (folder / "flex-report.xml").read_text()


def failure(folder: Path, web: FlexWeb, **changes: Any) -> str:
    with pytest.raises(FetchFailed) as caught:
        fetch(folder, web, **changes)
    assert list(folder.iterdir()) == []
    assert TOKEN not in str(caught.value)
    return str(caught.value)


def test_report_is_asked_for_and_taken(tmp_path: Path) -> None:
    """By the reference of the first answer, under the agent that the service wants; only we can read it."""
    web = FlexWeb(REPORT)
    assert fetch(tmp_path, web) == REPORT
    assert web.asked == [("SendRequest", QUERY), ("GetStatement", "5555555555")]
    assert all(agent.startswith("Python/3.") for agent in web.agents)
    assert stat.S_IMODE((tmp_path / "flex-report.xml").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["flex-report.xml"]


def test_statement_in_progress_is_waited_for(tmp_path: Path) -> None:
    """1019 asks to come again, also where it answers the first request."""
    web = FlexWeb(REPORT, send=["1019", "1009"], get=["1019", "1019", "1018", "1021"])
    assert fetch(tmp_path, web) == REPORT
    assert [name for name, _ in web.asked] == ["SendRequest"] * 3 + ["GetStatement"] * 5


def test_waiting_grows_and_ends(tmp_path: Path) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    web = FlexWeb(REPORT, get=["1019"] * 5 + ["1018"])
    fetch(tmp_path, web, pause=5.0, longest_pause=60.0, sleep=sleep)
    assert waited == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]


def test_endless_progress_has_an_end(tmp_path: Path) -> None:
    words = failure(tmp_path, FlexWeb(get=["1019"] * 10_000), total_seconds=0.3)
    assert words == (
        "no Flex report within 0.3 s: the Flex web service says 1019, the statement is still being made;"
        " try again in some minutes"
    )


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("1003", "there is no statement for the query's period; choose a Period with a day that has ended"),
        ("1010", "it is a legacy Flex query; create it again"),
        ("1011", "the Flex web service is not switched on; activate it"),
        ("1012", "the token has expired; make a new one in the Client Portal"),
        ("1013", "the token is bound to another IP address"),
        ("1014", "there is no such query; look the number up"),
        ("1015", "the token is not valid; make a new one"),
        ("1016", "the account is not valid"),
        ("1020", "the request is not valid; check flex.token and flex.query_id"),
    ],
)
@pytest.mark.parametrize("request_no", [0, 1])
def test_error_is_told_with_a_next_step(tmp_path: Path, code: str, words: str, request_no: int) -> None:
    web = FlexWeb(get=[code]) if request_no else FlexWeb(send=[code])
    assert f"the Flex web service says {code}, {words}" in failure(tmp_path, web)
    assert len(web.asked) == 1 + request_no


def test_unknown_error_is_repeated(tmp_path: Path) -> None:
    assert "says 1999: words of the service; try again later" in failure(tmp_path, FlexWeb(send=["1999"]))


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"HTTP/1.1 503 Away\r\nContent-Length: 0\r\n\r\n", "answers with HTTP status 503"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://x/\r\nContent-Length: 0\r\n\r\n", "HTTP status 302"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "is not XML; check flex.base_url"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello", "does not answer as a web server"),
        (b"SSH-2.0-x\r\n", "does not answer as a web server"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n<a/>", "says an error without a code"),
    ],
)
def test_other_server_is_refused(tmp_path: Path, raw: bytes, words: str) -> None:
    assert words in failure(tmp_path, FlexWeb(raw=raw))


def test_dripping_server_has_an_end(tmp_path: Path) -> None:
    """A byte now and then does not prolong the time for a request."""
    began = time.monotonic()
    assert "did not answer whole within 0.3 s" in failure(tmp_path, FlexWeb(drip=True), request_seconds=0.3)
    assert time.monotonic() - began < 10


def test_absent_server_is_told(tmp_path: Path) -> None:
    nobody = FlexService(f"http://127.0.0.1:{free_port()}", QUERY, TOKEN)
    with pytest.raises(FetchFailed, match=r"cannot be reached: .*; check the network, then try again"):
        asyncio.run(nobody.fetch(tmp_path / "flex-report.xml"))


def test_token_is_told_to_no_other_server(tmp_path: Path) -> None:
    """An answer that names another host is not followed there."""
    web = FlexWeb(REPORT, url="http://127.0.0.2:9/elsewhere")
    assert fetch(tmp_path, web) == REPORT


def test_failed_fetch_keeps_the_last_report(tmp_path: Path) -> None:
    fetch(tmp_path, FlexWeb(REPORT))
    with pytest.raises(FetchFailed):
        fetch(tmp_path, FlexWeb(get=["1003"]))
    assert (tmp_path / "flex-report.xml").read_text() == REPORT


def test_token_is_not_in_its_repr() -> None:
    assert TOKEN not in repr(FlexService("http://127.0.0.1:1", QUERY, TOKEN))
