"""Days that are not proven complete: reported, warned of, and accepted by a person."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.test_end_to_end import ROBIN, play
from tests.support.daemon_rig import Rig, record
from tests.support.facts import START
from tests.support.project import PROJECT
from tracker.core.journal_entries import GapAccepted
from tracker.core.model import Moment
from tracker.core.state import GAPS, LINKS, PROOFS, MemoryLedgerState
from tracker.core.state_rows import Gap, LoginState, VerifiedUntil
from tracker.queries.gaps import acceptance, gaps, warning
from tracker.status.protocol import CommandError

DAY = date(2025, 11, 17)


def _state(until: datetime | None = None) -> MemoryLedgerState:
    state = MemoryLedgerState()
    state.put(LINKS, LoginState(("DU1234567",)))
    if until is not None:
        state.put(PROOFS, VerifiedUntil("DU1234567", Moment(until, 1), whole=True))
    state.put(GAPS, Gap(DAY, Moment(START, 1)))
    state.put(GAPS, Gap(DAY - timedelta(days=1), Moment(START, 1), closed_at=START, closed_how="flex"))
    return state


def test_open_gaps_are_listed() -> None:
    """Oldest first, each closed one with how."""
    state = _state(START)
    assert [gap["day"] for gap in gaps(state)["gaps"]] == ["2025-11-17"]
    answer = gaps(state, everything=True)
    assert [(gap["day"], gap["closed_how"]) for gap in answer["gaps"]] == [
        ("2025-11-16", "flex"),
        ("2025-11-17", None),
    ]
    assert (answer["open"], answer["proven_until"]) == (1, "2025-11-18T15:43:00.000000+00:00")


@pytest.mark.parametrize(("day", "code"), [("2025-11-16", "not_found"), ("soon", "bad_request")])
def test_only_an_open_gap_is_accepted(day: str, code: str) -> None:
    """A closed one, an unknown one and no day at all are refused."""
    with pytest.raises(CommandError) as refused:
        acceptance(_state(), day)
    assert refused.value.code == code
    assert acceptance(_state(), "2025-11-17") == GapAccepted(date(2025, 11, 17))


def test_warning_before_midnight() -> None:
    """Half an hour before; not while the last proof is young, nor at noon."""
    late = datetime(2025, 11, 18, 23, 45, tzinfo=UTC)
    assert "for 15 more minutes" in warning(_state(late - timedelta(hours=1)), late, UTC)
    assert "for no part of it" in warning(_state(), late, UTC)
    assert warning(_state(late - timedelta(minutes=1)), late, UTC) == ""
    assert warning(_state(), datetime(2025, 11, 18, 12, 0, tzinfo=UTC), UTC) == ""


def test_status_and_gaps_agree(tmp_path: Path) -> None:
    """After the first sweep today is proven up to its request; the command reads it beside the daemon."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.start()

        async def proven() -> bool:
            return (await rig.status())["proven_until"] is not None

        await rig.until(proven)
        status = await rig.status()
        assert status["gaps"] == []
        answer = await _command(rig, "gaps", "--json")
        assert answer["gaps"] == []
        assert answer["proven_until"] is not None
        refused = await _command(rig, "gaps", "accept", "2025-11-17", "--json", code=1)
        assert refused["error"]["code"] == "not_found"

    play(tmp_path, story)


async def _command(rig: Rig, *words: str, code: int = 0) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tracker",
        *words,
        "--stores.journal",
        str(rig.folder / "journal.db"),
        "--stores.alerts",
        str(rig.alerts_path),
        "--status.port",
        str(rig.status_port),
        "--status.token_file",
        str(rig.folder / "status.token"),
        stdout=asyncio.subprocess.PIPE,
        cwd=PROJECT,
    )
    out, _ = await process.communicate()
    assert process.returncode == code
    answer: dict[str, Any] = json.loads(out)
    return answer
