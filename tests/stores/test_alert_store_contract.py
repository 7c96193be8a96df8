"""The contract of every alert store: the file, the one in memory and PostgreSQL answer alike."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC
from decimal import Decimal
from pathlib import Path
from typing import Final, Protocol

import pytest
from msgspec.structs import replace

from tests.support.cutting_proxy import CuttingProxy
from tests.support.facts import execution
from tests.support.fakes import MemoryAlerts, Records
from tests.support.pgbouncer import pgbouncer, pooled
from tests.support.postgres import Server, all_programs
from tests.support.shared_rig import SharedRig
from tests.support.store_cases import Clock, dump, id_of, record, removal, shown_by, some_records, update
from tracker.core.alerters import AlerterNames
from tracker.core.model import Alert, AlertId, Contract, Outcome, StoreUnavailable
from tracker.core.ports import AlertStore
from tracker.stores.alert_file import AlertFile


class Case(Protocol):
    """A store and its other user."""

    store: AlertStore

    def put(self, records: Records) -> None: ...

    def records(self) -> Records: ...

    def break_off(self) -> None: ...


class FileCase:
    def __init__(self, folder: Path, enrich: Callable[[Alert], Alert], names: AlerterNames) -> None:
        self.path = folder / "alerts.json"
        self.store: AlertStore = AlertFile(self.path, zone=UTC, now=Clock(), enrich=enrich, names=names)

    def put(self, records: Records) -> None:
        self.path.write_text(dump(records))

    def records(self) -> Records:
        found: Records = json.loads(self.path.read_text())
        return found

    def break_off(self) -> None:
        self.path.write_text('{"robindahood-alerts": {"NVDA": {"op')


class MemoryCase:
    def __init__(self, folder: Path, enrich: Callable[[Alert], Alert], names: AlerterNames) -> None:
        self.memory = MemoryAlerts(zone=UTC, enrich=enrich, names=names)
        self.store: AlertStore = self.memory

    def put(self, records: Records) -> None:
        self.memory.away = ""
        self.memory.records = records

    def records(self) -> Records:
        return self.memory.records

    def break_off(self) -> None:
        self.memory.away = "cut off"


class SharedCase:
    """PostgreSQL; here a stale copy is a failover that lost this seat's parts."""

    def __init__(
        self, rig: SharedRig, proxy: CuttingProxy, enrich: Callable[[Alert], Alert], names: AlerterNames
    ) -> None:
        self._rig = rig
        self._proxy = proxy
        self.store: AlertStore = rig.store(port=proxy.port, enrich=enrich, names=names)

    def put(self, records: Records) -> None:
        self._proxy.go_on()
        self._rig.put(records)
        self._rig.lose_parts()
        # Behind a pooler the server's cut does not reach the tracker.
        self._proxy.cut()

    def records(self) -> Records:
        return self._rig.records()

    def break_off(self) -> None:
        self._proxy.refuse()


def _seen(alert: Alert) -> Alert:
    return replace(alert, problems=("seen",))


SERVERS: Final = {f"PostgreSQL of {one.name}": one for one in all_programs()}
"""The wheel's everywhere, and those of the machine."""


@pytest.fixture(scope="module")
def servers() -> Iterator[Callable[[str], Server]]:
    """Return what gives a started server by its name, one for all tests here."""
    started: dict[str, Server] = {}
    with ExitStack() as stack:

        def server(name: str) -> Server:
            if name not in started:
                started[name] = stack.enter_context(Server(SERVERS[name]))
            return started[name]

        yield server


POOLED: Final = "PostgreSQL behind PgBouncer"


@pytest.fixture(params=["file", "memory", *SERVERS, *([POOLED] if pgbouncer() else [])])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    names = AlerterNames([("demslayer", "", ["the-slayer"])])
    if request.param in SERVERS:
        server = request.getfixturevalue("servers")(request.param)
        with server.database() as database, SharedRig(database) as rig, CuttingProxy(server.port) as proxy:
            yield SharedCase(rig, proxy, _seen, names)
    elif request.param == POOLED:
        server = request.getfixturevalue("servers")(next(iter(SERVERS)))
        with server.database() as database, SharedRig(database) as rig:
            database.url_of("tracker_seat")
            with pooled(server.port, "user_tracker_seat") as port, CuttingProxy(port) as proxy:
                yield SharedCase(rig, proxy, _seen, names)
    elif request.param == "file":
        yield FileCase(tmp_path, _seen, names)
    else:
        yield MemoryCase(tmp_path, _seen, names)


NVDA_ID = id_of(some_records(), "robindahood-alerts", "NVDA")
SPX_ID = id_of(some_records(), "demslayer", "SPX")


def test_empty_store_answers_gone(case: Case) -> None:
    """A store without records has no alerts and updates are gone."""
    assert case.store.refresh() is False
    assert list(case.store.alerts()) == []
    assert list(case.store.apply([update(NVDA_ID)])) == [Outcome.GONE]


def test_refresh_tells_whether_anything_changed(case: Case) -> None:
    case.put(some_records())
    assert case.store.refresh() is True
    assert case.store.refresh() is False
    assert {alert.id.name for alert in case.store.alerts()} == {
        "robindahood-alerts/NVDA",
        "robindahood-alerts/TSLA",
        "demslayer/SPX",
    }


def test_alerts_are_enriched(case: Case) -> None:
    case.put(some_records())
    case.store.refresh()
    assert {alert.problems for alert in case.store.alerts()} == {("seen",)}


def test_apply_changes_only_named_record(case: Case) -> None:
    """Apply sets the fields of exactly the named record."""
    case.put(some_records())
    case.store.refresh()
    assert list(case.store.apply([update(NVDA_ID)])) == [Outcome.APPLIED]
    expected = some_records()
    expected["robindahood-alerts"]["NVDA"].update(shown_by(update(NVDA_ID)))
    assert case.records() == expected


def test_applied_update_shows_at_once(case: Case) -> None:
    """What was applied is shown at once."""
    case.put(some_records())
    case.store.refresh()
    shown = case.store.shown(NVDA_ID)
    assert shown is not None
    assert not shown.open
    case.store.apply([update(NVDA_ID)])
    shown = case.store.shown(NVDA_ID)
    assert shown is not None
    assert shown.agrees(update(NVDA_ID))
    assert [alert.open for alert in case.store.alerts() if alert.id == NVDA_ID] == [True]
    assert case.store.refresh() is False


def test_repeated_update_is_a_duplicate(case: Case) -> None:
    """The same update twice is a duplicate."""
    case.put(some_records())
    outcomes = case.store.apply([update(NVDA_ID), update(NVDA_ID)])
    assert list(outcomes) == [Outcome.APPLIED, Outcome.DUPLICATE]
    assert list(case.store.apply([update(NVDA_ID)])) == [Outcome.DUPLICATE]


def test_outcomes_keep_the_updates_order(case: Case) -> None:
    """Outcomes come in the order of the updates."""
    case.put(some_records())
    other = NVDA_ID._replace(ticker="AAPL")
    outcomes = case.store.apply([update(other), update(SPX_ID), update(NVDA_ID, 4), update(NVDA_ID, 10)])
    assert list(outcomes) == [Outcome.GONE, Outcome.APPLIED, Outcome.APPLIED, Outcome.APPLIED]
    assert case.records()["robindahood-alerts"]["NVDA"]["position"]["quantity"] == 10


@pytest.mark.parametrize(
    "other",
    [
        NVDA_ID._replace(created_at="2025-11-18T15:42:08"),
        NVDA_ID._replace(option_conid=1),
        NVDA_ID._replace(option_conid=None),
        NVDA_ID._replace(alerter="demslayer"),
    ],
)
def test_another_identity_is_gone(case: Case, other: AlertId) -> None:
    case.put(some_records())
    assert list(case.store.apply([update(other)])) == [Outcome.GONE]
    assert other not in {alert.id for alert in case.store.alerts()}
    assert case.store.shown(other) is None
    assert case.records() == some_records()


def test_absent_update_fields_stay(case: Case) -> None:
    """Fields that an update leaves alone stay."""
    case.put(some_records())
    case.store.apply([update(NVDA_ID)])
    kept = case.records()["robindahood-alerts"]["NVDA"]["last_order_update"]
    closing = replace(update(NVDA_ID, 0, open=False), last_order_update=None)
    assert list(case.store.apply([closing])) == [Outcome.APPLIED]
    after = case.records()["robindahood-alerts"]["NVDA"]
    assert (after["open"], after["last_order_update"], after["position"]["quantity"]) == (False, kept, 0)


def test_removed_record_stays_out(case: Case) -> None:
    """A removed record is out and stays out."""
    case.put(some_records())
    case.store.refresh()
    text = case.store.record(NVDA_ID)
    assert text is not None
    assert json.loads(text) == record()
    assert list(case.store.apply([removal(NVDA_ID), update(NVDA_ID)])) == [Outcome.APPLIED, Outcome.GONE]
    expected = some_records()
    del expected["robindahood-alerts"]["NVDA"]
    assert case.records() == expected
    assert case.store.record(NVDA_ID) is None
    assert list(case.store.apply([removal(NVDA_ID)])) == [Outcome.GONE]


def test_text_shows_what_was_applied(case: Case) -> None:
    """The text of a record shows an update as soon as it was applied."""
    case.put(some_records())
    case.store.refresh()
    case.store.apply([update(NVDA_ID)])
    text = case.store.record(NVDA_ID)
    assert text is not None
    assert json.loads(text) == {**some_records()["robindahood-alerts"]["NVDA"], **shown_by(update(NVDA_ID))}


def test_store_outage_serves_last_state(case: Case) -> None:
    """A store that is away serves its last good state and is not written."""
    case.put(some_records())
    case.store.refresh()
    case.break_off()
    with pytest.raises(StoreUnavailable):
        case.store.refresh()
    with pytest.raises(StoreUnavailable):
        case.store.apply([update(NVDA_ID)])
    assert len(case.store.alerts()) == 3
    shown = case.store.shown(NVDA_ID)
    assert shown is not None
    assert not shown.open
    case.put(some_records())
    assert list(case.store.apply([update(NVDA_ID)])) == [Outcome.APPLIED]


def test_stale_copy_is_written_over(case: Case) -> None:
    """A stale copy is noticed and can be written over again."""
    case.put(some_records())
    case.store.apply([update(NVDA_ID)])
    case.put(some_records())
    assert case.store.refresh() is True
    shown = case.store.shown(NVDA_ID)
    assert shown is not None
    assert not shown.agrees(update(NVDA_ID))
    assert list(case.store.apply([update(NVDA_ID)])) == [Outcome.APPLIED]


def test_a_replaced_record_is_another_alert(case: Case) -> None:
    case.put(some_records())
    case.store.apply([update(NVDA_ID)])
    changed = some_records()
    changed["robindahood-alerts"]["NVDA"] = record(con_id=700100999, created_at="2025-11-18T16:00:00")
    case.put(changed)
    case.store.refresh()
    assert case.store.shown(NVDA_ID) is None
    assert list(case.store.apply([update(NVDA_ID, 10)])) == [Outcome.GONE]


@pytest.mark.parametrize(
    ("contract", "order_ref", "expected"),
    [
        (Contract(700100200, "OTHER", "OPT"), "", ["NVDA"]),
        (Contract(9, "nvda", "STK"), "", ["NVDA"]),
        (Contract(9, "IBM", "OPT"), "demslayer/SPX", ["SPX"]),
        (Contract(9, "IBM", "OPT"), "tracker:The Slayer/spx", ["SPX"]),
        (Contract(700100300, "NVDA", "OPT"), "", ["NVDA", "TSLA"]),
        (Contract(9, "IBM", "OPT", strike=Decimal("122.5"), right="C"), "a/b/c", []),
    ],
)
def test_candidates_by_conid_symbol_and_reference(
    case: Case, contract: Contract, order_ref: str, expected: list[str]
) -> None:
    """Candidates come by con id symbol and reference."""
    case.put(some_records())
    case.store.refresh()
    fill = execution("1.1.1.1", 4, contract=contract, order_ref=order_ref)
    assert sorted(alert.id.ticker for alert in case.store.candidates(fill)) == expected


def test_candidates_follow_the_records(case: Case) -> None:
    case.put(some_records())
    case.store.refresh()
    changed = some_records()
    changed["robindahood-alerts"]["NVDA"] = record(con_id=5)
    del changed["robindahood-alerts"]["TSLA"]
    changed["new-alerter"] = {"AMD": record("AMD", 6)}
    case.put(changed)
    case.store.refresh()

    def found(con_id: int, symbol: str) -> list[str]:
        fill = execution("1.1.1.1", 4, contract=Contract(con_id, symbol, "OPT"))
        return [alert.id.ticker for alert in case.store.candidates(fill)]

    assert found(700100200, "X") == []
    assert found(700100300, "TSLA") == []
    assert found(5, "X") == ["NVDA"]
    assert found(6, "X") == ["AMD"]
