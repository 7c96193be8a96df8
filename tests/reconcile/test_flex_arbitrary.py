"""Whatever a Flex report's rows hold: it is refused with a reason or taken in, and other fills stay right."""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, date
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.pipeline.test_arbitrary import EXTREME, bounded
from tests.support.answer_rig import ROBIN, Desk, buy, record
from tests.support.flex_report import ACCOUNT, statement, trade, write_report
from tracker.gateway.flex import FlexUnreadable, read_report
from tracker.reconcile.flex_import import FlexImporter
from tracker.status.protocol import CommandError

DAY = date(2025, 11, 18)
NAMES = tuple(sorted(trade().keys() - {"conid"}))
# What XML cannot hold at all is refused by its parser.
VALUES = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=12
) | st.sampled_from([text for text in EXTREME if text.isprintable()])
ROWS = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(ROWS, min_size=1, max_size=4), st.sampled_from([ACCOUNT, *EXTREME[:6], "U1"]))
def test_arbitrary_rows_stop_no_fill(rows: list[dict[str, str]], account: str) -> None:
    """Arbitrary rows about one contract, and fills of another that are pushed before and after."""
    with tempfile.TemporaryDirectory() as name, bounded(len(rows)):
        folder = Path(name)
        with Desk(folder, {ROBIN: {"NVDA": record()}}) as desk:
            desk.tell(buy(1, 4))
            _import(desk, folder, rows, account)
            desk.tell(buy(2, 1))
            assert not desk.journal.waiting
            shown: dict[str, Any] = json.loads(desk.alerts_path.read_text())[ROBIN]["NVDA"]
            assert shown["position"]["quantity"] == 5


def _import(desk: Desk, folder: Path, rows: list[dict[str, str]], account: str) -> None:
    made = [trade(**{"conid": "555", "symbol": "BAD   251121C00095000", **row}) for row in rows]
    text = statement(*made, first=DAY, last=DAY, account=account)
    path = write_report(folder / "flex.xml", text)
    try:
        importer = FlexImporter(desk.journal, read_report(path), UTC)
        batches = list(importer.batches())
    except (FlexUnreadable, CommandError):
        return
    json.dumps(importer.result.to_json(), allow_nan=False)
    for frames in batches:
        desk.journal.append(1, desk.now, frames)
    desk.run_pump()
