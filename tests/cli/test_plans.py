"""Every decision of a person says with --dry-run --json what it will do, and then does that."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.daemon_rig import CALL, Rig, details, record
from tracker.cli import main
from tracker.clock import now
from tracker.core.model import Moment
from tracker.core.state import GAPS
from tracker.core.state_rows import Gap
from tracker.journal.journal import Journal
from tracker.paper.contracts import stock

ROBIN, PROF = "robindahood-alerts", "prof-and-kian-alerts"
AMD: Final = stock("AMD", con_id=4391)
AFTERWARDS: Final = {
    *("done", "dry_run", "id", "undone", "delivery", "updated_at", "closed_at", "proven_until"),
    "unexplained",
}
"""What a plan cannot know: whether and when it was done, under which ID, and what the broker, asked at once,
answers about the position."""

Ask = Callable[..., Awaitable[dict[str, Any]]]


def but_for(answer: Any) -> Any:
    """Return an answer without what only the run can know."""
    if isinstance(answer, dict):
        return {key: but_for(value) for key, value in answer.items() if key not in AFTERWARDS}
    return [but_for(each) for each in answer] if isinstance(answer, list) else answer


@pytest.mark.parametrize("running", [True, False], ids=["through the tracker", "by itself"])
def test_decisions_do_what_they_said(
    tmp_path: Path, running: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """A plan changes nothing, and the run answers the same; each is undone, by ID, EXEC_ID or day."""

    async def story() -> None:
        async with Rig(tmp_path) as rig:
            first, day = await trade(rig)
            if running:
                await rig.start()

            async def ask(*words: str) -> dict[str, Any]:
                code = await asyncio.to_thread(main.main, [*words, "--json", *rig.flags()])
                answer: dict[str, Any] = json.loads(capsys.readouterr().out)
                assert code == 0, answer
                return answer

            async def decide(*words: str) -> dict[str, Any]:
                before = (
                    rig.alerts_path.read_bytes(),
                    await ask("inbox"),
                    (await ask("gaps", "--all"))["gaps"],
                )
                planned = await ask(*words, "--dry-run")
                after = rig.alerts_path.read_bytes(), await ask("inbox"), (await ask("gaps", "--all"))["gaps"]
                assert before == after, "a plan changes nothing"
                did = await ask(*words)
                assert but_for(planned) == but_for(did)
                assert (planned["dry_run"], did["dry_run"]) == (True, False)
                return did

            def quantities() -> list[object]:
                return [(rig.read(each).get("position") or {}).get("quantity") for each in (ROBIN, PROF)]

            number = str((await ask("inbox"))["orders"][0]["number"])
            part = await decide("assign", first, f"{PROF}/NVDA", "--quantity", "3")
            assert (part["quantity"], quantities()) == (3, [None, 3])
            await decide("assign", number, f"{ROBIN}/NVDA", "--quantity", "2")
            await decide("undo", first)
            whole = await decide("assign", number, f"{ROBIN}/NVDA")
            assert quantities() == [7, 3]
            undone = await decide("undo", whole["id"])
            assert [each["position"]["quantity"] for each in undone["shows"]] == [0]
            await decide("undo", part["id"])
            assert quantities() == [0, 0]
            dismissed = await decide("dismiss", number)
            assert dismissed["order"]
            await decide("undo", first)
            assert (await ask("inbox"))["orders"][0]["left"] == 10
            assert (await decide("gaps", "accept", day, "--all"))["gaps"][0]["closed_how"] == "person"
            await decide("undo", day)
            assert (await ask("gaps"))["open"] == 1
            adjusted = await decide("adjust", "AMD", "--split", "2:1")
            assert (adjusted["held"], rig.read(ROBIN, "AMD")["position"]["quantity"]) == (10, 10)
            await decide("undo", adjusted["id"])
            assert rig.read(ROBIN, "AMD")["position"]["quantity"] == 5

    asyncio.run(story())


async def trade(rig: Rig) -> tuple[str, str]:
    """Have an ambiguous order of two fills, an alert with shares, and a gap; returns a fill and the day."""
    loose = record(option_conid=None, option_conids=[], alert_details=details(expiry=None))
    share = record(
        option_conid=None, option_conids=[], conid=4391, alert_details={"ticker": "AMD", "is_bullish": True}
    )
    rig.write({ROBIN: {"NVDA": loose, "AMD": share}, PROF: {"NVDA": loose}})
    await rig.start()
    order = rig.gateway.order(CALL, "BUY", 10, limit="2.5", client_id=7)
    fill = rig.gateway.fill(order, 4)
    rig.gateway.fill(order, 6)
    rig.gateway.fill(rig.gateway.order(AMD, "BUY", 5, limit="100", client_id=7))
    await rig.until(lambda: rig.read(ROBIN, "AMD").get("open"))
    assert await rig.stop() == 0
    # A position that no fill explains leaves the gap open.
    rig.gateway.set_position("DU1234567", stock("DIS", con_id=99), 9, push=False)
    day = now().date() - timedelta(days=10)
    journal = Journal(rig.folder / "journal.db")
    with journal.step():
        journal.state.put(GAPS, Gap(day, Moment(now(), 1)))
    journal.close()
    return fill.exec_id, day.isoformat()
