"""Each judgement of doctor about the gateway, from what a preflight found or a running tracker says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.doctor.test_checks import NEW_YORK, NOW, check
from tracker.doctor import check_gateway
from tracker.doctor.finding import Finding, Level
from tracker.gateway.preflight_result import ClockReading, PreflightResult, Reach

IN = PreflightResult(
    Reach.IN,
    accounts=("DU1234567",),
    server_version=176,
    greeting="20251118 12:00:00 EST",
    executions_listed=True,
    read_only=True,
)


@pytest.mark.parametrize(
    ("reach", "level", "words"),
    [
        (Reach.NOWHERE, Level.FAULT, "start TWS or IB Gateway"),
        (Reach.SILENCE, Level.FAULT, "correct gateway.host and gateway.port"),
        (Reach.STRANGER, Level.FAULT, "is not TWS or IB Gateway"),
        (Reach.ID_TAKEN, Level.OK, "is open"),
        (Reach.HALFWAY, Level.OK, "is open"),
        (Reach.IN, Level.OK, "server version 176"),
    ],
)
def test_the_port(reach: Reach, level: Level, words: str) -> None:
    preflight = replace(IN, reach=reach, reason="as it was told")
    check(check_gateway.check_port(preflight, "127.0.0.1", 4002, now=NOW), level, words)


def test_reason_holds_the_step() -> None:
    """What the reason says after its semicolon is the next step, said once."""
    closed = replace(IN, reach=Reach.NOWHERE, reason="nothing listens on gw:4002; start TWS")
    found = check_gateway.check_port(closed, "gw", 4002, now=NOW)
    assert (found.found, found.next_step) == ("nothing listens on gw:4002", "start TWS")


def test_closed_port_during_reset() -> None:
    """A port that is closed during a reset says so."""
    night = datetime(2025, 11, 18, 5, 0, tzinfo=UTC)
    preflight = PreflightResult(Reach.NOWHERE, "nothing listens there")
    check(
        check_gateway.check_port(preflight, "h", 4002, now=night), Level.FAULT, "now is IBKR's nightly reset"
    )


def test_the_login() -> None:
    check(check_gateway.check_login(IN, 3), Level.OK, "client id 3")
    taken = PreflightResult(Reach.ID_TAKEN, "in use")
    check(
        check_gateway.check_login(taken, 3),
        Level.FAULT,
        "another session uses client id 3",
        "gateway.client_id",
    )
    check(
        check_gateway.check_login(PreflightResult(Reach.HALFWAY, "no end"), 3),
        Level.FAULT,
        "no end",
        "window",
    )
    check(check_gateway.check_login(replace(IN, reason="closed"), 3), Level.WARNING, "closed")


@pytest.mark.parametrize(
    ("accounts", "watched", "bound_to", "port", "level", "words"),
    [
        (["DU1234567"], [], "paper", 4002, Level.OK, "guarded by the journal (paper fills)"),
        (["DU1234567"], ["DU1234567"], None, 4002, Level.OK, "guarded by gateway.accounts"),
        (["DU1234567"], [], None, 4002, Level.NOTE, "any other login is accepted"),
        (["U1234567"], [], "live", 4001, Level.OK, "live login: U1234567"),
        (["U1234567"], [], None, 4002, Level.WARNING, "usually paper"),
        (["U1234567"], [], None, 7497, Level.WARNING, "usually paper"),
        (["DU1234567"], [], None, 4001, Level.WARNING, "usually live"),
        (["U1234567"], [], "paper", 4002, Level.FAULT, "the journal holds paper fills"),
        (["U1234567"], ["DU1234567"], None, 4002, Level.FAULT, "DU1234567, which this login does not manage"),
        (["F1234567", "U1234567"], [], None, 4001, Level.FAULT, "advisor's master"),
        (["U1234567"], ["U1234567"], None, 12345, Level.OK, "live login"),
    ],
)
def test_the_account(
    accounts: list[str], watched: list[str], bound_to: str | None, port: int, level: Level, words: str
) -> None:
    check(check_gateway.check_account(accounts, watched, bound_to, port), level, words)


@pytest.mark.parametrize(
    ("ahead", "trip", "level", "words"),
    [
        (0.0, 0.01, Level.OK, "within"),
        (4.0, 0.01, Level.OK, "within"),
        (-20.0, 0.01, Level.WARNING, "20 s behind"),
        (20.0, 0.01, Level.WARNING, "20 s ahead"),
        (20.0, 40.0, Level.OK, "within"),
        (600.0, 0.01, Level.FAULT, "10 min ahead of"),
        (-600.0, 0.01, Level.FAULT, "10 min behind"),
    ],
)
def test_clocks(ahead: float, trip: float, level: Level, words: str) -> None:
    """The gateway reports whole seconds, and a slow answer says little."""
    middle = NOW + timedelta(seconds=trip / 2 + ahead - 0.5)
    clocked = ClockReading(NOW, middle, NOW + timedelta(seconds=trip))
    check(check_gateway.check_clock(clocked, timedelta(seconds=120)), level, words)


def test_clock_skew_against_early_fill() -> None:
    """Clocks are judged by how early a fill may be."""
    clocked = ClockReading(NOW, NOW + timedelta(seconds=15), NOW)
    check(check_gateway.check_clock(clocked, timedelta(seconds=10)), Level.FAULT, "miss their alerts")
    check(check_gateway.check_clock(clocked, timedelta(0)), Level.WARNING, "15 s ahead")
    check(check_gateway.check_clock(None, timedelta(0)), Level.NOTE, "did not answer with its time")


def test_the_gateways_own_link() -> None:
    check(check_gateway.check_upstream(IN, now=NOW), Level.OK, "no trouble")
    lost = replace(IN, upstream="the gateway has lost IBKR (1100)")
    check(check_gateway.check_upstream(lost, now=NOW), Level.WARNING, "1100")
    check(
        check_gateway.check_upstream(lost, now=datetime(2025, 11, 18, 5, tzinfo=UTC)),
        Level.NOTE,
        "nightly reset",
    )


@pytest.mark.parametrize(
    ("changes", "master", "fees"),
    [
        ({"of_others": 3, "of_others_with_fee": 2}, Level.OK, Level.OK),
        ({"of_others": 1}, Level.WARNING, Level.NOTE),
        ({}, Level.NOTE, Level.NOTE),
        ({"of_others": 3, "executions_listed": False}, Level.NOTE, Level.NOTE),
    ],
)
def test_the_master_and_the_fees(changes: dict[str, Any], master: Level, fees: Level) -> None:
    preflight = replace(IN, **changes)
    check(
        check_gateway.check_master(preflight, 4),
        master,
        "4" if master is not Level.OK else "fees of other clients",
    )
    check(check_gateway.check_fees(preflight, 4), fees)


def test_the_read_only_api() -> None:
    check(check_gateway.check_read_only(IN, binds=False), Level.OK, "on")
    check(check_gateway.check_read_only(IN, binds=True), Level.WARNING, "bind_manual_orders")
    check(check_gateway.check_read_only(replace(IN, read_only=False), binds=True), Level.NOTE, "off")
    check(check_gateway.check_read_only(replace(IN, read_only=None), binds=False), Level.NOTE, "unknown")


def test_orders_by_hand() -> None:
    check(check_gateway.check_manual_orders(0, binds=False), Level.OK, "none is bound")
    check(check_gateway.check_manual_orders(0, binds=True), Level.NOTE, "bound to client 0")
    check(check_gateway.check_manual_orders(5, binds=False), Level.NOTE, "with the sweeps only")


@pytest.mark.parametrize(
    ("greeting", "level", "words"),
    [
        ("20251118 12:00:00 EST", Level.OK, "agrees with US/Eastern"),
        ("20251118 12:00:00 Eastern Standard Time", Level.OK, "agrees"),
        ("20251118 18:00:00 CET", Level.WARNING, 'gateway.timezone = "Europe/Berlin"'),
        ("20251118 12:00:00 Middle Earth Time", Level.NOTE, "unknown"),
        ("20251118 12:00:00", Level.NOTE, "names no time zone"),
        ("", Level.NOTE, "names no time zone"),
    ],
)
def test_the_zone_of_the_login(greeting: str, level: Level, words: str) -> None:
    check(check_gateway.check_login_zone(greeting, NEW_YORK, "US/Eastern", now=NOW), level, words)


def test_zones_must_agree_in_summer_and_winter() -> None:
    """Zones that agree in winter only do not agree."""
    found = check_gateway.check_login_zone(
        "20251118 12:00:00 EST", ZoneInfo("Etc/GMT+5"), "Etc/GMT+5", now=NOW
    )
    check(found, Level.WARNING, "America/New_York")


def visit_findings(preflight: PreflightResult) -> dict[str, Level]:
    found = check_gateway.check_preflight(
        preflight,
        host="127.0.0.1",
        port=4002,
        client_id=0,
        watched=["DU1234567"],
        binds=False,
        bound_to="paper",
        early_fill=timedelta(seconds=120),
        zone=NEW_YORK,
        zone_name="US/Eastern",
        now=NOW,
    )
    return {finding.check: finding.level for finding in found}


def test_unreached_checks_are_one_note() -> None:
    """What a preflight did not reach is one note."""
    assert visit_findings(PreflightResult(Reach.NOWHERE, "closed")) == {
        "gateway_port": Level.FAULT,
        "not_known": Level.NOTE,
    }
    assert visit_findings(PreflightResult(Reach.ID_TAKEN, "in use")) == {
        "gateway_port": Level.OK,
        "login": Level.FAULT,
        "not_known": Level.NOTE,
    }
    assert len(visit_findings(IN)) == 10


# A running tracker


STATUS = {
    "subscribed": True,
    "link": {"state": "up", "reason": "connected with 1 account", "accounts": ["DU1234567"]},
    "journal": {"mode": "paper"},
    "fills_today": 4,
    "fees_pending": 1,
    "store": {"away": {}},
}


def running_findings(status: dict[str, Any]) -> dict[str, Finding]:
    found = check_gateway.check_running_tracker(
        status, client_id=0, watched=[], binds=False, host="127.0.0.1", port=4002
    )
    return {finding.check: finding for finding in found}


def test_healthy_running_tracker() -> None:
    """A running tracker that has no fault."""
    found = running_findings(STATUS)
    check(found["login"], Level.OK, "receives fills")
    check(found["account"], Level.OK, "paper login: DU1234567")
    check(found["fees"], Level.OK, "missing for 1 of the 4 fills of today")
    check(found["not_known"], Level.NOTE, "uses client id 0")
    assert "store" not in found
    paid = running_findings({**STATUS, "fees_pending": 0})
    check(paid["fees"], Level.OK, "all 4 fills of today have their fees")


def test_settings_name_another_gateway() -> None:
    """The port was changed, by a slip or for the next start; the tracker runs on with the one before."""
    assert "gateway_port" not in running_findings({**STATUS, "setup": {"gateway": "127.0.0.1:4002"}})
    found = running_findings({**STATUS, "setup": {"gateway": "127.0.0.1:4001"}})
    check(found["gateway_port"], Level.WARNING, "uses 127.0.0.1:4001; the settings name 127.0.0.1:4002")


def test_a_running_tracker_in_trouble() -> None:
    down = {"state": "waiting", "reason": "client id 0 is in use; retrying in 4 s", "accounts": []}
    found = running_findings({**STATUS, "subscribed": False, "link": down, "fees_pending": 4})
    check(found["login"], Level.FAULT, "client id 0 is in use")
    check(found["fees"], Level.WARNING, "none came for the 4 fills")
    assert "account" not in found
    coming = {**STATUS, "subscribed": False, "link": {"state": "syncing", "reason": "logged in"}}
    check(running_findings(coming)["login"], Level.NOTE, "syncing")
    away = {**STATUS, "store": {"away": {"written": {"since": "", "reason": "disk full"}}}}
    check(running_findings(away)["store"], Level.FAULT, "cannot be written: disk full")


def test_status_without_fields_is_read() -> None:
    """An answer of another version is judged by what it has."""
    found = running_findings({"subscribed": True, "link": None, "store": 3, "fills_today": "many"})
    assert found["login"].level is Level.OK
    assert found["fees"].level is Level.NOTE
