"""What a person types names one moment, one execution, one alert, or is refused with the next step."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta, timezone
from pathlib import Path

import pytest

from tests.support.answer_rig import ROBIN, Desk, at, buy, loose, record
from tests.support.facts import ACCOUNT, exec_id
from tracker.core.alerters import AlerterNames
from tracker.queries.lookup import (
    alert_named,
    days_since,
    execution_named,
    executions_named,
    fill_meant,
    is_alert_name,
    read_since,
    states_named,
)
from tracker.status.protocol import CommandError

NEW_YORK = timezone(timedelta(hours=-5))
NOW = at("2025-11-18T15:43")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("today", "2025-11-18T05:00"),
        (" TODAY ", "2025-11-18T05:00"),
        ("1 day", "2025-11-18T05:00"),
        ("3 days", "2025-11-16T05:00"),
        ("7d", "2025-11-12T05:00"),
        ("2025-11-18", "2025-11-18T05:00"),
        ("2025-11-18T09:30", "2025-11-18T14:30"),
        ("2025-11-18T09:30+00:00", "2025-11-18T09:30"),
    ],
)
def test_day_begins_at_login_midnight(text: str, moment: str) -> None:
    """A day begins at the login's midnight."""
    assert read_since(text, NOW, NEW_YORK) == at(moment)


def test_day_is_of_login_zone() -> None:
    """Just after midnight utc it is still the login's yesterday."""
    assert read_since("today", at("2025-11-19T01:00"), NEW_YORK) == at("2025-11-18T05:00")


@pytest.mark.parametrize("text", ["yesterdy", "0 days", "", "18.11.2025", "0001-01-01T00:00+23:00"])
def test_bad_time_is_refused(text: str) -> None:
    """What is no time is refused with an example."""
    with pytest.raises(CommandError, match="is not a time to begin at; write today") as refused:
        read_since(text, NOW, NEW_YORK)
    assert refused.value.code == "bad_request"


def test_days_of_receipt_begin_earlier() -> None:
    """Days of receipt begin a day before the moment."""
    days = ["2025-11-15", "2025-11-17", "2025-11-18"]
    assert days_since(days, at("2025-11-18T05:00")) == ["2025-11-17", "2025-11-18"]
    assert days_since(days, None) == days


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    alerts = {ROBIN: {"NVDA": record(), "BRK/B": loose("BRK B")}, "wolf": {"X": loose("X")}}
    alerts["wolf-alerts"] = {"X": loose("X")}
    with Desk(tmp_path, alerts) as desk:
        yield desk


def test_several_accounts_need_one_named(desk: Desk) -> None:
    """An execution of several accounts must say which."""
    desk.tell(buy(1, 4), buy(1, 6, account="DU9000001"))
    assert len(executions_named(desk.journal.state, exec_id(1))) == 2
    assert execution_named(desk.journal.state, f" {exec_id(1)} ", ACCOUNT).execution.quantity == 4
    with pytest.raises(CommandError, match=f"several accounts .*--account {ACCOUNT}") as refused:
        execution_named(desk.journal.state, exec_id(1))
    assert refused.value.code == "several_accounts"


def test_alert_in_the_place_of_a_fill(desk: Desk) -> None:
    """Both arguments of `tracker assign` in the wrong order."""
    with pytest.raises(CommandError, match="'wolf/X' names an alert where a fill comes first: its EXEC_ID"):
        fill_meant(desk.journal.state, "wolf/X")


def test_unknown_execution_is_refused(desk: Desk) -> None:
    """An unknown execution says where to look."""
    desk.tell(buy(1, 4))
    with pytest.raises(CommandError, match="no execution 'x' is in the journal; `tracker fills"):
        executions_named(desk.journal.state, "x")
    with pytest.raises(CommandError, match="in account 'DU9000001'"):
        executions_named(desk.journal.state, exec_id(1), "DU9000001")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (f"{ROBIN}/NVDA", f"{ROBIN}/NVDA"),
        ("RobinDaHood/nvda", f"{ROBIN}/NVDA"),
        ("robindahood/brk.b", f"{ROBIN}/BRK/B"),
        ("robindahood/BRK/B", f"{ROBIN}/BRK/B"),
        ("wolf/X", "wolf/X"),
        ("wolf-alerts/X", "wolf-alerts/X"),
    ],
)
def test_alert_in_any_spelling(desk: Desk, text: str, name: str) -> None:
    """An alert is named in any spelling and its own first."""
    desk.run_pump()
    assert alert_named(text, desk.store.alerts(), desk.names).id.name == name


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("robindahood/NVDAA", "not_found", f"the nearest is {ROBIN}/NVDA"),
        ("zz/ww", "not_found", "no alert 'zz/ww' is in the alert store"),
        ("W-olf/x", "several_alerts", "may mean wolf/X, wolf-alerts/X"),
        ("NVDA", "bad_request", "is not the name of an alert; write ALERTER/TICKER"),
        ("/NVDA", "bad_request", "is not the name of an alert"),
    ],
)
def test_bad_alert_name_is_refused(desk: Desk, text: str, code: str, words: str) -> None:
    """A name of no alert or of several is refused."""
    desk.run_pump()
    with pytest.raises(CommandError, match=words) as refused:
        alert_named(text, desk.store.alerts(), desk.names)
    assert refused.value.code == code


def test_gone_records_are_known(desk: Desk) -> None:
    """Records that are gone are still known by name."""
    desk.tell(buy(1, 4))
    (alert_state,) = states_named(desk.journal.state, "robindahood/nvda", AlerterNames())
    assert alert_state.alert.name == f"{ROBIN}/NVDA"


def test_exec_id_is_not_alert_name() -> None:
    """An exec id is no alert name."""
    assert is_alert_name("a/b")
    assert not is_alert_name(exec_id(1))
