"""Nothing hangs: every request of the client library is answered, by data, an end or an error that counts."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from tests.support.environments import python_of
from tests.support.paper_clients import AAPL, ACCOUNT, Clock, RawClient, make_gateway, raw_client
from tests.support.project import PROJECT
from tracker.paper import responses, unsupported
from tracker.paper.server import PaperGateway

CLIENTS = PROJECT / "tests" / "paper" / "clients"
RUN_SECONDS = 240


@pytest.mark.parametrize(
    ("name", "walk"),
    [
        ("ib_insync", "every_request.py"),
        ("ib_async", "every_request.py"),
        ("ibapi", "every_official_request.py"),
    ],
    ids=("ib_insync", "ib_async", "ibapi"),
)
def test_every_request_of_a_library_is_answered(name: str, walk: str) -> None:
    """No wait of a library lasts five seconds, and the walk leaves no method out that waits."""

    async def run() -> None:
        python = await asyncio.to_thread(python_of, name)
        async with make_gateway() as gateway:
            gateway.book.learn(AAPL)
            process = await asyncio.create_subprocess_exec(
                str(python), str(CLIENTS / walk), name, str(gateway.port), str(AAPL.con_id),
                cwd=PROJECT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            output, complaints = await asyncio.wait_for(process.communicate(), RUN_SECONDS)
            assert process.returncode == 0, complaints.decode()
            seen = json.loads(output.splitlines()[-1])
            assert [method for method, seconds in seen["took"].items() if seconds is None] == []
            assert seen["missing"] == []

    asyncio.run(run())


def test_answers_are_documented() -> None:
    """The page has a row for each request that is answered, refused or taken in silence."""
    page = (Path(responses.__file__).parent / "GATEWAY.md").read_text()
    documented = {
        number for row in re.findall(r"^\| ([\d, ]+) \|", page, re.MULTILINE) for number in row.split(", ")
    }
    served = {*responses._TABLE, *responses._TRADING, *unsupported.REFUSED, *unsupported.EMPTY}
    assert documented == served | set(unsupported.QUIET)


def test_refusals_are_errors_to_both_libraries() -> None:
    """No refused request is answered with a code that a library takes for a warning."""
    # From the sources of ib_insync 0.9.86 and ib_async 2.1.0.
    warnings = {105, 110, 165, 202, 321, 329, 399, 404, 434, 492, 10167}
    assert not {code for _, code, _ in unsupported.REFUSED.values()} & warnings


def test_profits_come_every_second() -> None:
    """What an account and a position earned is reported until it is cancelled."""

    async def scene(gateway: PaperGateway, client: RawClient) -> None:
        gateway.fill(gateway.order(AAPL, "BUY", 10, limit=200))
        gateway.execute(AAPL, "SELL", 4, 210)
        client.send(92, 11, ACCOUNT, "")
        client.send(94, 12, ACCOUNT, "", AAPL.con_id)
        await client.until("94", 2)
        await client.until("95", 2)
        # 6 are left, bought at 200 and last seen at 210; 4 were sold 10 above their price.
        assert client.of("94")[0] == ("94", "11", "100.00", "60.00", "40.00")
        assert client.of("95")[0] == ("95", "12", "6", "100.00", "60.00", "40.00", "1260.00")
        client.send(93, 11)
        client.send(95, 12)
        client.send(92, 13, "DU9999999", "")
        await client.settle()
        assert [f[3] for f in client.of("4") if f[2] == "13"] == ["322"]

    async def run() -> None:
        async with make_gateway(Clock()) as gateway, raw_client(gateway) as client:
            await scene(gateway, client)

    asyncio.run(run())
