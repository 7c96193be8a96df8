"""What becomes of records without a time of creation, of which the contract is a part of the identity."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.support.answer_rig import ROBIN, Desk, loose, record
from tests.support.facts import NVDA, exec_id, execution

ADJUSTED = replace(NVDA, con_id=700100300, local_symbol="NVDA1 251121C00122500", trading_class="NVDA1")


@pytest.mark.parametrize("there", [True, False])
def test_order_follows_a_successor_that_names_no_adjusted_contract(tmp_path: Path, there: bool) -> None:
    """The conid of an alert with 1 names an adjusted contract; the undated record after it has details only.

    It is about what the old record was about, so it has the 1, and the next 2 of the order, if it is `there`.
    """
    with Desk(tmp_path, {ROBIN: {"NVDA": record(option_conid=ADJUSTED.con_id, option_conids=[])}}) as desk:
        desk.tell(execution(exec_id(1), 1, at=1, perm_id=902, contract=ADJUSTED))
        desk.change(lambda alerts: alerts[ROBIN].update(NVDA=loose() | {"created_at": None}))
        kept = desk.alerts_path.read_text()
        if not there:
            desk.change(lambda alerts: alerts[ROBIN].pop("NVDA"))
        desk.tell(execution(exec_id(2), 2, at=2, perm_id=902, contract=ADJUSTED))
        desk.change(lambda alerts: alerts.update(json.loads(kept)))
        assert json.loads(desk.alerts_path.read_text())[ROBIN]["NVDA"]["position"]["quantity"] == 3
