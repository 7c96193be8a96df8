"""A record is read leniently: what cannot be read is a problem in plain words, never an exception."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given

from tests.support.json_texts import calm, records
from tests.support.store_cases import CREATED, record
from tracker.core.model import Alert, ExpiryKind
from tracker.stores.alert_reader import read_alert, read_id, read_shown

NEW_YORK = ZoneInfo("America/New_York")


def read(fields: dict[str, Any], ticker: str = "NVDA") -> Alert:
    return read_alert("robindahood-alerts", ticker, fields, NEW_YORK)


def with_details(**details: Any) -> dict[str, Any]:
    fields = record()
    fields["alert_details"] = {**fields["alert_details"], **details}
    return fields


def test_record_is_read_whole() -> None:
    """A record as the writer makes it is read whole."""
    alert = read(record())
    assert alert.id == ("robindahood-alerts", "NVDA", CREATED, 700100200)
    assert alert.created_at == datetime(2025, 11, 18, 20, 42, 7, 318245, tzinfo=UTC)
    assert (alert.symbol, alert.strike, alert.right) == ("NVDA", Decimal("122.5"), "C")
    assert (alert.con_ids, alert.is_option, alert.open) == (frozenset({700100200}), True, False)
    assert alert.expiry.day == date(2025, 11, 21)
    assert alert.problems == ()


def test_underlying_conid_is_no_option_conid() -> None:
    """The underlying conid is never an option conid."""
    fields = record(con_id=None)
    assert fields["conid"] == 4815747
    assert read(fields).con_ids == frozenset()
    assert read(fields).id.option_conid is None


@pytest.mark.parametrize(
    ("option_conid", "option_conids", "expected"),
    [
        (None, [], set()),
        (None, None, set()),
        (5, [5], {5}),
        ("5", ["6"], {5, 6}),
        (5, 6, {5, 6}),
        (5.0, [" 7 "], {5, 7}),
        (0, ["", None], set()),
    ],
)
def test_conids_are_numbers_or_digits(option_conid: Any, option_conids: Any, expected: set[int]) -> None:
    """Conids come as numbers and as digits."""
    alert = read(record(option_conid=option_conid, option_conids=option_conids))
    assert alert.con_ids == expected
    assert alert.problems == ()


@pytest.mark.parametrize("bad", [-1, True, 1.5, "5a", "\u0665", {}, [1], 10**18, "9" * 19])
def test_bad_conid_is_a_problem(bad: Any) -> None:
    """What is no conid is a problem."""
    alert = read(record(option_conid=bad, option_conids=[bad]))
    assert (alert.con_ids, alert.id.option_conid) == (frozenset(), None)
    assert len(alert.problems) == 2
    assert alert.problems[0].endswith("is not a conId")


def test_time_keeps_its_own_zone() -> None:
    """A time with its own zone keeps it."""
    alert = read(record(created_at="2025-11-18T15:42:07+00:00"))
    assert alert.created_at == datetime(2025, 11, 18, 15, 42, 7, tzinfo=UTC)
    assert read(record(created_at="2025-11-18T15:42:07Z")).created_at == alert.created_at


@pytest.mark.parametrize(
    "bad", ["yesterday", "", None, 1763480527.5, "9999-12-31T23:59:59", {"a": 1}, "0001-01-01T00:00:00Z"]
)
def test_unreadable_time_still_tells_apart(bad: Any) -> None:
    """A time that cannot be read is a problem and still tells records apart."""
    alert = read(record(created_at=bad))
    assert alert.created_at is None
    assert alert.problems[0].startswith("created_at")
    assert alert.id.created_at == (bad if isinstance(bad, str) else "" if bad is None else json.dumps(bad))


def test_yearless_expiry_uses_writers_day() -> None:
    """At 2025-12-31 20:00 in New York it is already 2026 in UTC."""
    fields = with_details(expiry="12/31")
    fields["created_at"] = "2025-12-31T20:00:00"
    assert read(fields).expiry.day == date(2025, 12, 31)


def test_an_unusable_expiry_is_a_problem() -> None:
    alert = read(with_details(expiry="11/31/2025"))
    assert alert.expiry.kind is ExpiryKind.UNUSABLE
    assert alert.problems == ('expiry "11/31/2025" is not a date that can be used',)


@pytest.mark.parametrize(
    ("strike", "expected"),
    [
        ("6600", "6600"),
        ("122.5", "122.5"),
        (122.5, "122.5"),
        (6600, "6600"),
        ("$6,600.00", "6600"),
        (0.1, "0.1"),
    ],
)
def test_a_strike_is_read_exactly(strike: Any, expected: str) -> None:
    assert read(with_details(strike=strike)).strike == Decimal(expected)


@pytest.mark.parametrize("bad", ["high", "NaN", "Infinity", "-5", 0, True, {}, ["5"], float("inf"), "1_000x"])
def test_bad_strike_is_a_problem(bad: Any) -> None:
    """A strike that is not a price is a problem."""
    alert = read(with_details(strike=bad))
    assert alert.strike is None
    assert alert.is_option
    assert any(problem.startswith("strike") for problem in alert.problems)


@pytest.mark.parametrize(
    ("side", "right"), [("C", "C"), ("p", "P"), ("CALL", "C"), ("Put", "P"), (" calls ", "C"), ("PUTS", "P")]
)
def test_side_has_many_spellings(side: str, right: str) -> None:
    """A side is read in every spelling."""
    assert read(with_details(side=side)).right == right


@pytest.mark.parametrize("bad", ["BUY", "CP", 1, True, {}])
def test_bad_side_is_a_problem(bad: Any) -> None:
    """A side that is neither is a problem."""
    alert = read(with_details(side=bad))
    assert alert.right == ""
    assert any("neither call nor put" in problem for problem in alert.problems)


def test_record_without_option_is_stock() -> None:
    """A record without option details is a stock alert."""
    fields = record(con_id=None, alert_details={"ticker": "nvda", "strike": None, "side": "", "expiry": None})
    alert = read(fields)
    assert not alert.is_option
    assert (alert.symbol, alert.problems) == ("NVDA", ())


def test_symbol_may_come_from_key() -> None:
    """A record without details takes its symbol from its key."""
    fields = record(con_id=None)
    del fields["alert_details"]
    assert (read(fields, "$tsla").symbol, read(fields).is_option) == ("TSLA", False)
    assert read(record(alert_details=[1])).problems == ("alert_details is not an object",)
    assert read(record(alert_details={"ticker": 5})).symbol == "NVDA"


@pytest.mark.parametrize("value", ["true", 1, None, False, "missing"])
def test_only_a_real_true_is_open(value: Any) -> None:
    fields = record(open=value)
    if value == "missing":
        del fields["open"]
    assert not read(fields).open
    assert not read_shown(fields).open
    assert read(record(open=True)).open


def test_tracker_fields_must_be_objects() -> None:
    """Fields of ours that are no objects are not shown."""
    shown = read_shown(record(open=True, last_order_update="x", position={"quantity": 1}))
    assert (shown.open, shown.last_order_update, shown.position) == (True, None, {"quantity": 1})


@calm
@given(records, records)
def test_no_record_raises(text: str, details: str) -> None:
    fields = {**json.loads(text), "alert_details": json.loads(details)}
    alert = read(fields)
    assert alert.id == read_id("robindahood-alerts", "NVDA", fields)
    for name in ("created_at", "option_conid", "option_conids", "open"):
        read({**fields, name: fields["alert_details"]})
    for name in ("ticker", "strike", "side", "expiry"):
        assert read({"alert_details": {name: fields}}).id.ticker == "NVDA"
