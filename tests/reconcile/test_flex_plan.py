"""What an import would bring is known before, and the import does that; what a query lacks is reported."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

import pytest

from tests.support.flex_desk import FlexDesk
from tests.support.flex_report import ACCOUNT, cancel, confirm, confirmations, statement, trade, write_report
from tracker.cli.main import main
from tracker.reconcile.flex_query import check, in_words

TUESDAY, WEDNESDAY = date(2025, 11, 18), date(2025, 11, 19)
FIRST = "0000e0d5.6596b0d8.01.01"
SECOND = trade(ibExecID="a.b.2.01", tradeID="2", transactionID="106005", quantity="3", tradePrice="2.6")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[FlexDesk]:
    with FlexDesk(tmp_path) as desk:
        desk.connect()
        yield desk


def without(row: Mapping[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in row.items() if name not in names}


@pytest.mark.parametrize("live", [True, False])
def test_import_does_what_the_plan_said(desk: FlexDesk, live: bool) -> None:
    """A trade that is cancelled, one that is new, one cancelled that nobody knows, and a day that closes."""
    if live:
        desk.bought(FIRST)
    desk.gap(TUESDAY)
    rows = [trade(), cancel(trade(), 106002), SECOND, cancel(trade(tradeID="6000", ibOrderID="7"), 106009)]
    made = statement(*rows, first=TUESDAY, last=WEDNESDAY)
    text, in_force = desk.text(), desk.in_force()
    plan = desk.plan(made).to_json()
    assert (desk.text(), desk.in_force()) == (text, in_force)
    assert desk.take_in(made).to_json() == plan
    assert (plan["executions"], plan["new"], plan["voided"]) == (2, 1 if live else 2, 1)
    void = {
        "what": "void",
        "exec_id": "0000e0d5.6596b0d8.01.106002",
        "account": ACCOUNT,
        "time": "2025-11-18T15:43:10.000000+00:00",
        "execution": "BUY 4 NVDA 2025-11-21 122.5 C at 2.51",
    }
    assert void in plan["changes"]
    assert len(plan["changes"]) == (2 if live else 3)
    assert len(plan["unknown_cancels"]) == 1


def test_plan_of_a_known_report_is_empty(desk: FlexDesk) -> None:
    made = statement(trade(), first=TUESDAY, last=TUESDAY)
    desk.take_in(made)
    plan = desk.plan(made)
    assert (plan.executions, plan.new, plan.changes) == (1, 0, [])


def test_long_plan_is_cut_off(desk: FlexDesk) -> None:
    """The first two hundred are listed, the others counted."""
    rows = [
        trade(ibExecID=f"a.b.{number:04}.01", transactionID=str(107000 + number)) for number in range(201)
    ]
    plan = desk.plan(statement(*rows, first=TUESDAY, last=TUESDAY)).to_json()
    assert (plan["new"], len(plan["changes"]), plan["changes_left_out"]) == (201, 200, 1)


# What a query lacks


def write(folder: Path, *rows: Mapping[str, str]) -> Path:
    return write_report(folder / "flex.xml", statement(*rows, first=TUESDAY, last=TUESDAY))


def test_usable_report_says_what_it_covers(tmp_path: Path) -> None:
    answer = check(write(tmp_path, trade(), SECOND))
    assert (answer["usable"], answer["problems"], answer["tick"]) == (True, [], [])
    assert answer["executions"] == 2
    assert answer["statements"] == [
        {
            "account": ACCOUNT,
            "begins": "2025-11-18T01:20:00.000000+00:00",
            "ends": "2025-11-19T01:20:00.000000+00:00",
        }
    ]
    words = " ".join(in_words(answer).split())
    assert "can be imported: 2 executions." in words
    assert f"{ACCOUNT}: covers 2025-11-17 20:20 to 2025-11-18 20:20 New York" in words
    assert "Corporate Actions (which positions were split, merged or renamed)" in words


def test_all_missing_is_reported_at_once(tmp_path: Path) -> None:
    """Of both accounts' statements, each label once."""
    one = statement(without(trade(), "conid", "tradePrice"), first=TUESDAY, last=TUESDAY)
    other = statement(
        without(trade(accountId="DU9000001"), "conid", "buySell"),
        first=TUESDAY,
        last=TUESDAY,
        account="DU9000001",
    )
    answer = check(write_report(tmp_path / "flex.xml", one, other))
    assert not answer["usable"]
    assert answer["tick"] == ["Conid", "Trade Price", "Buy/Sell"]
    assert len(answer["problems"]) == 2
    assert answer["executions"] is None


def test_missing_level_hides_no_other_column(tmp_path: Path) -> None:
    """The operator ticks all boxes at once, also where no row says that it is an execution."""
    answer = check(write(tmp_path, without(trade(), "levelOfDetail", "conid")))
    assert answer["tick"] == ["Level of Detail", "Executions", "Conid"]


def test_broken_rows_are_told_together(tmp_path: Path) -> None:
    """The first twenty of them."""
    rows = [trade(transactionID=str(200 + number), quantity="?") for number in range(30)]
    answer = check(write(tmp_path, *rows))
    assert len(answer["problems"]) == 20
    assert "Transaction ID '200'" in answer["problems"][0]["message"]
    assert "cannot be imported" in " ".join(in_words(answer).split())


def test_advisable_fields_are_named(tmp_path: Path) -> None:
    answer = check(write(tmp_path, without(trade(), "ibCommission", "orderReference")))
    assert answer["usable"]
    assert answer["advisable"] == ["IB Commission", "Order Reference"]
    assert "IB Commission, Order Reference" in in_words(answer)


def test_terms_left_out_are_named(tmp_path: Path) -> None:
    row = without(trade(symbol="C ODX1 DEC"), "strike", "putCall")
    answer = check(write(tmp_path, row))
    assert answer["terms_left_out"] == [{"con_id": 700100200, "tick": ["Strike", "Put/Call"]}]
    assert "tick Strike, Put/Call" in in_words(answer)


def test_confirmations_are_checked_by_their_labels(tmp_path: Path) -> None:
    text = confirmations(without(confirm(), "price"), day=TUESDAY, made="20251118;180000")
    assert check(write_report(tmp_path / "flex.xml", text))["tick"] == ["Price"]


def test_other_file_is_no_report(tmp_path: Path) -> None:
    path = tmp_path / "flex.xml"
    path.write_text("no xml")
    answer = check(path)
    assert (answer["usable"], answer["tick"]) == (False, [])
    assert "is no Flex report" in answer["problems"][0]["message"]


def test_exit_code_tells_whether_it_is_usable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = tmp_path / "good.xml", tmp_path / "bad.xml"
    write_report(good, statement(trade(), first=TUESDAY, last=TUESDAY))
    write_report(bad, statement(without(trade(), "conid"), first=TUESDAY, last=TUESDAY))
    assert main(["flex", "check", str(good)]) == 0
    assert "can be imported: 1 execution." in " ".join(capsys.readouterr().out.split())
    assert main(["flex", "check", str(bad), "--json"]) == 4
    assert json.loads(capsys.readouterr().out)["tick"] == ["Conid"]
    assert main(["flex", "check"]) == 2
    assert "name the report" in capsys.readouterr().err


def test_dry_run_needs_a_report_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reconcile", "--dry-run"]) == 2
    assert "name it with --flex FILE" in capsys.readouterr().err
    assert main(["reconcile", "--dry-run", "--apply", "--flex", "x.xml"]) == 2
    assert "leave --apply out" in capsys.readouterr().err
