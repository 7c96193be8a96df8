"""The tracker's fields come out of a record's text and go in, every other byte as it is."""

from __future__ import annotations

import json

import pytest

from tracker.mirror.record_text import producers_text, with_fields

PLAIN = '{"created_at": "x", "strike": 122.50, "open": false}'
SHUT = '{\n      "open": false,\n      "strike": 1e2,\n      "open_at": null\n    }'
INDENTED = '{\n      "open": true,\n      "strike": 1e2,\n      "open_at": null\n    }'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (PLAIN, PLAIN),
        ("{}", "{}"),
        ('{"position": {}}', "{}"),
        ('{"a": 1, "position": {"quantity": 4}, "b": 2}', '{"a": 1, "b": 2}'),
        ('{"position": {}, "a": 1, "last_order_update": {}}', '{"a": 1}'),
        ('{"a": 1, "open": true, "last_order_update": null}', '{"a": 1, "open": false}'),
        (INDENTED, INDENTED.replace("true", "false")),
        (
            INDENTED.replace('"strike"', '"position": {"a": [1, 2]},\n      "strike"'),
            INDENTED.replace("true", "false"),
        ),
        ('{"a": 1, "a": 2, "open": 1, "open": true}', '{"a": 1, "a": 2, "open": false, "open": false}'),
    ],
)
def test_trackers_objects_come_out(text: str, expected: str) -> None:
    assert producers_text(text) == expected


def test_fields_written_and_taken_out_leave_no_trace() -> None:
    """So what the tracker writes is no change of the alert writer's."""
    for text in (PLAIN, INDENTED.replace("true", "false"), '{"open": false}'):
        shown = with_fields(
            text,
            is_open=True,
            last_order_update={"order_id": "7"},
            position={"quantity": 4, "shared_with": []},
        )
        assert json.loads(shown)["position"] == {"quantity": 4, "shared_with": []}
        assert json.loads(shown)["open"] is True
        assert producers_text(shown) == text


def test_keys_stand_as_trackers_write_them() -> None:
    """PostgreSQL gives them back by length."""
    shown = with_fields(
        "{}",
        is_open=False,
        last_order_update={"side": "BUY", "status": "FILLED", "order_id": "7", "new": 1},
        position={"quantity": 1, "avg_price": 2.5, "closed_at": None, "opened_at": None},
    )
    read = json.loads(shown)
    assert list(read["last_order_update"]) == ["order_id", "status", "side", "new"]
    assert list(read["position"]) == ["quantity", "avg_price", "opened_at", "closed_at"]
