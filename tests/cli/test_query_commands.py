"""The commands about fills and alerts: tables of 80 columns, documented JSON, exit codes, daemon or none."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.answer_rig import ROBIN, Desk, buy, loose, record
from tests.support.facts import ACCOUNT, NVDA, exec_id, execution, fee
from tests.support.fakes import Records
from tests.support.free_ports import free_port
from tests.support.project import PROJECT
from tracker.cli import main
from tracker.core.model import Contract, Source, Undecodable
from tracker.logs import log
from tracker.stores.lock import FileLock

PAGE = (PROJECT / "tracker/queries/ANSWERS.md").read_text()
NAME = f"{ROBIN}/NVDA"
LATER = replace(NVDA, con_id=2, expiry=date(2025, 11, 28))
SINCE = ("--since", "2025-11-01")


def rich(folder: Path) -> Desk:
    """Return a desk that has met everything that an answer can show."""
    alerts: Records = {
        ROBIN: {"NVDA": record()},
        "prof-and-kian-alerts": {"NVDA": loose(), "GOOGL": loose("GOOGL", strike="1222.5")},
        "a": {"SPX": loose("SPX", strike="6600", expiry=None)},
        "b": {"SPX": loose("SPX", strike="6600", expiry=None)},
    }
    desk = Desk(folder, alerts)
    spx = Contract(40, "SPX", "OPT", date(2025, 11, 18), Decimal("6600.0"), "C", "100", "USD")
    before = desk.alerts_path.read_text()
    desk.tell(buy(1, 4), fee(exec_id(1), "2.6"))
    desk.alerts_path.write_text(before)
    desk.run_pump()
    desk.tell(buy(2, 1, contract=spx, order_ref="swing \x1b[31mred"))
    desk.tell(buy(3, 1, contract=Contract(6, "NVDA", "BAG"), perm_id=77))
    desk.tell(buy(4, 12345, contract=LATER, perm_id=77, price="1234.5678"), buy(5, -3))
    desk.tell(buy(6, 1, contract=Contract(7, "TSLA", "STK"), account="DU9000001"))
    desk.tell(execution(exec_id(7), 3, at=7, perm_id=300), execution(exec_id(7, 2), 2, at=7, perm_id=300))
    desk.tell(buy(8, 1, contract=LATER))
    desk.note(Source.PERSON, "dismiss", ACCOUNT, exec_id(8))
    desk.tell(Undecodable("execution", "the quantity 'x' is no number", exec_id(9)))

    def replaced(alerts: Records) -> None:
        alerts["prof-and-kian-alerts"]["NVDA"] = loose() | {"created_at": "2025-11-18T16:00:00"}

    desk.change(replaced)
    return desk


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rich")
    rich(folder).stop()
    return folder


@pytest.fixture
def folder(filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(filled, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRACKER_STATUS__PORT", str(free_port()))
    monkeypatch.delenv("TRACKER_SETTINGS", raising=False)
    return tmp_path


def test_why_names_what_a_record_lacks(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A writer that spells the keys of the right its own way finds out here, and no fill matches."""
    details = {"ticker": "AMD", "strike": "100", "option_type": "call", "expiry": "12/18"}
    alerts = json.loads((folder / "alerts.json").read_text())
    alerts["a"]["AMD"] = {"created_at": "2025-11-18T15:00:00", "alert_details": details}
    (folder / "alerts.json").write_text(json.dumps(alerts))
    assert "option AMD 2025-12-18 100; no side in its alert_details" in ask(capsys, "why", "a/AMD")


def ask(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """Run a command; returns its answer, or where it is refused the line that says why."""
    assert main.main(arguments) == code
    said = capsys.readouterr()
    assert (said.err == "") is (code == 0), said.err
    return said.out if code == 0 else said.err


def test_unusable_record_is_told_in_a_line_of_the_log(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Not with the place in the code, as the logging library prints by itself."""
    alerts = json.loads((folder / "alerts.json").read_text())
    alerts["a"]["AMD\x00"] = {"created_at": "2025-11-18T15:00:00"}
    (folder / "alerts.json").write_text(json.dumps(alerts))
    main.main(("inbox", *SINCE))
    log.close()
    (line,) = capfd.readouterr().err.splitlines()
    assert re.fullmatch(r"[-\d]{10} [:.\d]{12} WARNING .*alerts\.json: the record .* is not used: .*", line)


QUESTIONS: tuple[tuple[str, ...], ...] = (
    ("fills", *SINCE),
    ("fills", *SINCE, "--all"),
    ("fills", "--alert", NAME),
    ("inbox", *SINCE),
    ("inbox", *SINCE, "--all"),
    ("why", exec_id(1)),
    ("why", exec_id(2)),
    ("why", exec_id(7, 2)),
    ("why", exec_id(8)),
    ("why", NAME),
    ("why", "prof-and-kian/NVDA"),
    ("why", "prof-and-kian/GOOGL"),
    ("test", "--symbol", "NVDA", "--strike", "122.5", "--right", "C", "--expiry", "20251121"),
    ("test", "--symbol", "NVDA"),
    ("assign", exec_id(4), NAME),
    ("dismiss", exec_id(2)),
)


@pytest.mark.parametrize("question", QUESTIONS, ids=" ".join)
def test_tables_fit_80_columns(
    folder: Path, capsys: pytest.CaptureFixture[str], question: tuple[str, ...]
) -> None:
    """Its table has 80 columns and no control characters."""
    lines = ask(capsys, *question).splitlines()
    assert lines
    assert [line for line in lines if len(line) > 80] == []
    assert [line for line in lines if not line.isprintable() or line != line.rstrip()] == []


def keys_of(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield str(key)
            yield from keys_of(each)
    elif isinstance(value, list):
        for each in value:
            yield from keys_of(each)


DESIGN_KEYS = {
    *("order_id", "status", "filled_qty", "updated_at", "remaining_qty", "avg_fill_price", "last_fill_price"),
    *("matched_by", "commission"),
}
"""Keys of last_order_update, which the page on alerts documents."""


@pytest.mark.parametrize("question", QUESTIONS, ids=" ".join)
def test_its_json_is_numbered_and_documented(
    folder: Path, capsys: pytest.CaptureFixture[str], question: tuple[str, ...]
) -> None:
    answer = json.loads(ask(capsys, *question, "--json"))
    assert list(answer)[:2] == ["ok", "schema"]
    assert (answer["ok"], answer["schema"]) == (True, 1)
    documented = set(re.findall(r"`(\w+)`", PAGE))
    assert {key for key in keys_of(answer) if key not in documented | DESIGN_KEYS} == set()


def test_the_inbox_reads_well(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = ask(capsys, "inbox", *SINCE)
    assert text.startswith("Needs you: 1 ambiguous, 1 near miss, 1 undecodable\n")
    assert "- a/SPX may be meant, by strike" in text
    assert f"- {NAME}: its expiry is 2025-11-21, the fill's is 2025-11-28" in " ".join(text.split())
    lines = text.splitlines()
    combo = next(at for at, line in enumerate(lines) if "NVDA BAG" in line)
    assert lines[combo + 2].startswith("    2025-11-18 15:43:04  BUY")
    assert "Decide about an order by its number: tracker assign NUMBER ALERTER/TICKER (with" in lines
    assert lines[-2] == "Other fills since 2025-11-01 00:00:00 UTC: 2, 1 of them dismissed; --all lists"


def test_why_reads_well(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = ask(capsys, "why", NAME)
    assert "store       open, as decided\n" in text
    assert "written again, since another program undid it: open, 4 held" in " ".join(text.split())
    assert "shared with prof-and-kian-alerts/NVDA" in " ".join(text.split())
    text = ask(capsys, "why", exec_id(2))
    assert "reference swing ?[31mred" in " ".join(text.split())
    assert "decision    ambiguous: 2 alerts agree by strike: one of them is meant\n" in text
    text = ask(capsys, "why", "prof-and-kian/NVDA")
    assert "another program replaced it; the record of 2025-11-18T16:00:00 took over" in " ".join(
        text.split()
    )


def test_a_fills_table_reads_well(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = ask(capsys, "fills", "--alert", "robindahood/NVDA").splitlines()
    assert lines[0] == "3 fills of robindahood/NVDA"
    assert lines[1] == "2025-11-18 15:43:01  BUY     4  NVDA 2025-11-21 122.5 C      2.5  fee 2.6"
    assert lines[2] == f"    {exec_id(1)}  opened prof-and-kian-alerts/NVDA,"
    assert "DU9000001" in ask(capsys, "fills", *SINCE)


def test_csv_to_output_or_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Csv goes to standard output or whole into a file."""
    text = ask(capsys, "export")
    assert text.startswith("time,account,exec_id,")
    assert ask(capsys, "export", "--csv") == text
    assert text.count("\n") == 1 + 7
    assert ask(capsys, "export", "--csv", "fills.csv") == "7 fills are in fills.csv\n"
    assert (folder / "fills.csv").read_text() == text
    assert (
        ask(capsys, "export", "--csv", "fills.csv", "--since", "2025-12-01") == "0 fills are in fills.csv\n"
    )
    assert len(json.loads(ask(capsys, "export", "--json"))["fills"]) == 7
    assert [path.name for path in folder.iterdir() if "export" in path.name] == []


@pytest.mark.parametrize(
    ("question", "code", "words"),
    [
        (("why", "0.0.0.0"), 1, "no execution '0.0.0.0' is in the journal"),
        (("why", "nobody/XX"), 1, "no alert 'nobody/XX' is in the alert store or the journal"),
        (("fills", "--since", "soon"), 2, "'soon' is not a time to begin at"),
        (("fills", "--alert", "NVDA"), 2, "is not the name of an alert"),
        (("assign", exec_id(6), NAME), 1, "its symbol is NVDA, the fill's is TSLA"),
        (("assign", exec_id(4), "x/Y"), 1, "no alert 'x/Y' is in the alert store"),
        (("dismiss", exec_id(1)), 1, "needs no decision"),
        (("test", "--symbol", "X", "--strike", "1"), 2, "right and expiry are missing"),
        (("export", "--csv", "alerts.json"), 2, "is one of the tracker's own files"),
        (("export", "--csv", "gone/x.csv"), 1, "gone/x.csv cannot be written: No such file"),
        (("export", "--csv", "."), 1, ". cannot be written: it is not a regular file; name one"),
        (("assign", "\udcff", NAME), 2, "tracker: '\\udcff' is not UTF-8; write it in UTF-8"),
        (("export", "--csv", "/dev/null"), 1, "/dev/null cannot be written: it is not a regular file; name"),
        (
            ("why", exec_id(1), "--stores.journal", "other.db"),
            5,
            "other.db does not exist; `tracker run` makes it",
        ),
        (("assign", exec_id(1), NAME, "--stores.journal", "other.db"), 5, "other.db does not exist"),
    ],
)
def test_refusals_have_line_and_code(
    folder: Path, capsys: pytest.CaptureFixture[str], question: tuple[str, ...], code: int, words: str
) -> None:
    """What cannot be answered is one line and an exit code."""
    line = ask(capsys, *question, code=code)
    assert words in line
    assert line.count("\n") == 1
    assert not (folder / "other.db").exists()


def test_refusal_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A refusal for programs is json on standard output."""
    assert main.main(["why", "0.0.0.0", "--json"]) == 1
    said = capsys.readouterr()
    assert said.err == ""
    answer = json.loads(said.out)
    assert (answer["ok"], answer["schema"], answer["error"]["code"]) == (False, 1, "not_found")
    assert main.main(["export", "--csv", "x.csv", "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert (error["code"], error["message"]) == (
        "bad_request",
        "tracker export: choose one of --csv and --json",
    )


def test_unreadable_files_are_exit_5(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A journal that is not one and a store that is cut off end with 5."""
    (folder / "broken.db").write_text("no database at all")
    assert "broken.db" in ask(capsys, "fills", "--stores.journal", "broken.db", code=5)
    (folder / "alerts.json").write_text('{"a"')
    assert "cannot be read as JSON" in ask(capsys, "test", "--symbol", "X", code=5)
    assert "cannot be read as JSON" in ask(capsys, "assign", exec_id(4), NAME, code=5)
    assert "cannot be read now" in ask(capsys, "why", NAME)


def test_terminal_of_another_encoding(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it cannot show comes as an escape; the answer ended at the first such letter."""
    alerts = json.loads((folder / "alerts.json").read_text())
    (folder / "alerts.json").write_text(json.dumps({**alerts, "élan": {"NVDA": loose()}}))
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    command = [sys.executable, "-m", "tracker", "alerts"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "\\xe9lan/NVDA" in done.stdout


def test_limit_leaves_the_newest(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = ask(capsys, "fills", *SINCE, "--limit", "1")
    assert "the newest 1 are shown" in text.splitlines()[0]
    assert ask(capsys, "fills", *SINCE, "--limit", "9" * 30).count("\n") > text.count("\n")
    for wrong in ("0", "-1", "1e3"):
        said = ask(capsys, "fills", "--limit", wrong, code=2)
        assert f"argument --limit: '{wrong}' is no whole number above 0" in said


def test_assignment_without_daemon(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a daemon an assignment is journalled and brought into the store."""

    def googl() -> dict[str, Any]:
        found: dict[str, Any] = json.loads((folder / "alerts.json").read_text())["a"]["SPX"]
        return found

    assert googl()["open"] is False
    text = ask(capsys, "assign", exec_id(2), "a/SPX")
    assert text.splitlines()[:3] == [
        f"{exec_id(2)} is now assigned to a/SPX",
        "shows       open, 1 held, PARTIALLY_FILLED 1",
        "store       written",
    ]
    made = text.splitlines()[3].split("`")[1]
    assert made.startswith("tracker undo ")
    assert googl()["position"]["quantity"] == 1
    assert f"{exec_id(2)} was already assigned" in ask(capsys, "assign", exec_id(2), "a/SPX")
    assert "is now dismissed" in ask(capsys, "dismiss", exec_id(4))
    assert ask(capsys, "inbox", *SINCE).startswith("Needs you: 1 undecodable\n")
    assert "a person assigned it to a/SPX" in " ".join(ask(capsys, "why", exec_id(2)).split())
    assert "is now taken back" in ask(capsys, *made.split()[1:])
    assert googl()["open"] is False
    for flags in ((), ("--dry-run",)):
        assert "was already taken back" in ask(capsys, *made.split()[1:], *flags)


def test_part_is_assigned_in_words(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says how much of what was given; too much is refused with what is left."""
    words = ("assign", exec_id(4), NAME, "--quantity")
    lines = ask(capsys, *words, "5").splitlines()
    assert lines[0] == f"5 of {exec_id(4)} are now assigned to {NAME}"
    assert "8 held" in lines[1], "it had 3 of the other order"
    refused = ask(capsys, *words, "12341", code=1)
    assert "12340 of it are left to assign; 5 of it are assigned" in " ".join(refused.split())
    assert f"5 given to {NAME}; the rest:" in " ".join(ask(capsys, "inbox", *SINCE).split())


def test_held_locks_refuse_decisions(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where another holds the locks but does not answer nothing is done."""
    before = (folder / "alerts.json").read_bytes()
    for name in ("journal.db", "alerts.json"):
        with FileLock(folder / name, "tracker run, process 1"):
            line = ask(capsys, "assign", exec_id(2), "a/SPX", code=5)
        assert f"{name} is in use by tracker run, process 1" in line
        assert "nothing listens on 127.0.0.1:" in line
    assert (folder / "alerts.json").read_bytes() == before


def test_dry_run_changes_no_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A dry run leaves every file alone and commit names its copy."""
    option = ("test", "--symbol", "NVDA", "--strike", "122.5", "--right", "C", "--expiry", "20251121")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert "would open 2 alerts" in ask(capsys, *option)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    copy = json.loads(ask(capsys, *option, "--commit", "--json"))["copy"]
    assert Path(copy).parent == folder
    assert copy in "".join(str(path) for path in folder.iterdir())
    assert "would open no alert" in ask(capsys, "test", "--symbol", "NVDA")


def test_questions_beside_journal_writer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As beside a daemon: what it committed is seen, what it is in the middle of is not."""
    monkeypatch.chdir(tmp_path)
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        desk.tell(buy(1, 4))
        assert ask(capsys, "fills", *SINCE).startswith("1 fill since")
        with desk.journal.step():
            assert ask(capsys, "fills", *SINCE).startswith("1 fill since")
        desk.tell(buy(2, 4))
        assert ask(capsys, "fills", *SINCE).startswith("2 fills since")
