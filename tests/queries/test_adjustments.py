"""What a person may say of a position that changed, what is refused, and the rehearsal."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.answer_rig import ROBIN, Desk, at, buy, record
from tests.support.facts import ACCOUNT, BESIDE, NVDA, exec_id, position
from tracker.core.journal_entries import AdjustmentTold, Undone
from tracker.core.model import End, EndOf, ExecutionKey, Source
from tracker.core.state import ADJUSTMENTS, DIFFERENCES, HOLDINGS
from tracker.queries.adjustments import (
    Reason,
    adjustment_json,
    difference_json,
    open_difference,
    ratio_words,
    telling,
    told_result,
)
from tracker.queries.day_report import report
from tracker.queries.inbox import inbox
from tracker.queries.socket_commands import rehearsed_adjustment
from tracker.queries.text import TextTable
from tracker.queries.undoing import undoing
from tracker.status.protocol import CommandError

KEY = f"{ACCOUNT} {NVDA.con_id}"
NEW = replace(NVDA, con_id=701, local_symbol="NVDB  251121C00061000")
BECAME = f"{ACCOUNT} {NEW.con_id}"
NAME = f"{ROBIN}/NVDA"
THIRD = Decimal(1) / Decimal(3)


class Table(Desk):
    """Hold an alert of 4 that the broker held too, as far as its last certain answer says."""

    def answer(self, *rows: Any) -> None:
        """Have the broker list these, and what is not ours beside them."""
        self.list_positions(position(1, contract=BESIDE), *rows)

    def say(self, contract: str = "NVDA", **reason: str) -> str:
        """Tell an adjustment; returns its ID."""
        self.note(Source.PERSON, *telling(self.journal.state, contract, Reason(**reason)).entry.fields)
        return str(max(row.seq for row in self.journal.state.every(ADJUSTMENTS)))

    def refusal(self, contract: str = "NVDA", **reason: str) -> str:
        """Return why this is refused."""
        with pytest.raises(CommandError) as refused:
            telling(self.journal.state, contract, Reason(**reason))
        return f"{refused.value.code}: {refused.value}"

    def rehearse(self, contract: str = "NVDA", **reason: str) -> Any:
        return rehearsed_adjustment(self.context(), self.journal.state, contract, Reason(**reason))


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Table]:
    with Table(tmp_path, {ROBIN: {"NVDA": record()}}) as table:
        table.note(Source.LINK, "up", ACCOUNT, "176")
        table.tell(buy(1, 4))
        table.answer(position(4))
        yield table


def alerts_of(answer: Any) -> list[tuple[str, Any, Any]]:
    return [(each["alert"], each["quantity"], each["avg_price"]) for each in answer["alerts"]]


def test_split_is_rehearsed_then_told(table: Table) -> None:
    """4 at 2.50 become 16 at 0.625; a rehearsal changes nothing."""
    would = table.rehearse(split="4:1", note="as announced")
    assert (would["done"], would["id"], would["held"], would["into"]) == (False, None, 16, None)
    assert alerts_of(would) == [(NAME, 16, 0.625)]
    state = table.journal.state
    before = state.get(HOLDINGS, KEY)
    assert before is not None
    assert before.held == 4
    one = telling(state, "NVDA", Reason(split="4:1"))
    table.say(split=" 4 : 1 ", note="as announced")
    came = told_result(state, one)
    assert (came["done"], came["held"], alerts_of(came)) == (True, 16, [(NAME, 16, 0.625)])


def test_same_split_twice_is_refused(table: Table) -> None:
    """Typed twice it would make 64 of 4; another ratio, or what the broker lists by then, can be entered."""
    table.answer(position(16))
    name = table.say(split="4:1")
    for _ in range(2):
        assert table.refusal(split="4: 1") == (
            f"refused: NVDA 2025-11-21 122.5 C was split 4:1 already (ID {name}; `tracker undo {name}` takes"
            " it back); a second split like it can be entered once the broker lists what it brings"
        )
        table.answer(position(17))
    assert table.rehearse(split="2:1")["held"] == 32
    table.answer(position(64))
    table.say(split="4:1")
    table.note(Source.PERSON, *Undone(int(name)).fields)
    assert "was split" not in table.refusal(note="x")


def test_ratio_the_wrong_way_round_is_told(table: Table) -> None:
    """The broker holds 16 where 1 would be left: the answer says so."""
    table.answer(position(16))
    says = "the broker holds 16, the fills add up to 1; it is settled once a second answer agrees"
    assert [each["says"] for each in table.rehearse(split="1:4")["unexplained"]] == [says]
    table.say(split="1:4")
    told = told_result(table.journal.state, telling(table.journal.state, "NVDA", Reason(note="x")))
    assert says in " ".join(TextTable(UTC).adjusted({**told, "id": "9"}).split())


@pytest.mark.parametrize(
    ("ratio", "words"),
    [
        ("4", "4 for 1"),
        ("1.5", "3 for 2"),
        (THIRD, "1 for 3"),
        (float(THIRD), "1 for 3"),
        ("0.04", "1 for 25"),
    ],
)
def test_ratio_is_said_in_whole_units(ratio: Any, words: str) -> None:
    assert ratio_words(Decimal(ratio)) == words


def test_odd_ratio_is_said_for_one_unit() -> None:
    assert ratio_words(Decimal("0.123457")) == "0.123457 for 1"


def test_merger_is_rehearsed_then_told(table: Table) -> None:
    table.answer(position(8, contract=NEW))
    would = table.rehearse(becomes=str(NEW.con_id), ratio="2:1")
    assert (would["held"], would["into"]["held"], would["into"]["con_id"]) == (0, 8, NEW.con_id)
    assert alerts_of(would["into"]) == [(NAME, 8, 1.25)]
    assert table.journal.state.get(HOLDINGS, BECAME) is None
    table.say(becomes="nvdb  251121c00061000", ratio="2:1")
    came = table.journal.state.get(HOLDINGS, BECAME)
    assert came is not None
    assert came.held == 8
    said = [adjustment_json(row)["what"].split("; ")[0] for row in table.journal.state.every(ADJUSTMENTS)]
    assert said == [
        f"all of it {way} (adjusted)" for way in ("went to conid 701", f"came from conid {NVDA.con_id}")
    ]
    assert not table.journal.state.find(DIFFERENCES, "open", "1")


def test_reverse_split_names_both_contracts_of_one_name(table: Table) -> None:
    """Old and new contract differ in their conId only."""
    table.answer(position(1, contract=replace(NVDA, con_id=705)))
    would = table.rehearse(becomes="705", ratio="1:4")
    lines = TextTable(UTC).adjusted(would).splitlines()
    assert [line.partition(" in ")[0] for line in lines[:2]] == [
        f"NVDA 2025-11-21 122.5 C ({NVDA.con_id})",
        "NVDA 2025-11-21 122.5 C (705)",
    ]


def test_second_rehearsal_counts_what_was_told(table: Table) -> None:
    """What went on as another contract is split there."""
    table.answer(position(8, contract=NEW))
    table.say(becomes=str(NEW.con_id), ratio="2:1")
    would = table.rehearse(str(NEW.con_id), split="1:4")
    assert alerts_of(would) == [(NAME, 2, 5)]


def test_renumbered_account_is_one_of_the_login(table: Table) -> None:
    table.note(Source.LINK, "up", f"{ACCOUNT},DU7654321", "176")
    assert telling(table.journal.state, "NVDA", Reason(moved="DU7654321")).entry == AdjustmentTold(
        KEY, "transferred", "", "", f"DU7654321 {NVDA.con_id}"
    )
    table.say(moved="DU7654321")
    refusal = table.refusal(account="DU7654321", moved=ACCOUNT)
    assert refusal == (
        "refused: that would lead NVDA 2025-11-21 122.5 C back to itself; `tracker undo` takes a move back"
    )


def test_note_takes_over_what_is_listed(table: Table) -> None:
    table.answer(position(3))
    (waiting,) = open_difference(table.journal.state, KEY)
    said = difference_json(table.journal.state, waiting)
    assert (said["listed"], said["difference"]) == (3, -1)
    assert said["says"].startswith("the broker holds 3, the fills add up to 4;")
    would = table.rehearse(note="given away")
    assert (would["held"], alerts_of(would)) == (3, [(NAME, 3, 2.5)])
    table.say(note="given away")
    assert open_difference(table.journal.state, KEY) == []


@pytest.mark.parametrize("left", [0, 3])
def test_option_on_its_expiry_day_waits_for_its_end(table: Table, left: int) -> None:
    """A second answer settles nothing then: the option expires, or somebody names the cause."""
    table.now += timedelta(days=3)
    table.answer(*[position(left)] * bool(left))
    (waiting,) = open_difference(table.journal.state, KEY)
    said = difference_json(table.journal.state, waiting)["says"]
    assert said.endswith(
        "from its expiry day on it is settled only once that day is over and two answers lack it"
    )


def test_difference_names_what_was_held_before_the_fills(tmp_path: Path) -> None:
    with Table(tmp_path, {ROBIN: {"NVDA": record()}}) as table:
        table.note(Source.LINK, "up", ACCOUNT, "176")
        table.answer(position(5))
        table.tell(buy(1, 4))
        table.answer(position(8))
        (waiting,) = open_difference(table.journal.state, KEY)
        said = difference_json(table.journal.state, waiting)["says"]
    assert said.startswith("the broker holds 8, the 5 held before and the fills add up to 9;")


@pytest.mark.parametrize("after_gap", [False, True])
def test_missed_fills_are_the_first_step_where_a_day_is_unproven(table: Table, after_gap: bool) -> None:
    table.answer(position(3))
    (waiting,) = open_difference(table.journal.state, KEY)
    table.journal.state.put(DIFFERENCES, replace(waiting, after_gap=after_gap))
    said = " ".join(TextTable(UTC).inbox(inbox(table.journal, table.now, table.names)).split())
    cause = f"name the cause with `tracker adjust {NVDA.con_id} --note TEXT`, or --split, --becomes, --moved"
    assert cause in said
    assert (f"bring missed fills with `tracker reconcile --flex FILE`, or {cause}" in said) == after_gap


def test_part_that_was_given_away_has_no_price(table: Table) -> None:
    """Of 4 at 2.50 one is given away and 3 are sold at 3.00: what the round trip made is not known."""
    table.answer(position(3))
    table.say(note="given away")
    table.tell(buy(7200, -3, perm_id=189, price="3"))
    answer = report(table.journal, table.names, at("2025-11-18T00:00"), at("2025-11-19T00:00"))
    (trip,) = answer["round_trips"]
    assert (trip["quantity"], trip["profit"], trip["net"]) == (4, None, None)


def test_move_is_no_round_trip(table: Table) -> None:
    """4 at 2.50 become 8 at 1.25, which are sold at 2.00: one round trip, that made 0.75 of each."""
    table.answer(position(8, contract=NEW))
    table.say(becomes=str(NEW.con_id), ratio="2:1")
    day = at("2025-11-18T00:00"), at("2025-11-19T00:00")
    assert report(table.journal, table.names, *day)["round_trips"] == []
    table.tell(replace(buy(7200, -8, perm_id=189, price="2"), contract=NEW))
    (trip,) = report(table.journal, table.names, *day)["round_trips"]
    assert (trip["con_id"], trip["quantity"], trip["profit"]) == (NEW.con_id, 8, 600)


@pytest.mark.parametrize(("ratio", "units"), [("1:2", 2), ("4:1", 16)])
def test_round_trip_over_a_split_is_in_new_units(table: Table, ratio: str, units: int) -> None:
    """4 at 2.50: two are sold at 3.00, then, split, the rest at what 4.00 was before: 400 made."""
    scale = units / 4
    table.tell(buy(2, -2, perm_id=189, price="3"))
    table.say(split=ratio)
    table.tell(buy(7200, int(-2 * scale), perm_id=190, price=str(4 / scale)))
    (trip,) = report(table.journal, table.names, at("2025-11-18T00:00"), at("2025-11-19T00:00"))[
        "round_trips"
    ]
    assert (trip["quantity"], trip["avg_price"], trip["profit"]) == (units, 2.5 / scale, 400)
    assert trip["closing_price"] == 3.5 / scale


def test_report_lists_what_an_adjustment_closed(table: Table) -> None:
    """It went on a day without a fill."""
    table.now += timedelta(days=1)
    table.answer()
    table.say(note="given away")
    answer = report(table.journal, table.names, at("2025-11-19T00:00"), at("2025-11-20T00:00"))
    (trip,) = answer["round_trips"]
    assert (trip["alert"], trip["quantity"], trip["profit"]) == (NAME, 4, None)
    assert answer["open"] == []


@pytest.mark.parametrize(
    ("contract", "reason", "refusal"),
    [
        (
            "TSLA",
            {"note": "x"},
            "not_found: no fill of 'TSLA' is known; name the contract as `tracker fills` shows it",
        ),
        (
            "NVDA",
            {"account": "DU9", "note": "x"},
            "not_found: no fill of 'NVDA' in account 'DU9' is known; name the contract as `tracker fills`"
            " shows it",
        ),
        (
            "NVDA",
            {},
            "bad_request: say what happened: --split NEW:OLD, --becomes CONTRACT, --moved ACCOUNT,"
            " or --note TEXT",
        ),
        (
            "NVDA",
            {"split": "4:1", "moved": "DU1"},
            "bad_request: --split and --moved cannot go together; give one, then the other in a second"
            " command",
        ),
        (
            "NVDA",
            {"ratio": "4:1"},
            "bad_request: --ratio goes with --becomes; for a split give --split NEW:OLD",
        ),
        (
            "NVDA",
            {"split": "0:1"},
            "bad_request: '0:1' is no ratio; write new units, a colon, old units, as in 4:1",
        ),
        (
            "NVDA",
            {"note": "x"},
            "refused: the broker's positions and the fills agree on NVDA 2025-11-21 122.5 C, so there is"
            " nothing to adjust; `tracker inbox` lists the positions that no fill explains",
        ),
        (
            "NVDA 2025-11-21 122.5 c",
            {"note": "named as tables show it"},
            "refused: the broker's positions and the fills agree on NVDA 2025-11-21 122.5 C, so there is"
            " nothing to adjust; `tracker inbox` lists the positions that no fill explains",
        ),
        (
            "NVDA",
            {"becomes": "999"},
            "not_found: neither a fill nor a position of '999' is known; name the conId of what the broker"
            " holds now, and run this again once the broker lists it",
        ),
        (
            "NVDA",
            {"becomes": "nvda"},
            "bad_request: 'nvda' is the contract itself; name the conId that it became",
        ),
        (
            "NVDA",
            {"moved": "DU9"},
            f"not_found: 'DU9' is no account of the newest login; its accounts are {ACCOUNT}",
        ),
    ],
)
def test_nonsense_is_refused_with_a_next_step(
    table: Table, contract: str, reason: dict[str, str], refusal: str
) -> None:
    assert table.refusal(contract, **reason) == refusal


def test_note_names_what_was_settled(table: Table) -> None:
    """Two answers agreed before anybody said why."""
    for _ in range(2):
        table.now += timedelta(seconds=301)
        table.answer()
    (settled,) = table.journal.state.every(ADJUSTMENTS)
    table.say(note="given away")
    one, other = sorted(table.journal.state.every(ADJUSTMENTS), key=lambda row: row.seq)
    assert adjustment_json(one)["what"] == (
        f"the broker held 0, which the fills known then did not explain (adjusted), explained by {other.seq}"
    )
    assert "given away" in str(adjustment_json(other)["what"])
    assert settled.amount == -4


def test_adjustment_that_a_late_fill_explains(table: Table) -> None:
    """A missed sale of 4 comes after the note: `why` still says what is true of both."""
    table.answer()
    table.say(note="lost")
    table.tell(buy(2, -4, perm_id=189))
    (one,) = table.journal.state.every(ADJUSTMENTS)
    assert adjustment_json(one)["what"].startswith(
        "the broker held 0, which the fills known then did not explain (adjusted); lost;"
    )


def test_note_where_the_account_lists_nothing(table: Table) -> None:
    """The broker lists no position at all, which proves nothing: a person may say that it is so."""
    table.note(Source.SENT, "positions")
    table.tell(End(EndOf.POSITIONS, -1))
    would = table.rehearse(note="given away")
    assert (would["held"], alerts_of(would)) == (0, [(NAME, 0, 2.5)])
    table.say(note="given away")
    assert table.refusal(note="given away").startswith("refused: the broker's positions and the fills agree")


def test_nothing_held_is_not_split(table: Table) -> None:
    table.tell(buy(2, -4, perm_id=189))
    assert table.refusal(split="4:1").startswith("refused: nothing of NVDA 2025-11-21 122.5 C is held")


def test_ambiguous_names_are_listed(table: Table) -> None:
    """Two contracts of the symbol are held: the conId tells them apart."""
    table.tell(buy(3, 2, contract=replace(NVDA, con_id=702, right="P"), perm_id=190))
    assert table.refusal(split="4:1").startswith(
        f"ambiguous: 'NVDA' names several: NVDA 2025-11-21 122.5 C ({NVDA.con_id}) in"
    )
    assert telling(table.journal.state, "702", Reason(split="4:1")).key == f"{ACCOUNT} 702"


def test_becomes_of_an_ambiguous_name(table: Table) -> None:
    table.answer(
        position(8, contract=NEW), position(1, contract=replace(NEW, con_id=703, symbol="NVDB", right="P"))
    )
    table.answer(position(4), position(8, contract=replace(NEW, con_id=704, symbol="NVDB")))
    assert table.refusal(becomes="NVDB").startswith("ambiguous: 'NVDB' names several: NVDB")


def test_becomes_what_only_another_account_holds(table: Table) -> None:
    table.answer(position(4), position(8, contract=NEW, account="DU7654321"))
    refusal = table.refusal(becomes=str(NEW.con_id))
    assert refusal == (
        f"not_found: the broker lists no position of '701' in {ACCOUNT}; run this again once it does"
    )


def test_undo_names_what_it_takes_back(table: Table) -> None:
    seq = table.say(split="4:1")
    assert undoing(table.journal, seq).entries == (Undone(int(seq)),)
    (row,) = table.journal.state.find(ADJUSTMENTS, "name", seq)
    assert adjustment_json(row)["what"] == (
        f"units were exchanged 4 for 1 (split); `tracker undo {seq}` takes it back"
    )
    table.note(Source.PERSON, *Undone(int(seq)).fields)
    (row,) = table.journal.state.find(ADJUSTMENTS, "name", seq)
    assert adjustment_json(row)["what"] == "units were exchanged 4 for 1 (split), taken back"
    with pytest.raises(CommandError, match="was taken back before"):
        undoing(table.journal, seq)


def test_undo_of_a_move_takes_both_sides_back(table: Table) -> None:
    table.answer(position(8, contract=NEW))
    seq = table.say(becomes=str(NEW.con_id), ratio="2:1", note="merger")
    told = sorted(adjustment_json(row)["what"] for row in table.journal.state.find(ADJUSTMENTS, "name", seq))
    back = f"; merger; `tracker undo {seq}` takes it back"
    assert told == [
        f"all of it came from conid {NVDA.con_id} (adjusted){back}",
        f"all of it went to conid {NEW.con_id} (adjusted){back}",
    ]
    (entry,) = undoing(table.journal, seq).entries
    table.note(Source.PERSON, *entry.fields)
    held = [table.journal.state.get(HOLDINGS, key) for key in (KEY, BECAME)]
    assert [row.held if row is not None else None for row in held] == [4, 0]


def test_undo_of_a_decision_names_its_fill(table: Table) -> None:
    table.note(Source.PERSON, "dismiss", ACCOUNT, exec_id(1))
    seq = table.journal.cursor
    undone = Undone(seq, ExecutionKey(ACCOUNT, exec_id(1)))
    assert undoing(table.journal, str(seq)).entries == (undone,)


@pytest.mark.parametrize("name", ["1", "x", "-3", "9" * 30, "\N{SUPERSCRIPT TWO}"])
def test_undo_of_anything_else_is_refused(table: Table, name: str) -> None:
    with pytest.raises(CommandError, match=r"is no ID of a decision or an adjustment|no execution "):
        undoing(table.journal, name)
