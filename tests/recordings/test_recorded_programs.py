"""The order programs of the three clients trade through the recorder as they do without it."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

from tests.paper.test_conformance import tracker_paper
from tests.paper.test_order_programs import EXPECTED, PROGRAMS, drive
from tests.support.recording_rig import recorder
from tracker.recordings.transcript import GATEWAY, Said, read_transcript


@PROGRAMS
def test_program_trades_through_the_recorder(program: str, library: str, tmp_path: Path) -> None:
    """And all its executions are in the transcript, without the account."""

    async def story() -> Any:
        async with tracker_paper() as gateway, recorder(tmp_path, gateway.port, "--allow-orders") as running:
            seen = await drive(program, library, running.port, gateway.control_port)
            assert await running.end() == 0, running.said
            return seen

    assert asyncio.run(story()) == EXPECTED
    path = tmp_path / "recording.jsonl"
    said = [line for line in read_transcript(path).lines if isinstance(line, Said) and line.by == GATEWAY]
    executed = Counter(line.fields[5] for line in said if line.fields[0] == "11")
    # 4 of the bracket, 2 of the group, 1 of the stop; the combo's own line; its legs, 1 and 2 of the calls.
    assert executed == {"STK": 7, "BAG": 1, "OPT": 5}
    assert "DU1234567" not in path.read_text("utf-8")
