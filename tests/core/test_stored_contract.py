"""The read-only alerter stores add to an alert what it lacks, and override nothing that it says."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from msgspec.structs import replace

from tests.support.matching_cases import CON_ID, fill, match, option_alert, stock_alert, stored
from tracker.core.model import NO_EXPIRY, Alert, Matched, Rule, StoredContract
from tracker.core.stored_contracts import as_written, fill_in, fill_in_again


def test_stored_contract_fills_expiry_and_conid() -> None:
    """A stored contract fills in the expiry and the conId."""
    alert = option_alert(expires=None)
    filled = fill_in(alert, [stored(con_id=CON_ID)])
    assert filled == replace(alert, expiry=stored().expiry, con_ids=frozenset([CON_ID]))
    assert match(fill(), filled) == Matched(((alert.id, Rule.CON_ID),))
    assert match(fill(), fill_in(alert, [stored()])) == Matched(((alert.id, Rule.CONTRACT),))


@pytest.mark.parametrize(
    "other",
    [
        stored(symbol="TSLA", con_id=CON_ID),
        stored(right="P", con_id=CON_ID),
        stored(right="", con_id=CON_ID),
        stored(strike="95", con_id=CON_ID),
        stored(strike=None, con_id=CON_ID),
        stored(date(2025, 11, 16), con_id=CON_ID),
        stored(date(2024, 11, 21), con_id=CON_ID),
        stored(None),
    ],
)
def test_disagreeing_stored_contract_adds_nothing(other: StoredContract) -> None:
    """A stored contract that does not agree adds nothing."""
    alert = option_alert(expires=None)
    assert fill_in(alert, [other]) == alert
    assert fill_in(alert, []) == alert


@pytest.mark.parametrize(
    "alert",
    [
        stock_alert(),
        option_alert(strike=None, expires=None),
        option_alert(right="", expires=None),
    ],
)
def test_alert_without_right_and_strike_gains_nothing(alert: Alert) -> None:
    assert fill_in(alert, [stored(con_id=CON_ID), stored(strike=None), stored(right="")]) == alert


def test_what_the_alert_says_is_never_overridden() -> None:
    other_day = option_alert(expires="1219")
    assert fill_in(other_day, [stored(con_id=CON_ID)]) == other_day
    own_con_id = option_alert(expires=None, con_ids=[1])
    assert fill_in(own_con_id, [stored(con_id=CON_ID)]).con_ids == {1}
    unusable = option_alert(expires="02/30")
    assert fill_in(unusable, [stored(con_id=CON_ID)]) == replace(unusable, con_ids=frozenset([CON_ID]))
    month = option_alert(expires="NOV25")
    assert fill_in(month, [stored(con_id=CON_ID)]) == replace(month, con_ids=frozenset([CON_ID]))


def test_stored_contracts_of_several_expiries_add_nothing() -> None:
    contracts = [stored(con_id=CON_ID), stored(date(2025, 12, 19), con_id=2)]
    for alert in (option_alert(expires=None), option_alert(expires="02/30")):
        assert fill_in(alert, contracts) == alert


def test_stored_contract_of_unknown_age_counts() -> None:
    """A stored contract counts where its expiry or the alert's age is unknown."""
    alert = option_alert(created=None)
    assert fill_in(alert, [stored(None, con_id=CON_ID)]).con_ids == {CON_ID}
    long_gone = stored(date(2020, 11, 21), con_id=CON_ID)
    assert fill_in(replace(alert, expiry=NO_EXPIRY), [long_gone]).con_ids == {CON_ID}


def test_utc_day_may_be_ahead() -> None:
    """Written 01:00 UTC on the 22nd: in New York it is the 21st, on which the contract had not expired."""
    alert = replace(
        option_alert(expires=None), created_at=datetime(2025, 11, 22, 1, tzinfo=UTC), written_on=None
    )
    assert fill_in(alert, [stored(date(2025, 11, 21))]).expiry.day == date(2025, 11, 21)
    assert fill_in(alert, [stored(date(2025, 11, 20))]).expiry.day is None


@pytest.mark.parametrize(("day", "known"), [(16, False), (21, True)])
def test_stored_contract_counts_by_first_sight(day: int, known: bool) -> None:
    """First seen on the 18th: what had expired on the 16th fills nothing in, whatever was thought before."""
    alert = option_alert(expires=None, created=None)
    filled = fill_in(alert, [stored(date(2025, 11, day), con_id=CON_ID)])
    assert filled.con_ids == {CON_ID}
    own = as_written(filled)
    assert (own.expiry, own.con_ids) == (NO_EXPIRY, frozenset())
    again = fill_in_again(replace(own, written_on=date(2025, 11, 18)))
    assert again.unfilled is None
    assert again.expiry.day == (date(2025, 11, day) if known else None)
    assert again.con_ids == ({CON_ID} if known else set())
