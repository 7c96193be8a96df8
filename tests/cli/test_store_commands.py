"""The commands about the shared store: what they do, what they say, and that none repeats a password."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.postgres import PASSWORD, Database
from tests.support.project import PROJECT
from tests.support.shared_rig import SharedRig
from tests.support.store_cases import id_of, some_records, update
from tracker.cli.main import main

NVDA = id_of(some_records(), "robindahood-alerts", "NVDA")
ACCOUNT = "DU7654321"


class Said(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Said]


@pytest.fixture
def run(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Return what runs a command on a fresh database; nothing that it says may hold the password."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str, url: str = database.url, zone: str = "UTC") -> Said:
        monkeypatch.setenv("TRACKER_SHARED__URL", url)
        code = main([*words, "--stores.timezone", zone])
        out, err = capsys.readouterr()
        assert PASSWORD not in out + err
        return Said(code, out, err)

    return run


@pytest.fixture
def held(run: Run, database: Database) -> Database:
    """Return a database in which the seat `left` holds NVDA in one account."""
    assert run("store", "create").code == 0
    with SharedRig(database) as rig:
        rig.put(some_records())
        tracker = rig.store("left")
        tracker.hold("test")
        assert tracker.vet([ACCOUNT]) is None
        tracker.apply([update(NVDA)])
    return database


def test_json_fields_are_documented(run: Run, held: Database) -> None:
    """Those of each action, in SHARED."""
    page = (PROJECT / "tracker/stores/SHARED.md").read_text()
    (seat,) = answer(run("store", "seats", "--json"))["seats"]
    made, freed = (answer(run("store", *words, "--json")) for words in (("create",), ("free", "left")))
    fields = {*seat, *made, *freed} - {"ok", "schema"}
    assert [field for field in sorted(fields) if f"`{field}`" not in page] == []


def answer(said: Said) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(said.out)
    return found


def test_create_makes_all_once(run: Run, database: Database) -> None:
    """Schema and roles; the same again changes nothing and says so."""
    first = run("store", "create")
    assert first.code == 0
    assert "version 1, made now\ntimes      in UTC\n" in first.out
    assert database.rows("SELECT version, zone FROM tracker.meta") == [(1, "UTC")]
    roles = database.rows(
        "SELECT rolname, rolconfig FROM pg_roles WHERE starts_with(rolname, 'tracker_') ORDER BY 1"
    )
    assert [role for role, _ in roles] == ["tracker_producer", "tracker_reader", "tracker_seat"]
    assert all("statement_timeout=5s" in config for _, config in roles)
    again = run("store", "create", zone="US/Eastern")
    assert "version 1, was there\ntimes      in UTC, but" in again.out
    assert "stores.timezone is US/Eastern here" in again.out


def test_create_without_zone_is_refused(run: Run) -> None:
    """Each box would read times in its own."""
    said = run("store", "create", zone="")
    assert said.code == 2
    assert "stores.timezone is empty (flag --stores.timezone)" in said.err


def test_owner_without_createrole_is_told(run: Run, database: Database) -> None:
    """The schema is made all the same; once a superuser made the roles, a second run gives them rights."""
    with database.connect() as connection:
        connection.execute("DROP ROLE IF EXISTS plain_owner")
        connection.execute(f"CREATE ROLE plain_owner LOGIN PASSWORD '{PASSWORD}'")
        connection.execute(f"ALTER DATABASE {database.name} OWNER TO plain_owner")
    said = run("store", "create", url=database.server.url(database.name, "plain_owner"))
    assert said.code == 0
    assert "roles      not made: " in said.out
    assert "have a superuser run CREATE ROLE tracker_seat" in said.out
    assert database.rows("SELECT version FROM tracker.meta") == [(1,)]


def test_seats_lists_who_holds_what(run: Run, held: Database) -> None:
    (seat,) = answer(run("store", "seats", "--json"))["seats"]
    assert (seat["seat"], seat["host"], seat["accounts"]) == ("left", "left-host", [ACCOUNT])
    assert seat["open_alerts"] == 1
    said = run("store", "seats")
    assert "host       left-host" in said.out
    assert "accounts   DU***21" in said.out
    assert "open       1 alert" in said.out


def test_freed_seat_keeps_its_parts(run: Run, held: Database) -> None:
    """Nothing closes by that; another journal may sit down, and the old one is fenced."""
    said = run("store", "free", "left")
    assert said.code == 0
    assert "was        the tracker on left-host, last seen 20" in said.out
    assert "open       1 alert, as the old one left it" in said.out
    assert held.rows("SELECT seats FROM tracker.alerts WHERE ticker = 'NVDA'") == [(["left"],)]
    assert held.rows("SELECT journal FROM tracker.seat") == [(None,)]
    assert held.rows("SELECT account FROM tracker.account") == [(ACCOUNT,)]
    assert answer(run("store", "seats", "--json"))["seats"][0]["host"] is None


def test_forgotten_seat_is_closed(run: Run, held: Database) -> None:
    """Its account is anybody's; what it showed is closed, with quantity 0."""
    told = answer(run("store", "free", "left", "--forget", "--json"))
    assert (told["closed"], told["open_alerts"], told["accounts_given_back"]) == (1, 0, [ACCOUNT])
    ((is_open, position),) = held.rows("SELECT open, position FROM tracker.alerts WHERE ticker = 'NVDA'")
    assert (is_open, position["quantity"]) == (False, 0)
    assert position["closed_at"].endswith("+00:00")
    assert held.rows("SELECT account FROM tracker.account") == []


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (("free",), 2, "name the seat, as in `tracker store free box-2`"),
        (("free", "nobody"), 1, "there is no seat 'nobody'; `tracker store seats` lists them"),
        (("seats", "left"), 2, "it takes no seat"),
        (("seats", "--forget"), 2, "--forget goes with `tracker store free` only"),
    ],
)
def test_mistakes_are_told(
    run: Run, held: Database, words: tuple[str, ...], code: int, expected: str
) -> None:
    said = run("store", *words)
    assert said.code == code
    assert expected in said.err


def test_unreachable_database_is_told(run: Run, database: Database) -> None:
    """By its address without the password, and with the next step."""
    said = run("store", "seats", url=f"postgresql://me:{PASSWORD}@127.0.0.1:1/alerts")
    assert said.code == 3
    assert "PostgreSQL 127.0.0.1:1/alerts cannot be reached: " in said.err
    assert "correct shared.url" in said.err
    wrong = run(
        "store", "seats", url=f"postgresql://owner:wrong{PASSWORD}@127.0.0.1:{database.server.port}/x"
    )
    assert wrong.code == 3
    assert "password authentication failed" in wrong.err


def test_command_that_ends_promises_no_second_try(run: Run) -> None:
    """Only a tracker that runs tries again by itself."""
    said = run("test", "--symbol", "NVDA", url="postgresql://me@127.0.0.1:1/alerts")
    assert said.code == 5
    assert "cannot be reached: " in said.err
    assert said.err.endswith("; run this again once that is settled\n")


def test_malformed_url_is_not_repeated(run: Run) -> None:
    """libpq would quote it whole."""
    said = run("store", "seats", url=f"postgresql://me:{PASSWORD}@[::1/alerts")
    assert said.code == 2
    assert "shared.url is not an address" in said.err


def test_database_without_schema_is_told(run: Run) -> None:
    said = run("store", "seats")
    assert said.code == 1
    assert "after `tracker store create`" in said.err


def test_commands_need_a_url(run: Run) -> None:
    for command in (("store", "seats"), ("mirror",)):
        said = run(*command, url="")
        assert said.code == 2
        assert "shared.url is empty (environment variable TRACKER_SHARED__URL)" in said.err
