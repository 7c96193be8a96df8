"""What holds for every fill and every set of alerts, whatever they say."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.support.matching_cases import CREATED, expiry, fill, match, option_alert, stored
from tracker.core.alerters import symbol_key
from tracker.core.model import (
    NO_EXPIRY,
    Alert,
    AlertId,
    Ambiguous,
    Contract,
    Execution,
    Match,
    Matched,
    Rule,
    StoredContract,
    Unmatched,
)
from tracker.core.stored_contracts import fill_in

SYMBOLS = st.sampled_from(["NVDA", "SPX", "BRK B", "brk.b"])
RIGHTS = st.sampled_from(["C", "P", ""])
STRIKES = st.sampled_from([None, Decimal(95), Decimal("95.0"), Decimal("122.5")])
CON_IDS = st.sampled_from([0, 1, 2, 3])
DAYS = st.sampled_from([None, date(2025, 11, 20), date(2025, 11, 21), date(2025, 12, 19)])
TIMES = st.sampled_from([timedelta(0), timedelta(seconds=90), timedelta(hours=-3), timedelta(days=2)])
EXPIRIES = st.sampled_from([None, "1121", "NOV25", "1219", "02/30"]).map(expiry)
ALERTERS = st.sampled_from(["demslayer", "robindahood-alerts", "robindahood", "wolf"])
REFERENCES = st.sampled_from(["", "note", "demslayer/SPX", "tracker:robindahood/NVDA", "wolf/BRK/B"])

CONTRACTS = st.builds(
    Contract,
    con_id=CON_IDS,
    symbol=SYMBOLS,
    sec_type=st.sampled_from(["OPT", "STK", "FUT", "BAG", "FOP"]),
    expiry=DAYS,
    strike=STRIKES,
    right=RIGHTS,
    trading_class=st.sampled_from(["", "SPX"]),
)
EXECUTIONS = st.builds(
    lambda contract, ref, after: fill(contract, ref=ref, time=CREATED + after), CONTRACTS, REFERENCES, TIMES
)


@st.composite
def alerts(draw: st.DrawFn) -> Alert:
    created = draw(st.one_of(st.none(), TIMES.map(lambda after: CREATED + after)))
    alert = option_alert(
        draw(ALERTERS),
        draw(SYMBOLS),
        right=draw(RIGHTS),
        con_ids=draw(st.lists(CON_IDS, max_size=2)),
        created=created,
    )
    alert = replace(alert, strike=draw(STRIKES), expiry=draw(EXPIRIES))
    details = (
        bool(alert.right) or alert.strike is not None or alert.expiry != NO_EXPIRY or bool(alert.con_ids)
    )
    return replace(alert, is_option=details)


CANDIDATES = st.lists(alerts(), max_size=6, unique_by=lambda alert: alert.id)


def meant_by(result: Match) -> tuple[AlertId, ...]:
    if isinstance(result, Matched):
        return tuple(alert for alert, _ in result.alerts)
    return result.alerts if isinstance(result, Ambiguous) else ()


@given(EXECUTIONS, CANDIDATES)
def test_no_match_crosses_symbol_kind_right(execution: Execution, candidates: list[Alert]) -> None:
    """No match crosses symbol or kind or right."""
    by_id = {alert.id: alert for alert in candidates}
    contract = execution.contract
    for meant in meant_by(match(execution, *candidates)):
        alert = by_id[meant]
        spoken = {contract.symbol, *([contract.trading_class] if contract.sec_type != "STK" else [])}
        assert symbol_key(alert.symbol) in map(symbol_key, spoken)
        assert not contract.is_combo
        if contract.is_option:
            assert alert.is_option
            assert not (alert.right and contract.right) or alert.right == contract.right
        elif contract.sec_type == "STK":
            assert not alert.is_option


@given(EXECUTIONS, CANDIDATES, st.randoms(use_true_random=False))
def test_order_of_candidates_does_not_matter(
    execution: Execution, candidates: list[Alert], random: Random
) -> None:
    """The answer does not depend on the order of the candidates."""
    shuffled = list(candidates)
    random.shuffle(shuffled)
    assert match(execution, *shuffled) == match(execution, *candidates)


@given(EXECUTIONS, CANDIDATES)
def test_every_refused_candidate_has_a_reason(execution: Execution, candidates: list[Alert]) -> None:
    """Every candidate is matched or refused with a reason."""
    result = match(execution, *candidates)
    if execution.contract.is_combo:
        assert isinstance(result, Unmatched)
        return
    refused = [entry.alert for entry in result.rejected]
    assert sorted(map(repr, [*meant_by(result), *refused])) == sorted(repr(alert.id) for alert in candidates)
    assert all(entry.reason for entry in result.rejected)
    if isinstance(result, Ambiguous):
        assert len(result.alerts) > 1


@given(EXECUTIONS, CANDIDATES)
def test_rules_of_different_strength_never_decide_together(
    execution: Execution, candidates: list[Alert]
) -> None:
    result = match(execution, *candidates)
    if isinstance(result, Matched):
        rules = {rule for _, rule in result.alerts}
        assert rules <= {Rule.CON_ID, Rule.CONTRACT} or len(result.alerts) == 1
    if isinstance(result, Ambiguous):
        assert result.rule in (Rule.ORDER_REF, Rule.STRIKE, Rule.SYMBOL)


@given(alerts(), st.lists(st.builds(stored, DAYS, symbol=SYMBOLS, right=RIGHTS, con_id=CON_IDS), max_size=3))
def test_filling_in_only_adds(alert: Alert, contracts: list[StoredContract]) -> None:
    filled = fill_in(alert, contracts)
    assert filled.con_ids == alert.con_ids or not alert.con_ids
    assert filled.expiry == alert.expiry or alert.expiry == NO_EXPIRY
    assert replace(filled, con_ids=alert.con_ids, expiry=alert.expiry, unfilled=None) == alert
