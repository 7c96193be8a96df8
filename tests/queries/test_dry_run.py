"""A made-up fill goes through the real matching; nothing live is ever written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.support.answer_rig import ROBIN, Desk, buy, loose, record
from tests.support.facts import exec_id
from tracker.core.model import Side, StoreUnavailable
from tracker.queries.dry_run import read_made_up_fill
from tracker.status.protocol import CommandError

OPTION: dict[str, Any] = {"symbol": "nvda", "strike": "122.5", "right": "call", "expiry": "20251121"}
NAME = f"{ROBIN}/NVDA"
TODAY = date(2025, 11, 19)
"""A Wednesday."""


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}, "wolf": {"NVDA": loose(strike="130")}}) as desk:
        desk.run_pump()
        yield desk


def tried(desk: Desk, *, commit: bool = False, **given: object) -> dict[str, Any]:
    return desk.context().dry_run(given, commit=commit)


def files(desk: Desk) -> dict[str, bytes]:
    """Return every file that a trial must leave alone."""
    return {path.name: path.read_bytes() for path in desk.folder.iterdir() if ".test-" not in path.name}


def test_answer_names_opened_and_rejected(desk: Desk) -> None:
    """It says what would open and why and what was rejected."""
    answer = tried(desk, **OPTION, quantity=2)
    assert answer["status"] == "would_open"
    payload = answer["payload"]
    assert (payload["alert"], payload["open"], payload["rule"]) == (NAME, True, "contract")
    assert payload["position"]["quantity"] == 2
    assert payload["last_order_update"]["filled_qty"] == 2
    assert payload["last_order_update"]["status"] == "FILLED", "the made-up fill is the whole order"
    assert answer["opens"] == [payload]
    assert [each["alert"] for each in answer["rejected"]] == ["wolf/NVDA"]
    assert answer["tried"]["contract"] == "NVDA 2025-11-21 122.5 C"


def test_every_matching_alert_is_named(desk: Desk) -> None:
    """Every alert of the contract is named."""
    desk.change(lambda alerts: alerts["wolf"].update(NVDA=loose()))
    assert [each["alert"] for each in tried(desk, **OPTION)["opens"]] == [NAME, "wolf/NVDA"]


def test_other_rules_are_tried(desk: Desk) -> None:
    """Stock a conid and a reference are tried too."""
    assert tried(desk, symbol="NVDA")["status"] == "no_match"
    assert tried(desk, symbol="NVDA")["payload"] is None
    other = OPTION | {"expiry": "20251128"}
    assert tried(desk, **other)["status"] == "no_match"
    assert tried(desk, **other, con_id=700100200)["payload"]["rule"] == "con_id"
    assert tried(desk, **other, order_ref="wolf/NVDA")["payload"]["alert"] == "wolf/NVDA"


def test_weak_matches_are_ambiguous(tmp_path: Path) -> None:
    """Several weak matches are ambiguous and open nothing."""
    fresh = {"created_at": desk_time()}
    with Desk(tmp_path, {name: {"NVDA": loose(expiry=None) | fresh} for name in ("a", "b")}) as desk:
        desk.run_pump()
        answer = tried(desk, **OPTION)
    assert (answer["status"], answer["opens"], answer["payload"]) == ("ambiguous", [], None)
    assert [each["alert"] for each in answer["alerts"]] == ["a/NVDA", "b/NVDA"]


def desk_time() -> str:
    """Return a created_at of now, since a trial happens now."""
    from tracker.clock import now

    return now().replace(tzinfo=None).isoformat()


def test_selling_opens_short(desk: Desk) -> None:
    assert tried(desk, **OPTION, side="sell")["payload"]["position"]["quantity"] == -1


def test_no_commit_no_file(desk: Desk) -> None:
    """Without commit no file changes and none is made."""
    desk.tell(buy(1, 1))
    before = files(desk)
    tried(desk, **OPTION)
    assert files(desk) == before
    assert not list(desk.folder.glob("*.test-*"))
    assert desk.booked(exec_id(1)).execution.quantity == 1


def test_commit_writes_copy_only(desk: Desk) -> None:
    """With commit only a copy beside the store shows it."""
    before = files(desk)
    answer = tried(desk, **OPTION, commit=True)
    assert files(desk) == before
    copy = Path(answer["copy"])
    assert copy.parent == desk.folder
    assert copy.name.startswith("alerts.json.test-")
    shown, live = json.loads(copy.read_text()), json.loads(desk.alerts_path.read_text())
    assert shown[ROBIN]["NVDA"]["open"] is True
    assert shown[ROBIN]["NVDA"]["position"] == answer["payload"]["position"]
    assert shown["wolf"] == live["wolf"]
    assert live[ROBIN]["NVDA"]["open"] is False


def test_no_match_no_copy(desk: Desk) -> None:
    """With commit and no match there is no copy."""
    assert tried(desk, symbol="TSLA", commit=True)["copy"] is None
    assert not list(desk.folder.glob("*.test-*"))


def test_half_written_store_is_not_copied(desk: Desk) -> None:
    """A store that is being written is not copied."""
    desk.alerts_path.write_text('{"a": {')
    with pytest.raises(StoreUnavailable, match="cannot be read as JSON"):
        tried(desk, **OPTION, commit=True)
    assert not list(desk.folder.glob("*.test-*"))


def test_missing_store_is_not_copied(desk: Desk) -> None:
    """A store that is gone cannot be copied."""
    desk.alerts_path.unlink()
    with pytest.raises(CommandError, match=r"no copy of .*alerts\.json could be written beside it"):
        tried(desk, **OPTION, commit=True)


def test_what_is_typed_is_read_leniently() -> None:
    found = read_made_up_fill(
        OPTION | {"side": "sell", "quantity": "0.5", "con_id": 7, "order_ref": ""}, None, TODAY
    )
    assert (found.symbol, found.side, found.quantity) == ("NVDA", Side.SELL, Decimal("0.5"))
    assert (found.strike, found.right, found.expiry) == (Decimal("122.5"), "C", date(2025, 11, 21))
    assert (found.con_id, found.order_ref) == (7, "")


@pytest.mark.parametrize(
    ("details", "given", "expiry", "chosen"),
    [
        ({}, {}, date(2025, 11, 21), ""),
        ({}, {"expiry": "20251128"}, date(2025, 11, 28), ""),
        (
            {"expiry": None},
            {},
            date(2025, 11, 21),
            "; the alert names no day of expiry, so 2025-11-21 was taken",
        ),
        (
            {"expiry": "Dec 2025"},
            {},
            date(2025, 12, 19),
            "; the alert names no day of expiry, so 2025-12-19 was taken",
        ),
    ],
)
def test_alert_fills_in_what_is_open(
    tmp_path: Path, details: dict[str, Any], given: dict[str, Any], expiry: date, chosen: str
) -> None:
    """What is not typed is the alert's; one without a day is met by a Friday, and the answer says so."""
    with Desk(tmp_path, {ROBIN: {"NVDA": loose(**details)}}) as desk:
        desk.run_pump()
        (alert,) = desk.store.alerts()
        found = read_made_up_fill(given, alert, TODAY)
    assert (found.symbol, found.strike, found.right) == ("NVDA", Decimal("122.5"), "C")
    assert (found.expiry, found.chosen, found.con_id) == (expiry, chosen, 0)


def test_typed_contract_outweighs_alerts_conid(desk: Desk) -> None:
    assert tried(desk, alert="robindahood/nvda")["tried"]["con_id"] == 700100200
    answer = tried(desk, alert=NAME, strike="130")
    assert (answer["tried"]["con_id"], answer["tried"]["strike"]) == (0, 130)
    with pytest.raises(CommandError, match="no alert 'nobody/X' is in the alert store"):
        tried(desk, alert="nobody/X")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "no symbol is given; name one, as in --symbol TSLA"),
        (
            {"symbol": "X", "strike": "95"},
            "right and expiry are missing; an option has strike, right and expiry",
        ),
        (OPTION | {"right": "X"}, "right 'X' is neither C nor P"),
        (OPTION | {"side": "HOLD"}, "side 'HOLD' is neither BUY nor SELL"),
        (OPTION | {"strike": "x"}, "strike 'x' is not a number above 0"),
        (OPTION | {"quantity": "-1"}, "quantity '-1' is not a number above 0"),
        (OPTION | {"quantity": "NaN"}, "quantity 'NaN' is not a number above 0"),
        (OPTION | {"strike": "1e-400000"}, "strike '1e-400000' is not a number above 0"),
        (OPTION | {"con_id": "1e400"}, "con_id '1e400' is not a number above 0"),
        (OPTION | {"expiry": "soon"}, "expiry 'soon' is not a date; write YYYYMMDD"),
        (OPTION | {"expiry": "1121"}, "expiry '1121' is not a date; write YYYYMMDD"),
    ],
)
def test_what_makes_no_fill_is_refused(given: dict[str, object], words: str) -> None:
    with pytest.raises(CommandError) as refused:
        read_made_up_fill(given, None, TODAY)
    assert words in refused.value.message
    assert refused.value.code == "bad_request"
