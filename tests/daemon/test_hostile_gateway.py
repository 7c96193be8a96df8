"""A gateway that sends what no gateway sends stops no fill after it."""

from __future__ import annotations

import struct
from contextlib import closing
from pathlib import Path

from msgspec.structs import replace

from tests.daemon.test_end_to_end import ROBIN, play
from tests.support.daemon_rig import CALL, PUT, Rig, details, record
from tracker.core.ownership_rows import OwnershipDecision, OwnershipKind
from tracker.core.state import DECISIONS, HOLDINGS
from tracker.journal.journal import Journal

PUTS = "prof-and-kian-alerts"
TIMES = ("--gateway.request_timeout", "1", "--gateway.probe_seconds", "1")


async def _ready(rig: Rig) -> bool:
    return bool((await rig.ask("ready"))["ready"])


def test_swallowed_fill_reaches_its_alert(tmp_path: Path) -> None:
    """A message of 8 MiB is announced and never comes; the fill that vanished in it is fetched again."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.start(*TIMES)
        rig.gateway.push_bytes(struct.pack(">I", 8 << 20))
        rig.gateway.fill(rig.gateway.order(CALL, "BUY", 3, limit="2"))
        await rig.until(lambda: rig.read().get("position", {}).get("quantity") == 3)
        await rig.logged("was not whole after 1 s")

    play(tmp_path, story)


def test_sweeps_without_end_are_not_ready(tmp_path: Path) -> None:
    """Fills that are pushed still count, and `ready` says what is wrong until a sweep ends again."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.start(*TIMES)
        await rig.until(lambda: _ready(rig))
        rig.gateway.faults.withhold_exec_end = True

        async def told() -> bool:
            answer = await rig.ask("ready")
            return not answer["ready"] and "was cut short" in answer["reasons"][0]

        await rig.until(told)
        rig.gateway.fill(rig.gateway.order(CALL, "BUY", 3, limit="2"))
        await rig.until(lambda: rig.read().get("position", {}).get("quantity") == 3)
        rig.gateway.faults.withhold_exec_end = False
        await rig.until(lambda: _ready(rig))

    play(tmp_path, story)


def test_empty_frames_leave_no_log(tmp_path: Path) -> None:
    """200,000 of them cost neither the fill after them nor the log."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.start(*TIMES)
        before = len(rig.log())
        rig.gateway.push_bytes(bytes(4) * 200_000)
        rig.gateway.fill(rig.gateway.order(CALL, "BUY", 3, limit="2"))
        await rig.until(lambda: rig.read().get("position", {}).get("quantity") == 3, seconds=10)
        assert len(rig.log()) - before < 2_000

    play(tmp_path, story)


def break_contract(path: Path) -> None:
    """Keep rows of CALL that no fold can take, as a bug would: no frame leads to them."""
    with closing(Journal(path)) as journal, journal.step():
        (holding,) = [row for row in journal.state.every(HOLDINGS) if row.contract.con_id == CALL.con_id]
        journal.state.put(HOLDINGS, replace(holding, in_lots=holding.held + 1))
        assert holding.last is not None
        # A succession without a successor.
        kind, place = OwnershipKind.SUCCEEDED, holding.last
        journal.state.put(DECISIONS, OwnershipDecision(*holding.key, place.seq, 0, place, kind, ()))


def test_contract_that_fails_holds_back_no_other(tmp_path: Path) -> None:
    """What is held of one contract cannot be counted; the fills of another, missed with its own, are."""
    put = record(option_conid=PUT.con_id, option_conids=[PUT.con_id], alert_details=details(side="P"))

    def bought(rig: Rig, alerter: str = ROBIN) -> object:
        return rig.read(alerter).get("position", {}).get("quantity")

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}, PUTS: {"NVDA": put}})
        await rig.start()
        rig.gateway.fill(rig.gateway.order(CALL, "BUY", 3, limit="2"))
        rig.gateway.fill(rig.gateway.order(PUT, "BUY", 1, limit="2"))
        await rig.until(lambda: bought(rig) == 3 and bought(rig, PUTS) == 1)
        await rig.idle_sweep()
        assert await rig.stop() == 0
        break_contract(tmp_path / "journal.db")
        rig.gateway.fill(rig.gateway.order(CALL, "BUY", 1, limit="2"))
        rig.gateway.fill(rig.gateway.order(PUT, "BUY", 4, limit="2"))
        await rig.start()
        await rig.until(lambda: bought(rig, PUTS) == 5)
        assert bought(rig) == 3
        await rig.logged(f"{CALL.con_id} could not be counted: ")
        # Those that come later count as well, and the tracker goes on.
        rig.gateway.fill(rig.gateway.order(PUT, "BUY", 1, limit="2"))
        await rig.until(lambda: bought(rig, PUTS) == 6)
        assert await rig.status_of("undecodable") == 1
        assert await rig.stop() == 0

    play(tmp_path, story)
