"""Fills, inbox, why, alerts, test, assign and dismiss on the socket of a running tracker."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.answer_rig import ROBIN, Desk, buy
from tests.support.answer_rig import record as old_record
from tests.support.daemon_rig import BOUND_SECONDS, CALL, SHARES, Rig, details, record
from tests.support.facts import exec_id
from tracker.cli import main
from tracker.journal.journal import Journal, JournalFailed
from tracker.paper.contracts import option
from tracker.queries.as_json import plain_json
from tracker.queries.socket_commands import SocketCommands, ask_for_client
from tracker.status.protocol import Answer, CommandError, encode

NAME = f"{ROBIN}/NVDA"
LATER = option("NVDA", "20301227", "C", "122.5", con_id=700100299)


def play(folder: Path, story: Callable[[Rig], Awaitable[None]]) -> None:
    async def main() -> None:
        async with Rig(folder) as rig:
            rig.write(
                {ROBIN: {"NVDA": record()}, "wolf": {"TSLA": record(alert_details=details(ticker="TSLA"))}}
            )
            await rig.start()
            await story(rig)

    asyncio.run(main())


async def ask(rig: Rig, command: str, **arguments: Any) -> dict[str, Any]:
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.status_port, limit=2**24)
    try:
        writer.write(json.dumps({"command": command, **arguments}).encode() + b"\n")
        answer: dict[str, Any] = json.loads(await reader.readline())
        return answer
    finally:
        writer.close()


async def fill(rig: Rig, contract: Any, quantity: int = 1) -> str:
    """Trade, wait until it is booked, and return the execId."""
    before = (await ask(rig, "fills"))["total"]
    rig.gateway.fill(rig.gateway.order(contract, "BUY", quantity, limit="2.5"))

    async def booked() -> bool:
        return bool((await ask(rig, "fills"))["total"] > before)

    await rig.until(booked)
    return str((await ask(rig, "fills"))["fills"][-1]["exec_id"])


def read(path: str) -> str:
    return Path(path).read_text()


def token(rig: Rig) -> str:
    return (rig.folder / "status.token").read_text().strip()


def test_socket_answers_questions(tmp_path: Path) -> None:
    """The socket answers about fills and alerts."""

    async def story(rig: Rig) -> None:
        mine = await fill(rig, CALL, 4)
        await fill(rig, SHARES)
        await rig.until(lambda: rig.read()["open"])
        (listed,) = (await ask(rig, "fills", alert="robindahood/nvda"))["fills"]
        assert (listed["exec_id"], listed["quantity"]) == (mine, 4)
        assert (await ask(rig, "fills", limit=1))["left_out"] == 1
        inbox = await ask(rig, "inbox", all=True)
        assert (inbox["needs_you"], len(inbox["others"])) == ([], 1)
        (execution,) = (await ask(rig, "why", of=mine))["executions"]
        assert execution["alerts"][0]["rule"] == "con_id"
        (alert,) = (await ask(rig, "why", of=NAME))["records"]
        assert (alert["state"], alert["agrees"]) == ("open", True)
        alerts = await ask(rig, "alerts")
        assert [each["alert"] for each in alerts["alerts"]] == [NAME, "wolf/TSLA"]
        assert alerts["alerts"][0]["position"]["quantity"] == 4
        assert [each["alert"] for each in (await ask(rig, "alerts", open=True))["alerts"]] == [NAME]
        assert [each["alert"] for each in (await ask(rig, "alerts", alert="wolf/tsla"))["alerts"]] == [
            "wolf/TSLA"
        ]
        assert (await ask(rig, "alerts", limit=1))["left_out"] == 1

    play(tmp_path, story)


def test_socket_assignment_needs_token(tmp_path: Path) -> None:
    """An assignment over the socket needs the token and opens the alert."""

    async def story(rig: Rig) -> None:
        near = await fill(rig, LATER)
        assert (await ask(rig, "inbox"))["counts"]["near_miss"] == 1
        refused = await ask(rig, "assign", exec_id=near, alert=NAME)
        assert refused["error"]["code"] == "token_required"
        assert rig.read()["open"] is False
        answer = await ask(rig, "assign", exec_id=near, alert=NAME, token=token(rig))
        assert (answer["done"], answer["shows"]["open"], answer["shows"]["delivery"]) == (
            True,
            True,
            "applied",
        )
        assert rig.read()["open"] is True
        assert (await ask(rig, "inbox"))["needs_you"] == []
        again = await ask(rig, "assign", exec_id=near, alert=NAME, token=token(rig))
        assert again["done"] is False
        for done in (True, False):
            undone = await ask(rig, "undo", id=answer["id"], token=token(rig))
            assert (undone["done"], undone["dry_run"]) == (done, False)

    play(tmp_path, story)


def test_decisions_are_published(tmp_path: Path) -> None:
    """So that another screen shows it at once; a decision taken before is no news."""

    async def story(rig: Rig) -> None:
        near, other = await fill(rig, LATER), await fill(rig, LATER)
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.status_port)
        writer.write(b"subscribe\n")
        await reader.readline()
        for _ in range(2):
            await ask(rig, "dismiss", exec_id=other, token=token(rig))
        await ask(rig, "assign", exec_id=near, alert=NAME, token=token(rig))
        told: list[dict[str, Any]] = []
        while not told or told[-1].get("event") != "opened":
            async with asyncio.timeout(BOUND_SECONDS):
                told.append(json.loads(await reader.readline()))
        writer.close()
        settled = [(each["exec_id"], each["note"]) for each in told if each.get("event") == "settled"]
        assert settled == [(other, "dismissed"), (near, f"assigned to {NAME}")]

    play(tmp_path, story)


def test_command_line_asks_running_daemon(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command goes through the running daemon."""

    async def story(rig: Rig) -> None:
        near, other = await fill(rig, LATER), await fill(rig, LATER)
        flags = [
            *("--status.port", str(rig.status_port)),
            *("--status.token_file", str(tmp_path / "status.token")),
            *("--stores.journal", str(tmp_path / "journal.db")),
            *("--stores.alerts", str(rig.alerts_path)),
        ]

        async def tracker(*arguments: str) -> int:
            return await asyncio.to_thread(main.main, [*arguments, *flags])

        assert await tracker("dismiss", other) == 0
        assert await tracker("assign", near, NAME) == 0
        assert rig.read()["position"]["quantity"] == 1
        assert await tracker("assign", near, "wolf/TSLA") == 1
        said = capsys.readouterr()
        assert f"{near} is now assigned to {NAME}\n" in said.out
        assert "its symbol is TSLA, the fill's is NVDA" in said.err
        (tmp_path / "status.token").unlink()
        assert await tracker("assign", near, NAME) == 1
        assert "status.token is not there; the tracker writes it again" in capsys.readouterr().err
        assert await tracker("inbox") == 0
        assert capsys.readouterr().out.startswith("Needs you: nothing\n")

    play(tmp_path, story)


def test_socket_dry_run(tmp_path: Path) -> None:
    """A dry run over the socket changes nothing and commit needs the token."""

    async def story(rig: Rig) -> None:
        text = rig.alerts_path.read_text()
        given = {"symbol": "NVDA", "strike": 122.5, "right": "C", "expiry": "20301220"}
        answer = await ask(rig, "test", **given)
        assert (answer["status"], answer["payload"]["alert"]) == ("would_open", NAME)
        assert (await ask(rig, "test", **given, commit=True))["error"]["code"] == "token_required"
        committed = await ask(rig, "test", **given, commit=True, token=token(rig))
        shown = json.loads(read(committed["copy"]))
        assert shown[ROBIN]["NVDA"]["open"] is True
        assert rig.alerts_path.read_text() == text
        assert (await ask(rig, "fills"))["total"] == 0

    play(tmp_path, story)


# Without a socket: arguments, and what is fatal.


def questions(desk: Desk) -> SocketCommands:
    return SocketCommands(desk.journal, desk.context(), accounts=(), wake=lambda: None)


@pytest.mark.parametrize(
    ("command", "arguments", "words"),
    [
        (
            "fills",
            {"sinze": "today"},
            "fills has no argument 'sinze' (did you mean since?); it has since, alert, account, limit",
        ),
        ("fills", {"since": 7}, "since must be a text of at most 200 letters"),
        ("fills", {"account": "D" * 201}, "account is 201 letters long; it must be a text of at most 200"),
        ("why", {"of": "/" * 201}, "of is 201 letters long; it must be an execId or ALERTER/TICKER"),
        ("why", {"of": "a/\0"}, "of 'a/\\x00' holds a NUL character; leave it out"),
        ("why", {"of": "a/\ud800"}, "of 'a/\\ud800' holds half a character; write it whole"),
        ("test", {"symbol": "T", "strike": [1]}, "strike must be a number or a text"),
        ("fills", {"limit": 0}, "limit must be a whole number from 1 to 1000"),
        ("fills", {"limit": True}, "limit must be a whole number"),
        ("inbox", {"all": "yes"}, "all must be true or false"),
        ("why", {}, "of is missing: an execId or ALERTER/TICKER"),
        ("assign", {"exec_id": "x"}, "alert is missing: ALERTER/TICKER"),
        ("dismiss", {"exec_id": " "}, "exec_id is missing: an execId"),
        ("dismiss", {"exec_id": "x", "order": "7"}, "exec_id and order name one thing each; leave one out"),
        ("test", {}, "no symbol is given"),
        ("alerts", {"alert": "NVDA"}, "is not the name of an alert"),
    ],
)
def test_a_wrong_argument_is_refused(
    tmp_path: Path, command: str, arguments: dict[str, Any], words: str
) -> None:
    async def main() -> None:
        with Desk(tmp_path, {ROBIN: {"NVDA": old_record()}}) as desk:
            asked = questions(desk)
            with pytest.raises(CommandError) as refused:
                await asked.commands()[command].answer({"command": command, "token": "t", **arguments})
            assert words in refused.value.message
            asked.close()

    asyncio.run(main())


def test_failed_append_is_fatal(tmp_path: Path) -> None:
    """As every failed append: the daemon waits for `failure` and ends."""

    async def main(desk: Desk) -> None:
        asked = questions(desk)
        failure = asyncio.create_task(asked.failure())
        request = {"command": "assign", "exec_id": exec_id(1), "alert": "wolf/NVDA"}
        with pytest.raises(CommandError, match="could not be written"):
            await asked.commands()["assign"].answer(request)
        with pytest.raises(JournalFailed, match="could not be written"):
            await asyncio.wait_for(failure, 5)
        asked.close()

    with Desk(tmp_path, {ROBIN: {"NVDA": old_record()}, "wolf": {"NVDA": old_record()}}) as desk:
        desk.tell(buy(1, 4))
        # The file system refuses to grow the write-ahead log, as a full disk does.
        desk.journal._db.execute("PRAGMA query_only = ON")
        asyncio.run(main(desk))


def test_dry_run_of_unreadable_store(tmp_path: Path) -> None:
    """A store that cannot be read is said by a trial."""

    async def main(desk: Desk) -> None:
        asked = questions(desk)
        given: dict[str, Any] = {
            "symbol": "NVDA",
            "strike": "122.5",
            "right": "C",
            "expiry": "20251121",
            "commit": True,
        }
        with pytest.raises(CommandError, match="cannot be read as JSON") as refused:
            await asked.commands()["test"].answer({"command": "test", **given})
        assert refused.value.code == "store_away"
        asked.close()

    with Desk(tmp_path, {ROBIN: {"NVDA": old_record()}}) as desk:
        desk.run_pump()
        desk.alerts_path.write_text('{"a"')
        asyncio.run(main(desk))


def test_todays_fills_are_counted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy day the count takes longer than a fill may wait."""
    threads: list[str] = []
    count = Journal.fills_since

    def counted(self: Journal, since: datetime) -> tuple[int, int]:
        threads.append(threading.current_thread().name)
        return count(self, since)

    monkeypatch.setattr(Journal, "fills_since", counted)
    with Desk(tmp_path, {ROBIN: {"NVDA": old_record()}}) as desk:
        context = replace(desk.context(), now=lambda: desk.now)
        asked = SocketCommands(desk.journal, context, accounts=(), wake=lambda: None)

        async def today() -> tuple[int, int]:
            return await asked.fills_today()

        desk.tell(buy(1, 4))
        assert asyncio.run(today()) == asyncio.run(today()) == (1, 1)
        desk.tell(buy(2, 1))
        assert asyncio.run(today()) == (2, 2)
        asked.close()
    assert len(threads) == 2
    assert set(threads) == {"status"}


@pytest.mark.parametrize("command", [{"command": "alerts"}, {"command": "why", "of": NAME}])
def test_huge_numbers_hold_no_question(tmp_path: Path, command: dict[str, Any]) -> None:
    """A strike of 1e400000 in a record takes no arithmetic: it is shown as a problem of that record."""

    async def main(desk: Desk) -> Answer:
        asked = questions(desk)
        begun = time.monotonic()
        answer = await asked.commands()[command["command"]].answer(command)
        assert time.monotonic() - begun < 1
        asked.close()
        return answer

    details = old_record()["alert_details"] | {"strike": "1e400000"}
    with Desk(tmp_path, {ROBIN: {"NVDA": old_record(alert_details=details)}}) as desk:
        desk.run_pump()
        assert "is not a price" in json.dumps(asyncio.run(main(desk)))


def test_unreadable_journal_is_refused(tmp_path: Path) -> None:
    """A client gets the journal's trouble as a refusal; it is no mistake in the command."""
    path = tmp_path / "journal.db"
    path.mkdir()
    with pytest.raises(CommandError, match="is not a regular file") as refused:
        ask_for_client(path, lambda journal: journal.cursor)
    assert refused.value.code == "journal_failed"


@pytest.mark.parametrize(
    ("position", "shown"),
    [
        ({"quantity": float("nan"), "price": float("-inf")}, {"quantity": "NaN", "price": "-Infinity"}),
        ({"quantity": [1], "opened_at": 5}, {"quantity": [1], "opened_at": 5}),
        ({"note": "x" * 20_000}, None),
    ],
)
def test_odd_position_hides_no_record(tmp_path: Path, position: object, shown: object) -> None:
    """What another program wrote as a position is shown as far as an answer can hold it."""
    records = {"NVDA": old_record(), "ODD": old_record(open=True, position=position)}

    async def main(desk: Desk) -> dict[str, Any]:
        asked = questions(desk)
        answer = await asked.commands()["alerts"].answer({"command": "alerts"})
        asked.close()
        found: dict[str, Any] = json.loads(encode(answer))
        return found

    with Desk(tmp_path, {ROBIN: records}) as desk:
        desk.run_pump()
        odd, other = asyncio.run(main(desk))["alerts"]
        assert (odd["alert"], odd["position"]) == (f"{ROBIN}/ODD", shown)
        assert other["alert"] == NAME


def test_nested_values_are_left_out() -> None:
    """What is nested more deeply than Python writes is left out of an answer."""
    nested: dict[str, Any] = {}
    for _ in range(100_000):
        nested = {"a": nested}
    assert plain_json(nested) is None
