"""What a record shows is compared with what an update asks, as a reader of JSON would."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.support.store_cases import id_of, removal, some_records, update
from tracker.core.ports import Shown, same_json

ALERT = id_of(some_records(), "demslayer", "SPX")
ASKED = update(ALERT)
SHOWN = Shown(True, ASKED.last_order_update, ASKED.position)


@pytest.mark.parametrize(
    ("left", "right"),
    [(4, 4.0), ({"a": 1, "b": [2]}, {"b": [2.0], "a": 1}), (None, None), ([], []), (True, True), ("a", "a")],
)
def test_equal_values_are_same_whatever_their_spelling(left: object, right: object) -> None:
    assert same_json(left, right)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (1, True),
        (0, False),
        (None, False),
        ("1", 1),
        ([1], [1, 2]),
        ([1], [True]),
        ({"a": 1}, {"a": 1, "b": None}),
        ({}, []),
        ({"a": 1}, {"a": 2}),
    ],
)
def test_other_values_differ(left: object, right: object) -> None:
    assert not same_json(left, right)


def test_record_agrees_when_all_is_shown() -> None:
    """A record agrees when it shows all that was asked."""
    assert SHOWN.agrees(ASKED)
    assert not replace(SHOWN, open=False).agrees(ASKED)
    assert not replace(SHOWN, position=None).agrees(ASKED)
    assert not replace(SHOWN, last_order_update={}).agrees(ASKED)


def test_what_update_leaves_alone_agrees_with_anything() -> None:
    assert Shown(True).agrees(replace(ASKED, last_order_update=None, position=None))


def test_no_record_agrees_with_its_removal() -> None:
    assert not Shown(False).agrees(removal(ALERT))
