"""`tracker record` as a process of its own, between clients and the paper gateway."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.recordings.test_replay import tracker
from tests.support.daemon_rig import record
from tests.support.paper_clients import RawClient, fields_of_order, raw_client, until
from tests.support.recording_rig import RecorderProcess, recorder
from tracker.clock import now
from tracker.paper.contracts import option
from tracker.paper.server import PaperGateway
from tracker.recordings.permitted_requests import ORDERING, READING, why_blocked
from tracker.recordings.transcript import CLIENT, GATEWAY, LinkClosed, Said, read_transcript

CALL = option("NVDA", "20301220", "C", "122.5", con_id=700100200)
ACCOUNTS = ("DU7654321", "DU1112223")
SECRETS = ("DU7654321", "DU1112223", "smith family", "RetireEarly", "AuntMary", "smiths-oca")


def scene(
    folder: Path, play: Callable[[PaperGateway, RecorderProcess], Awaitable[None]], *options: str
) -> RecorderProcess:
    """Play a scene between a gateway and a recorder, then end the recorder by Ctrl-C."""

    async def story() -> RecorderProcess:
        async with PaperGateway(now=now, accounts=ACCOUNTS) as gateway:
            async with recorder(folder, gateway.port, *options) as running:
                await play(gateway, running)
                await running.end()
            return running

    return asyncio.run(story())


def buy(order_id: int, **terms: Any) -> tuple[str, ...]:
    order = {"action": "BUY", "totalQuantity": 4, "orderType": "LMT", "lmtPrice": 2.5, "tif": "DAY", **terms}
    return fields_of_order(order_id, CALL, **order)


async def trade(client: RawClient) -> None:
    """Buy with names in every place that has some, until the fee is here."""
    terms = {"account": ACCOUNTS[0], "orderRef": "smith family", "ocaGroup": "smiths-oca"}
    client.send(*buy(int(client.of("9")[0][2]), modelCode="RetireEarly", faGroup="", **terms))
    await client.until("59")


def test_trade_is_recorded_without_names(tmp_path: Path) -> None:
    async def play(gateway: PaperGateway, running: RecorderProcess) -> None:
        async with raw_client(running, 7) as client:
            client.send(62, 1, 5, "AuntMary", "NetLiquidation")
            await trade(client)
        await until(lambda: not gateway.clients, "the end of the link")

    running = scene(tmp_path, play, "--allow-orders")
    assert running.process.returncode == 0, running.said
    assert "names replaced: 2 account" in running.said
    text = running.path.read_text("utf-8")
    for secret in SECRETS:
        assert secret.lower() not in text.lower()
    lines = read_transcript(running.path).lines
    said = [line for line in lines if isinstance(line, Said)]
    assert [line.fields[0] for line in said if line.by == CLIENT] == ["API", "71", "62", "3"]
    assert {"15", "5", "3", "11", "59"} <= {line.fields[0] for line in said if line.by == GATEWAY}
    assert [line.by for line in lines if isinstance(line, LinkClosed)] == [CLIENT]
    assert stat.S_IMODE(running.path.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["recording.jsonl"]


def test_order_is_not_passed_on(tmp_path: Path) -> None:
    """Without --allow-orders; the client learns why, other requests go on, a second login changes nothing."""
    answers: list[tuple[str, ...]] = []
    asked: list[str] = []

    async def play(gateway: PaperGateway, running: RecorderProcess) -> None:
        async with raw_client(running, 0) as client:
            client.send(*buy(1))
            client.send(4, 1, 1, "")
            client.send(58, 1)
            client.send(15, 1, 1)
            client.send(71, 2, 7, "")
            client.send(5, 1)
            client.send(19, 2, 1, "<xml>")
            client.send(8888, 1)
            await client.settle()
            answers.extend(each for each in client.of("4") if "not passed on" in each[4])
        asked.extend(fields[0] for _, fields in gateway.received)

    running = scene(tmp_path, play)
    assert asked == ["71", "71", "49"]
    assert [answer[2:4] for answer in answers] == [
        ("1", "201"), ("1", "399"), ("-1", "321"), ("-1", "321"), ("-1", "321"), ("-1", "321"), ("-1", "321"),
    ]  # fmt: skip
    lines = [line for line in read_transcript(running.path).lines if isinstance(line, Said)]
    assert [line.fields[0] for line in lines if line.blocked and line.by == CLIENT] == [
        *("3", "4", "58", "15", "5", "19", "8888")
    ]


def test_allowlist_is_what_changes_nothing() -> None:
    assert not READING & ORDERING
    assert why_blocked(("5", "1"), "7", allow_orders=False) == ""
    for zero in ("0", "00", "+0", " 0", "-0", ""):
        assert why_blocked(("5", "1"), zero, allow_orders=False) != ""
    assert why_blocked(("5", "1"), "0", allow_orders=True) == ""
    for order in ("03", " 3", "3 ", "+3", "\uff13"):
        assert why_blocked((order, "1"), "7", allow_orders=True) != ""
    for kind in ORDERING:
        assert why_blocked((kind,), "7", allow_orders=True) == ""
    for kind in ("19", "65", "72", "14", "69", "", "203"):
        assert why_blocked((kind,), "7", allow_orders=True) != ""


def test_client_is_offered_known_versions(tmp_path: Path) -> None:
    """IBKR's newest client speaks later versions, whose layouts the recorder does not know."""
    handshakes: list[tuple[str, ...]] = []

    async def play(gateway: PaperGateway, running: RecorderProcess) -> None:
        async with raw_client(running, 7, versions="v100..226") as client:
            handshakes.append(client.handshake)

    running = scene(tmp_path, play)
    assert handshakes[0][0] == "178"
    first = read_transcript(running.path).lines[0]
    assert isinstance(first, Said)
    assert first.fields == ("API", "v100..178")


@pytest.mark.parametrize("first_bytes", [b"GET / HTTP/1.1\r\n\r\n", b"API\0\0\0\0\x09v201..226", b""])
def test_stranger_is_cut_off(tmp_path: Path, first_bytes: bytes) -> None:
    """A browser, a client that speaks newer versions only, and one that says nothing; others are served."""

    async def play(gateway: PaperGateway, running: RecorderProcess) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(first_bytes)
        if not first_bytes:
            writer.write_eof()
        assert await reader.read() == b""
        writer.close()
        async with raw_client(running, 7) as client:
            await client.settle()

    running = scene(tmp_path, play)
    assert running.process.returncode == 0, running.said
    assert "1 connection" in running.said


def test_link_ends_on_both_sides(tmp_path: Path) -> None:
    """What the gateway ends, the client sees ended, and the transcript says who did it."""

    async def play(gateway: PaperGateway, running: RecorderProcess) -> None:
        async with raw_client(running, 7) as client:
            gateway.drop_connections()
            await until(lambda: client.closed, "the end of the link")
        async with raw_client(running, 8) as client:
            await client.settle()
            await client.close()
            await until(lambda: not gateway.clients, "the end of the second link")

    running = scene(tmp_path, play)
    ends = [line for line in read_transcript(running.path).lines if isinstance(line, LinkClosed)]
    assert [(line.link, line.by) for line in ends] == [(1, GATEWAY), (2, CLIENT)]


def test_nothing_is_left_of_nothing(tmp_path: Path) -> None:
    """No client, no file."""

    async def nobody(gateway: PaperGateway, running: RecorderProcess) -> None:
        """Let nobody connect."""

    running = scene(tmp_path, nobody)
    assert (running.process.returncode, list(tmp_path.iterdir())) == (1, [])
    assert "no client connected" in running.said


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_killed_recorder_loses_nothing(tmp_path: Path, number: signal.Signals) -> None:
    """The trade is in the transcript, which a killed recorder leaves to the next command to finish."""

    async def story() -> RecorderProcess:
        gateway = PaperGateway(now=now, accounts=ACCOUNTS)
        async with (
            gateway,
            recorder(tmp_path, gateway.port, "--allow-orders") as running,
            raw_client(running, 7) as client,
        ):
            await trade(client)
            await client.until("59", 2)
            await running.end(number)
        return running

    running = asyncio.run(story())
    if number is signal.SIGKILL:
        assert sorted(os.listdir(tmp_path)) == ["recording.jsonl", "recording.jsonl.part"]
        assert running.path.read_bytes() == b""
        said = tracker(tmp_path, "record", "--finish", "recording.jsonl")
        assert "until the recorder was killed" in said
    assert os.listdir(tmp_path) == ["recording.jsonl"]
    text = running.path.read_text("utf-8")
    assert not [secret for secret in SECRETS if secret.lower() in text.lower()]
    lines = [line for line in read_transcript(running.path).lines if isinstance(line, Said)]
    assert {"3", "5", "11", "59"} <= {line.fields[0] for line in lines if line.by == GATEWAY}
    (tmp_path / "alerts.json").write_text(json.dumps({"robindahood-alerts": {"NVDA": record()}}))
    answer = json.loads(tracker(tmp_path, "replay", "recording.jsonl", "--alerts", "alerts.json", "--json"))
    assert sum(fill["quantity"] for fill in answer["fills"]) == 4
    assert "--finish goes with no other" in tracker(
        tmp_path, "record", "--finish", "x", "--allow-orders", code=2
    )


def test_existing_file_is_left_alone(tmp_path: Path) -> None:
    """Neither a file nor what a link points at is written through."""
    target = tmp_path / "target"
    target.write_text("mine")
    (tmp_path / "recording.jsonl").symlink_to(target)

    async def story() -> str:
        with pytest.raises(AssertionError) as failed:
            async with recorder(tmp_path, 4002):
                raise RuntimeError("it must not start")
        return str(failed.value)

    assert "is there already; name another file" in asyncio.run(story())
    assert target.read_text() == "mine"


def test_gateway_that_is_away_is_named(tmp_path: Path) -> None:
    """The recorder goes on: the gateway may be started later."""

    async def story() -> RecorderProcess:
        async with PaperGateway(now=now) as gateway:
            port = gateway.port
        async with recorder(tmp_path, port) as running:
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
            writer.write(b"API\0\0\0\0\x09v157..176")
            assert await reader.read() == b""
            writer.close()
            await running.end()
        return running

    assert "no gateway at 127.0.0.1" in asyncio.run(story()).said


def test_port_of_the_gateway_is_refused(tmp_path: Path) -> None:
    """On this machine both cannot listen there; a gateway elsewhere may use the same number."""
    said = tracker(tmp_path, "record", "--listen", "4002", code=2)
    assert "the gateway itself is on port 4002; listen on another one" in said
    assert list(tmp_path.iterdir()) == []
