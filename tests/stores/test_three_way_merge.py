"""What another program wrote into a replaced file goes into the file that stands now."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.fakes import Records
from tests.support.store_cases import CREATED, dump, id_of, record, shown_by, some_records, update
from tracker.stores.json_document import parse
from tracker.stores.three_way_merge import Merge

Change = Callable[[Records], object]
NVDA = id_of(some_records(), "robindahood-alerts", "NVDA")
ROBIN = "robindahood-alerts"


def open_nvda(records: Records, quantity: int = 4) -> None:
    """Do what the tracker does."""
    records[ROBIN]["NVDA"].update(shown_by(update(NVDA, quantity)))


def nothing(records: Records) -> None:
    """Change nothing."""


def merge(theirs: Change, *, ours: Change = open_nvda, since: Change = nothing) -> Records:
    """Let both programs start from the same file; return what stands after the merge."""
    base = some_records()
    written = copy.deepcopy(base)
    ours(written)
    current = copy.deepcopy(written)
    since(current)
    late = copy.deepcopy(base)
    theirs(late)
    known = parse(dump(base))
    merged = Merge(known, parse(dump(written), known), parse(dump(late), known)).into(parse(dump(current)))
    assert merged == parse(merged.text)
    found: Records = json.loads(merged.text)
    assert merged.text == dump(found), "the form of the file is kept"
    return found


def opened() -> Records:
    records = some_records()
    open_nvda(records)
    return records


def test_a_late_write_that_changed_nothing_changes_nothing() -> None:
    assert merge(nothing) == opened()


def test_their_change_to_another_record_and_our_update_both_stand() -> None:
    expected = opened()
    expected["demslayer"]["SPX"]["sentiment"] = "bearish"
    assert merge(lambda records: records["demslayer"]["SPX"].update(sentiment="bearish")) == expected


def test_in_the_same_record_their_fields_and_our_fields_both_stand() -> None:
    def theirs(records: Records) -> None:
        records[ROBIN]["NVDA"]["sentiment"] = "bearish"
        records[ROBIN]["NVDA"]["open"] = False
        records[ROBIN]["NVDA"]["position"] = "stale"

    expected = opened()
    expected[ROBIN]["NVDA"]["sentiment"] = "bearish"
    assert merge(theirs) == expected


def test_in_a_record_that_we_did_not_write_their_open_stands() -> None:
    expected = opened()
    expected[ROBIN]["TSLA"]["open"] = True
    assert merge(lambda records: records[ROBIN]["TSLA"].update(open=True)) == expected


def test_what_we_wrote_since_stands_over_their_stale_fields() -> None:
    def theirs(records: Records) -> None:
        records[ROBIN]["TSLA"].update(open=False, sentiment="bearish", position=None)

    def since(records: Records) -> None:
        records[ROBIN]["TSLA"].update(shown_by(update(id_of(records, ROBIN, "TSLA"), 7)))

    found = merge(theirs, since=since)[ROBIN]["TSLA"]
    assert found == record("TSLA", 700100300, sentiment="bearish", **shown_by(update(NVDA, 7)))


def test_a_record_that_they_added_is_added() -> None:
    def theirs(records: Records) -> None:
        records[ROBIN]["AMD"] = record("AMD", 7)
        records["new-alerter"] = {"IBM": record("IBM", 8)}

    expected = opened()
    theirs(expected)
    assert merge(theirs) == expected


def test_a_record_that_they_replaced_is_replaced_whole() -> None:
    new = record(con_id=700100999, created_at="2025-11-18T16:00:00")
    expected = opened()
    expected[ROBIN]["NVDA"] = new
    assert merge(lambda records: records[ROBIN].update(NVDA=new)) == expected


def test_a_record_replaced_again_since_is_newer_than_theirs() -> None:
    newer = record(con_id=5, created_at="2025-11-18T17:00:00")
    found = merge(
        lambda records: records[ROBIN].update(NVDA=record(created_at="2025-11-18T16:00:00")),
        since=lambda records: records[ROBIN].update(NVDA=newer),
    )
    assert found[ROBIN]["NVDA"] == newer


def test_a_field_changed_again_since_is_newer_than_theirs() -> None:
    found = merge(
        lambda records: records[ROBIN]["TSLA"].update(sentiment="late"),
        since=lambda records: records[ROBIN]["TSLA"].update(sentiment="newer"),
    )
    assert found[ROBIN]["TSLA"]["sentiment"] == "newer"


def test_their_deletion_of_another_record_stands() -> None:
    expected = opened()
    del expected[ROBIN]["TSLA"]
    assert merge(lambda records: records[ROBIN].pop("TSLA")) == expected


def test_their_deletion_of_a_record_that_we_just_opened_does_not_stand() -> None:
    """Their cleanup takes what is not open; it had not seen the fill."""
    assert merge(lambda records: records[ROBIN].pop("NVDA")) == opened()


def test_their_deletion_of_a_record_that_they_knew_to_be_open_stands() -> None:
    def ours(records: Records) -> None:
        records[ROBIN]["NVDA"]["position"] = {"quantity": 5}

    base = opened()
    written = copy.deepcopy(base)
    ours(written)
    late = copy.deepcopy(base)
    del late[ROBIN]["NVDA"]
    merged = Merge(parse(dump(base)), parse(dump(written)), parse(dump(late))).into(parse(dump(written)))
    assert merged.text == dump(late)


def test_their_deletion_of_a_record_changed_since_does_not_stand() -> None:
    found = merge(
        lambda records: records[ROBIN].pop("TSLA"),
        since=lambda records: records[ROBIN]["TSLA"].update(sentiment="newer"),
    )
    assert found[ROBIN]["TSLA"]["sentiment"] == "newer"


def test_a_record_that_is_gone_is_not_brought_back() -> None:
    found = merge(
        lambda records: records[ROBIN]["TSLA"].update(sentiment="late"),
        since=lambda records: records[ROBIN].pop("TSLA"),
    )
    assert "TSLA" not in found[ROBIN]


def test_a_record_that_we_removed_is_not_brought_back_but_its_successor_comes() -> None:
    def ours(records: Records) -> None:
        del records[ROBIN]["NVDA"]

    found = merge(lambda records: records[ROBIN]["NVDA"].update(sentiment="late"), ours=ours)
    assert "NVDA" not in found[ROBIN]
    new = record(con_id=5)
    assert merge(lambda records: records[ROBIN].update(NVDA=new), ours=ours)[ROBIN]["NVDA"] == new


def test_a_record_added_on_both_sides_is_the_one_that_stands() -> None:
    found = merge(
        lambda records: records[ROBIN].update(AMD=record("AMD", 7, sentiment="late")),
        since=lambda records: records[ROBIN].update(AMD=record("AMD", 7, sentiment="newer")),
    )
    assert found[ROBIN]["AMD"]["sentiment"] == "newer"


@pytest.mark.parametrize("value", [5, None, "text", [1]])
def test_values_that_are_no_records_are_merged_as_they_are(value: Any) -> None:
    expected: dict[str, Any] = opened()
    expected[ROBIN]["TSLA"] = value
    expected[ROBIN]["note"] = value
    assert merge(lambda records: records[ROBIN].update(TSLA=value, note=value)) == expected


def test_values_that_are_no_records_come_back_or_go_by_their_text() -> None:
    base = parse('{"a": {"n": 1, "m": 2, "T": {"x": 1}}}')
    late = parse('{"a": {"n": 5, "T": 7}}')
    assert Merge(base, base, late).into(base).text == '{"a": {"n": 5, "T": 7}}'
    current = parse('{"a": {"m": 3, "T": {"x": 2}}}')
    assert Merge(base, base, late).into(current).text == '{"a": {"m": 3, "T": {"x": 2}, "n": 5}}'


def test_an_alerter_that_is_no_object_now_takes_nothing() -> None:
    """A person wrote a text over an alerter while a late write added a ticker to it."""
    base = parse('{"a": {}}')
    current = parse('{"a": "off"}')
    assert Merge(base, base, parse('{"a": {"T": {"x": 1}}}')).into(current) is current


def test_the_identity_of_the_records_here_is_the_writers() -> None:
    assert NVDA.created_at == CREATED
