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


def test_unchanged_late_write_changes_nothing() -> None:
    """A late write that changed nothing changes nothing."""
    assert merge(nothing) == opened()


def test_changes_to_different_records_both_stand() -> None:
    """Their change to another record and our update both stand."""
    expected = opened()
    expected["demslayer"]["SPX"]["sentiment"] = "bearish"
    assert merge(lambda records: records["demslayer"]["SPX"].update(sentiment="bearish")) == expected


def test_changes_to_different_fields_both_stand() -> None:
    """In the same record their fields and our fields both stand."""

    def theirs(records: Records) -> None:
        records[ROBIN]["NVDA"]["sentiment"] = "bearish"
        records[ROBIN]["NVDA"]["open"] = False
        records[ROBIN]["NVDA"]["position"] = "stale"

    expected = opened()
    expected[ROBIN]["NVDA"]["sentiment"] = "bearish"
    assert merge(theirs) == expected


def test_their_open_stands_in_other_records() -> None:
    """In a record that we did not write their open stands."""
    expected = opened()
    expected[ROBIN]["TSLA"]["open"] = True
    assert merge(lambda records: records[ROBIN]["TSLA"].update(open=True)) == expected


def test_our_later_values_stand() -> None:
    """What we wrote since stands over their stale fields."""

    def theirs(records: Records) -> None:
        records[ROBIN]["TSLA"].update(open=False, sentiment="bearish", position=None)

    def since(records: Records) -> None:
        records[ROBIN]["TSLA"].update(shown_by(update(id_of(records, ROBIN, "TSLA"), 7)))

    found = merge(theirs, since=since)[ROBIN]["TSLA"]
    assert found == record("TSLA", 700100300, sentiment="bearish", **shown_by(update(NVDA, 7)))


def test_their_new_record_is_added() -> None:
    """A record that they added is added."""

    def theirs(records: Records) -> None:
        records[ROBIN]["AMD"] = record("AMD", 7)
        records["new-alerter"] = {"IBM": record("IBM", 8)}

    expected = opened()
    theirs(expected)
    assert merge(theirs) == expected


def test_their_replacement_stands_whole() -> None:
    """A record that they replaced is replaced whole."""
    new = record(con_id=700100999, created_at="2025-11-18T16:00:00")
    expected = opened()
    expected[ROBIN]["NVDA"] = new
    assert merge(lambda records: records[ROBIN].update(NVDA=new)) == expected


def test_later_replacement_wins_over_theirs() -> None:
    """A record replaced again since is newer than theirs."""
    newer = record(con_id=5, created_at="2025-11-18T17:00:00")
    found = merge(
        lambda records: records[ROBIN].update(NVDA=record(created_at="2025-11-18T16:00:00")),
        since=lambda records: records[ROBIN].update(NVDA=newer),
    )
    assert found[ROBIN]["NVDA"] == newer


def test_later_field_wins_over_theirs() -> None:
    """A field changed again since is newer than theirs."""
    found = merge(
        lambda records: records[ROBIN]["TSLA"].update(sentiment="late"),
        since=lambda records: records[ROBIN]["TSLA"].update(sentiment="newer"),
    )
    assert found[ROBIN]["TSLA"]["sentiment"] == "newer"


def test_their_deletion_of_another_record_stands() -> None:
    expected = opened()
    del expected[ROBIN]["TSLA"]
    assert merge(lambda records: records[ROBIN].pop("TSLA")) == expected


def test_deletion_of_newly_opened_record_fails() -> None:
    """Their cleanup takes what is not open; it had not seen the fill."""
    assert merge(lambda records: records[ROBIN].pop("NVDA")) == opened()


def test_deletion_of_known_open_record_stands() -> None:
    """Their deletion of a record that they knew to be open stands."""

    def ours(records: Records) -> None:
        records[ROBIN]["NVDA"]["position"] = {"quantity": 5}

    base = opened()
    written = copy.deepcopy(base)
    ours(written)
    late = copy.deepcopy(base)
    del late[ROBIN]["NVDA"]
    merged = Merge(parse(dump(base)), parse(dump(written)), parse(dump(late))).into(parse(dump(written)))
    assert merged.text == dump(late)


def test_deletion_of_changed_record_fails() -> None:
    """Their deletion of a record changed since does not stand."""
    found = merge(
        lambda records: records[ROBIN].pop("TSLA"),
        since=lambda records: records[ROBIN]["TSLA"].update(sentiment="newer"),
    )
    assert found[ROBIN]["TSLA"]["sentiment"] == "newer"


def test_removed_record_stays_removed() -> None:
    """A record that is gone is not brought back."""
    found = merge(
        lambda records: records[ROBIN]["TSLA"].update(sentiment="late"),
        since=lambda records: records[ROBIN].pop("TSLA"),
    )
    assert "TSLA" not in found[ROBIN]


def test_removed_records_successor_comes() -> None:
    """A record that we removed is not brought back but its successor comes."""

    def ours(records: Records) -> None:
        del records[ROBIN]["NVDA"]

    found = merge(lambda records: records[ROBIN]["NVDA"].update(sentiment="late"), ours=ours)
    assert "NVDA" not in found[ROBIN]
    new = record(con_id=5)
    assert merge(lambda records: records[ROBIN].update(NVDA=new), ours=ours)[ROBIN]["NVDA"] == new


def test_record_added_twice_keeps_ours() -> None:
    """A record added on both sides is the one that stands."""
    found = merge(
        lambda records: records[ROBIN].update(AMD=record("AMD", 7, sentiment="late")),
        since=lambda records: records[ROBIN].update(AMD=record("AMD", 7, sentiment="newer")),
    )
    assert found[ROBIN]["AMD"]["sentiment"] == "newer"


@pytest.mark.parametrize("value", [5, None, "text", [1]])
def test_other_values_merge_as_they_are(value: Any) -> None:
    """Values that are no records are merged as they are."""
    expected: dict[str, Any] = opened()
    expected[ROBIN]["TSLA"] = value
    expected[ROBIN]["note"] = value
    assert merge(lambda records: records[ROBIN].update(TSLA=value, note=value)) == expected


def test_other_values_follow_their_text() -> None:
    """Values that are no records come back or go by their text."""
    base = parse('{"a": {"n": 1, "m": 2, "T": {"x": 1}}}')
    late = parse('{"a": {"n": 5, "T": 7}}')
    assert Merge(base, base, late).into(base).text == '{"a": {"n": 5, "T": 7}}'
    current = parse('{"a": {"m": 3, "T": {"x": 2}}}')
    assert Merge(base, base, late).into(current).text == '{"a": {"m": 3, "T": {"x": 2}, "n": 5}}'


def test_non_object_alerter_takes_nothing() -> None:
    """A person wrote a text over an alerter while a late write added a ticker to it."""
    base = parse('{"a": {}}')
    current = parse('{"a": "off"}')
    assert Merge(base, base, parse('{"a": {"T": {"x": 1}}}')).into(current) is current


def test_identity_here_is_the_writers() -> None:
    """The identity of the records here is the writers."""
    assert NVDA.created_at == CREATED
