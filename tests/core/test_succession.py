"""Which record continues one that is gone."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from msgspec.structs import replace

from tests.support.matching_cases import NVDA_CALL, option_alert
from tracker.core.alerters import AlerterNames
from tracker.core.model import AlertId
from tracker.core.state_rows import AlertState
from tracker.core.succession import dated_as, is_dated, same_alert_among, same_name, takes_over

CREATED = "2025-11-18T15:42:00"
GONE = AlertState(AlertId("ProfAndKian", "NVDA", CREATED, 5))


@pytest.mark.parametrize(
    ("old", "new", "hour"),
    [
        ("2025-11-18T15:00:00", "2025-11-18T17:00:00", 22),
        ("2025-11-18T15:00:00-05:00", "2025-11-18T17:00:00-06:00", 23),
        ("2025-11-18T15:00:00", "2025-11-18T17:00:00Z", 20),
        ("2025-11-18T15:00:00", "this afternoon", 20),
    ],
)
def test_unread_successor_is_as_much_younger_as_its_name(old: str, new: str, hour: int) -> None:
    """The old record was created at 20:00 UTC; where the names cannot be compared, that is all we know."""
    record = replace(option_alert(), created_at=datetime(2025, 11, 18, 20, tzinfo=UTC))
    dated = dated_as(record, AlertId("a", "NVDA", old, None), AlertId("a", "NVDA", new, None))
    assert dated is not None
    assert dated.created_at == datetime(2025, 11, 18, hour, tzinfo=UTC)


@pytest.mark.parametrize(
    ("created", "dated"),
    [
        (CREATED, True),
        (f"{CREATED}.123456", True),
        ("2025-11-18", False),
        ("2025-11-18T15:42", False),
        ("", False),
    ],
)
def test_creation_is_told_to_the_second(created: str, dated: bool) -> None:
    assert is_dated(GONE.alert._replace(created_at=created)) is dated


@pytest.mark.parametrize(
    ("gone", "now", "same"),
    [
        (CREATED, CREATED, True),
        (CREATED, f"{CREATED}.000", True),
        (CREATED, "2025-11-18T15:42:01", False),
        (CREATED, "2025-11-18", False),
        (CREATED, "99:99:99 T15:42:00", False),
        (CREATED, "2025-13-41T15:42:00", False),
    ],
)
def test_same_alert_has_the_same_creation(gone: str, now: str, same: bool) -> None:
    """Whatever its conid says now."""
    state = replace(GONE, alert=GONE.alert._replace(created_at=gone))
    alert = replace(option_alert(), id=AlertId("prof-and-kian-alerts", "NVDA", now, 6))
    assert (same_alert_among([alert], state) is alert) is same


def test_borrowed_record_tells_no_creation() -> None:
    """A successor that was gone before it was read keeps the older one's record; that one is back now."""
    older = replace(option_alert(), id=GONE.alert._replace(created_at="2025-11-18T15:00:00"))
    assert same_alert_among([older], replace(GONE, record=older)) is None


@pytest.mark.parametrize(("strike", "same"), [(NVDA_CALL.strike, True), (Decimal(5), False)])
@pytest.mark.parametrize(("gone", "now"), [("", ""), ("2025-11-18", ""), ("2025-11-18", "2025-11-18T15:42")])
def test_contract_identifies_undated_alert(gone: str, now: str, strike: Decimal, same: bool) -> None:
    """A creation that is missing or coarse counts as none: then the contract belongs to the identity."""
    before = option_alert()
    state = AlertState(GONE.alert._replace(created_at=gone), record=before)
    alert_id = AlertId("prof-and-kian-alerts", "NVDA", now, None)
    alert = replace(before, id=alert_id, con_ids=frozenset(), strike=strike)
    assert (same_alert_among([alert], state) is alert) is same


@pytest.mark.parametrize("created", ["", CREATED])
def test_same_alert_is_the_first_by_name_of_several(created: str) -> None:
    """Unless one is spelled as it was; no time makes one of them the same alert rather than another."""
    before = option_alert(alerter="prof and kian")
    state = AlertState(before.id._replace(created_at=created), record=before)
    first, second = (
        replace(before, id=AlertId(name, "NVDA", created, None), created_at=at)
        for name, at in (("Prof And Kian", None), ("profandkian", datetime(2025, 11, 18, 16, tzinfo=UTC)))
    )
    assert same_alert_among([second, first], state) is first
    assert same_alert_among([first, replace(second, id=state.alert)], state) is not first


@pytest.mark.parametrize(("expires", "same"), [("1121", True), ("1219", False)])
def test_conid_tells_an_undated_alerts_contract(expires: str, same: bool) -> None:
    """The record named no expiry, but the conid of the call of 21 November, which it had."""
    before = option_alert(expires=None, con_ids=[NVDA_CALL.con_id])
    state = AlertState(GONE.alert._replace(created_at=""), record=before)
    alert = replace(option_alert(expires=expires), id=AlertId("prof-and-kian-alerts", "NVDA", "", None))
    assert (same_alert_among([alert], state, [NVDA_CALL]) is alert) is same
    assert takes_over(alert, state, NVDA_CALL) is same


@pytest.mark.parametrize(("known", "follows"), [(True, False), (False, True)])
def test_record_of_another_conid_takes_nothing_over(known: bool, follows: bool) -> None:
    """It names no expiry, but the conid of the call of 19 December, as far as that is `known`.

    The old record owns an adjusted call of 21 November, which is meant by its conid only. Found by seed
    1060002449.
    """
    december = replace(NVDA_CALL, con_id=9, expiry=date(2025, 12, 19))
    adjusted = replace(NVDA_CALL, trading_class="NVDA1")
    state = replace(GONE, record=option_alert(con_ids=[adjusted.con_id]))
    alert = option_alert(expires=None, con_ids=[december.con_id])
    assert takes_over(alert, state, adjusted, [december] if known else []) is follows


def test_zones_are_compared_by_what_was_read() -> None:
    """A creation with a zone equals one without, where the stores' zone makes them one instant."""
    at = datetime(2025, 11, 18, 15, 42, tzinfo=UTC)
    state = replace(GONE, record=replace(option_alert(), id=GONE.alert, created_at=at))
    alert = replace(option_alert(), id=GONE.alert._replace(created_at=f"{CREATED}+00:00"), created_at=at)
    assert same_alert_among([alert], state) is alert


def test_successor_speaks_of_the_contract() -> None:
    """By conid, by its details, or as the record that is gone did."""
    alert = option_alert(con_ids=[NVDA_CALL.con_id])
    assert takes_over(alert, GONE, NVDA_CALL)
    other = replace(NVDA_CALL, con_id=9, strike=None)
    elsewhere = replace(alert, con_ids=frozenset())
    assert not takes_over(elsewhere, GONE, other)
    assert takes_over(elsewhere, replace(GONE, record=elsewhere), other)


@pytest.mark.parametrize(("trading_class", "follows"), [("SPXW", True), ("SPX1", False)])
def test_ticker_that_refuses_takes_nothing_over(trading_class: str, follows: bool) -> None:
    """The old record said SPX and another strike, the new one says SPXW, which is no ticker of SPX1."""
    contract = replace(NVDA_CALL, symbol="SPX", trading_class=trading_class, strike=Decimal(5))
    state = replace(GONE, record=option_alert(ticker="SPX"))
    assert takes_over(option_alert(ticker="SPXW"), state, contract) is follows


@pytest.mark.parametrize(("expires", "follows"), [("1121", True), ("NOV2025", True), ("1219", False)])
@pytest.mark.parametrize("before", [None, "NOV2025"])
def test_record_without_day_means_the_day_it_owns(before: str | None, expires: str, follows: bool) -> None:
    """It owns the call of 21 November; a record of 19 December is about another contract."""
    state = replace(GONE, record=option_alert(expires=before))
    assert takes_over(option_alert(expires=expires), state, NVDA_CALL) is follows


@pytest.mark.parametrize(("expires", "follows"), [("1121", True), ("1219", False)])
def test_borrowed_record_means_the_contract_that_was_taken_over(expires: str, follows: bool) -> None:
    """It names the conid of 19 December. Whose successor was gone before it was read owns 21 November.

    Found by seed 1060000120.
    """
    older = replace(option_alert(expires=None, con_ids=[9]), id=GONE.alert._replace(created_at=""))
    assert takes_over(option_alert(expires=expires), replace(GONE, record=older), NVDA_CALL) is follows


def test_record_with_another_conid_means_that_contract() -> None:
    """Its conid was that of 19 December, though it came to own the call of 21 November."""
    state = replace(GONE, record=replace(option_alert(expires=None, con_ids=[9]), id=GONE.alert))
    assert takes_over(option_alert(expires="1219", con_ids=[9]), state, NVDA_CALL)
    assert takes_over(option_alert(expires="1219"), state, NVDA_CALL)


def test_contradictory_record_takes_what_it_speaks_of() -> None:
    """Its conid is that of the old record and its strike another: what the old one owned by name stays."""
    state = replace(GONE, record=option_alert(con_ids=[NVDA_CALL.con_id]))
    contradictory = option_alert(strike="125", con_ids=[NVDA_CALL.con_id])
    assert takes_over(contradictory, state, NVDA_CALL)
    assert not takes_over(contradictory, state, replace(NVDA_CALL, con_id=9, strike=Decimal(130)))


def test_names_are_compared_in_any_spelling() -> None:
    alert = AlertId("prof-and-kian-alerts", "nvda", CREATED, None)
    assert same_name(alert, GONE.alert, NVDA_CALL, AlerterNames())


def test_undated_record_that_was_never_read_is_no_other() -> None:
    """Without a time of creation the contract belongs to the identity, and what it named is unknown."""
    gone = AlertState(GONE.alert._replace(created_at=""))
    now = replace(option_alert(), id=gone.alert, created_at=None)
    assert same_alert_among([now], gone, [NVDA_CALL]) is None
