"""A fill finds its candidates through indexes that change with the records, never by looking at all."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.support.facts import execution
from tests.support.json_texts import calm
from tests.support.store_cases import record
from tracker.core.model import Contract
from tracker.stores.alert_index import AlertIndex, IndexedRecord, RecordKey
from tracker.stores.alert_reader import read_alert, read_shown

keys = st.tuples(st.sampled_from(["a", "A-alerts", "b"]), st.sampled_from(["T", "BRK.B", "U"]))
fields = st.builds(record, st.sampled_from(["T", "U", "BRK B"]), st.none() | st.integers(1, 3))


def entry(key: RecordKey, made: dict[str, Any]) -> IndexedRecord:
    alert = read_alert(*key, made, UTC)
    return IndexedRecord(repr(made), alert, alert, read_shown(made))


@calm
@given(st.lists(st.dictionaries(keys, st.none() | fields, max_size=5), max_size=5))
def test_stepwise_changes_equal_one_build(
    steps: list[dict[RecordKey, dict[str, Any] | None]],
) -> None:
    """Changing a view step by step gives what making it at once gives."""
    view, all_fields = AlertIndex(), dict[RecordKey, dict[str, Any]]()
    for step in steps:
        view = view.with_changes({key: entry(key, made) if made else None for key, made in step.items()})
        all_fields.update({key: made for key, made in step.items() if made})
        for key in [key for key, made in step.items() if made is None]:
            all_fields.pop(key, None)
    at_once = AlertIndex().with_changes({key: entry(key, made) for key, made in all_fields.items()})
    assert dict(view.entries) == dict(at_once.entries)
    assert {term: set(found) for term, found in view.index.items()} == {
        term: set(found) for term, found in at_once.index.items()
    }


def test_held_index_does_not_change() -> None:
    """A view that is held does not change."""
    first = AlertIndex().with_changes({("a", "T"): entry(("a", "T"), record("T", 1))})
    first.with_changes({("a", "T"): None, ("a", "U"): entry(("a", "U"), record("U", 2))})
    assert [alert.id.ticker for alert in first.alerts] == ["T"]
    fill = execution("1.1.1.1", 1, contract=Contract(1, "X", "OPT"))
    assert [alert.id.ticker for alert in first.candidates(fill)] == ["T"]


def test_fill_sees_few_of_many_alerts() -> None:
    """Among many alerts a fill sees few."""
    changes: dict[RecordKey, IndexedRecord | None] = {
        ("a", f"T{number}"): entry(("a", f"T{number}"), record(f"T{number}", 1000 + number))
        for number in range(5000)
    }
    view = AlertIndex().with_changes(changes)
    fill = execution("1.1.1.1", 1, contract=Contract(1007, "T9", "OPT"), order_ref="tracker:a/T11")
    assert [alert.id.ticker for alert in view.candidates(fill)] == ["T7", "T9", "T11"]


def test_a_long_reference_costs_little() -> None:
    fill = execution("1.1.1.1", 1, order_ref="/" * 1_000_000)
    assert AlertIndex().candidates(fill) == ()


def test_reference_may_have_slash_in_ticker() -> None:
    """A reference may name a ticker with a slash."""
    view = AlertIndex().with_changes({("a", "BRK.B"): entry(("a", "BRK.B"), record("BRK B", 5))})
    fill = execution("1.1.1.1", 1, contract=Contract(1, "X", "OPT"), order_ref="a/BRK/B")
    assert [alert.id.ticker for alert in view.candidates(fill)] == ["BRK.B"]
