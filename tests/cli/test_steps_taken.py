"""Each next step that an answer prints is taken: run as it stands, on a journal that has what it is about.

An ambiguous fill, a near miss, a position that no fill explains, a day that is not proven; no gateway.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec.structs import replace

from tests.cli.test_printed_steps import STEPS
from tests.support.answer_rig import Desk, buy, rivals
from tests.support.facts import ACCOUNT, NVDA, exec_id, position
from tests.support.flex_report import statement, trade, write_report
from tests.support.free_ports import free_port
from tracker.cli.main import main
from tracker.console import FAILED, NOT_REACHABLE, WELL
from tracker.core.model import Contract, Moment, Source
from tracker.core.state import GAPS
from tracker.core.state_rows import Gap

SPX = Contract(42, "SPX", "OPT", date(2025, 11, 21), Decimal(6600), "C", "100", "USD")
NEARLY = replace(NVDA, con_id=43, expiry=date(2025, 11, 28))
SHARES = Contract(9, "NVDA", "STK", currency="USD")
SPY = Contract(77, "SPY", "STK", currency="USD")
OPENED, AMBIGUOUS, NEAR_MISS = (exec_id(number) for number in (1, 2, 4))
SINCE: Final = ("--since", "2025-11-01")
NUMBER: Final = "NUMBER"
"""Stands for the number of the first order in the inbox."""
GAP: Final = date(2025, 11, 18)

Asked = Callable[..., Any]


def undecided(ask: Asked) -> set[str]:
    return {item["fill"]["exec_id"] for item in ask("inbox", *SINCE)["needs_you"]}


def unexplained(ask: Asked) -> set[int]:
    return {item["con_id"] for item in ask("inbox", *SINCE)["unexplained"]}


def closed_by(ask: Asked) -> str | None:
    """Return what closed the gap; days that nobody has seen since are gaps as well."""
    (found,) = [each["closed_how"] for each in ask("gaps", "--all")["gaps"] if each["day"] == GAP.isoformat()]
    return str(found) if found else None


TAKEN: Final[dict[str, tuple[tuple[str, ...], int, Callable[[Asked], object], object]]] = {
    "inbox": (("inbox", *SINCE), WELL, undecided, {AMBIGUOUS, NEAR_MISS}),
    "assign": (("assign", AMBIGUOUS, "a/SPX"), WELL, undecided, {NEAR_MISS}),
    "assign 1 robindahood-alerts/NVDA": (("assign", NUMBER, "a/SPX"), WELL, undecided, {NEAR_MISS}),
    "assign 0000e0d5.6596b0d8.01.01 robindahood-alerts/NVDA": (
        ("assign", NEAR_MISS, "robindahood-alerts/NVDA"),
        WELL,
        undecided,
        {AMBIGUOUS},
    ),
    "dismiss": (("dismiss", NEAR_MISS), WELL, undecided, {AMBIGUOUS}),
    "adjust 1 --note because": (("adjust", "9", "--note", "because"), WELL, unexplained, set()),
    "gaps": (("gaps",), WELL, closed_by, None),
    "gaps --all": (("gaps", "--all"), WELL, closed_by, None),
    "gaps accept": (("gaps", "accept", GAP.isoformat()), WELL, closed_by, "person"),
    "fills": (("fills", *SINCE), WELL, undecided, {AMBIGUOUS, NEAR_MISS}),
    "fills --since 7 days": (("fills", "--since", "7 days"), WELL, closed_by, None),
    "why": (("why", "robindahood-alerts/NVDA"), WELL, closed_by, None),
    "why 1": (("why", OPENED), WELL, closed_by, None),
    "report": (("report", *SINCE), WELL, closed_by, None),
    "reconcile": (("reconcile",), NOT_REACHABLE, closed_by, None),
    "reconcile --apply": (("reconcile", "--apply"), NOT_REACHABLE, closed_by, None),
    "reconcile --flex report.xml": (("reconcile", "--flex", "flex.xml"), NOT_REACHABLE, closed_by, "flex"),
    "flex check": (("flex", "check", "flex.xml"), WELL, closed_by, None),
    "flex check report.xml": (("flex", "check", "flex.xml"), WELL, closed_by, None),
    "doctor": (("doctor",), FAILED, closed_by, None),
}
"""Step -> the command with values of this journal, its exit code, and what is so after it."""
ELSEWHERE: Final = {
    "undo": "below, since there must be a decision",
    "undo 1": "below, since there must be a decision",
    **dict.fromkeys(
        ("store", "store create", "store free", "store free 1", "store free box-2", "store seats"),
        "tests/cli/test_store_commands.py, on a server",
    ),
    "adjust 1 --account 1 --moved NEW_NUMBER": "tests/daemon/test_unexplained_positions.py",
    "mirror": "tests/mirror",
    "flex fetch": "tests/daemon/test_flex_fetch.py, beside a local service",
    "status": "tests/cli/test_tables.py, beside a tracker that runs",
    "status --json": "tests/cli/test_tables.py, beside a tracker that runs",
    "export": "tests/cli/test_tables.py and tests/cli/test_query_commands.py",
    "run": "every test of tests/daemon",
    "run --gateway.port 7497": "every test of tests/daemon",
    "test --symbol SYMBOL": "tests/queries/test_dry_run.py, beside a tracker that runs",
    **dict.fromkeys(
        ("record", "record --finish 1", "record --finish report.xml", "replay"), "tests/recordings"
    ),
    **dict.fromkeys(("watch", "demo", "notify", "init", "paper"), "tests of the packages of that name"),
}
"""Steps that this journal has no use for -> where they are taken."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with that journal."""
    folder = tmp_path_factory.mktemp("made")
    with Desk(folder, rivals()) as desk:
        desk.note(Source.LINK, "up", ACCOUNT, "176")
        desk.list_positions(position(1, contract=SPY))
        desk.tell(buy(1, 4), buy(2, 1, contract=SPX), buy(3, 10, contract=SHARES), buy(4, 1, contract=NEARLY))
        desk.now += timedelta(seconds=90)
        held = {SPY: 1, NVDA: 4, SPX: 1, NEARLY: 1, SHARES: 6}
        desk.list_positions(*(position(many, contract=contract) for contract, many in held.items()))
        with desk.journal.step():
            desk.journal.state.put(GAPS, Gap(GAP, Moment(desk.now, 1)))
    write_report(
        folder / "flex.xml", statement(trade(), first=GAP - timedelta(days=1), last=GAP + timedelta(days=2))
    )
    return folder


@pytest.fixture
def ask(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Asked:
    """Return a command's answer, run in a copy of that folder beside no gateway."""
    folder = tmp_path / "here"
    shutil.copytree(made, folder)
    settings = folder / "settings.toml"
    text = settings.read_text().replace("[gateway]", f"[gateway]\nport = {free_port()}")
    settings.write_text(text.replace("[status]", f"[status]\nport = {free_port()}"))
    monkeypatch.chdir(folder)

    def run(*words: str, code: int | None = None) -> Any:
        if NUMBER in words:
            number = run("inbox", *SINCE)["orders"][0]["number"]
            words = tuple(str(number) if word == NUMBER else word for word in words)
        found = main([*words, "--json", "--settings", str(settings)])
        out = capsys.readouterr().out
        assert code is None or found == code, out
        return json.loads(out)

    return run


def test_every_printed_step_is_taken_somewhere() -> None:
    assert set(STEPS) == {*TAKEN, *ELSEWHERE}


@pytest.mark.parametrize("step", TAKEN)
def test_printed_step_is_taken(ask: Asked, step: str) -> None:
    """It ends as it should, and what it was printed for is so."""
    words, code, look, wanted = TAKEN[step]
    ask(*words, code=code)
    assert look(ask) == wanted


@pytest.mark.parametrize(
    "words",
    [
        ("assign", NUMBER, "a/SPX"),
        ("dismiss", NUMBER),
        ("gaps", "accept", GAP.isoformat()),
        ("adjust", "9", "--note", "because"),
    ],
    ids=lambda words: words[0],
)
def test_decision_is_undone_by_its_id(ask: Asked, words: tuple[str, ...]) -> None:
    """All is as before; what no fill explains is shown again once the broker has been asked."""
    before = undecided(ask), closed_by(ask)
    was = unexplained(ask)
    done = ask(*words, code=WELL)
    assert (undecided(ask), closed_by(ask), unexplained(ask)) != (*before, was)
    ask("undo", str(done["id"]), code=WELL)
    assert (undecided(ask), closed_by(ask)) == before
