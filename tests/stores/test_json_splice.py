"""Values are spliced into a record's text, in its own style, and nothing else moves."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.json_texts import calm, records, space
from tests.support.store_cases import id_of, record, shown_by, some_records, update
from tracker.stores.json_splice import members, splice

VALUES = shown_by(update(id_of(some_records(), "demslayer", "SPX")))
plain_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=4)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)
plain_records = st.dictionaries(
    st.sampled_from(["open", "position", "last_order_update", "x", "y"]), plain_values, max_size=5
)


@calm
@given(plain_records, st.dictionaries(st.sampled_from(["open", "position", "new"]), plain_values, max_size=3))
@pytest.mark.parametrize("style", [{"indent": 2}, {"indent": "\t"}, {}, {"separators": (",", ":")}])
def test_dumped_record_stays_a_dump(
    style: dict[str, Any], fields: dict[str, Any], values: dict[str, Any]
) -> None:
    """In a dumped record the result is what a dump would write."""
    whole = json.dumps({"a": {"T": fields}}, **style)
    start = whole.index("{", whole.index("T"))
    end = whole.rindex("}", 0, whole.rindex("}", 0, whole.rindex("}"))) + 1
    spliced = splice(whole[start:end], values, whole[whole.rindex("{", 0, start) + 1 : start])
    fields.update(values)
    assert whole[:start] + spliced + whole[end:] == json.dumps({"a": {"T": fields}}, **style)


@calm
@given(
    records,
    st.lists(st.sampled_from(["open", "position", "last_order_update", "NVDA"]), unique=True),
    st.tuples(space, space, space),
)
def test_bytes_outside_values_stay(text: str, fields: list[str], around: tuple[str, str, str]) -> None:
    """Every byte outside the named values stays."""
    values: dict[str, Any] = {name: {"new": [number]} for number, name in enumerate(fields)}
    spliced = splice(text, values, f'{around[0]},{around[1]}"T"{around[2]}:')
    before, after = members(text), members(spliced)
    assert json.loads(spliced) == {**json.loads(text), **values}
    assert [member.name for member in after[: len(before)]] == [member.name for member in before]
    last = {member.name: place for place, member in enumerate(before)}
    # Walk both texts side by side: only the value of the last member of a name may differ.
    old = new = 0
    for place, (was, is_now) in enumerate(zip(before, after, strict=False)):
        assert text[old : was.start] == spliced[new : is_now.start]
        if was.name not in values or last[was.name] != place:
            assert text[was.start : was.end] == spliced[is_now.start : is_now.end]
        old, new = was.end, is_now.end
    if before:
        assert spliced.endswith(text[old:])
    added = [member.name for member in after[len(before) :]]
    assert added == [name for name in values if name not in last]


def test_new_fields_come_last_in_order() -> None:
    """New fields come at the end in their order."""
    spliced = splice('{"position": 1, "x": 1e5}', {"open": True, "last_order_update": {}, "position": None})
    assert spliced == '{"position": null, "x": 1e5, "open": true, "last_order_update": {}}'


def test_last_duplicate_field_gets_value() -> None:
    """Of a field that stands twice the last gets the value."""
    assert splice('{"open":1,"open":2,"x":3}', {"open": True}) == '{"open":1,"open":true,"x":3}'


def test_spellings_of_other_values_stay() -> None:
    text = (
        '{"a": 1.0, "b": 1e5, "c": 12345678901234567890123, "d": "\\u00e9\\/", "e": [ 1,2 ], "open": false}'
    )
    assert splice(text, {"open": True}) == text.replace("false", "true")


def test_windows_line_ends_are_taken_over() -> None:
    text = json.dumps(record(), indent=2).replace("\n", "\r\n")
    assert splice(text, VALUES) == json.dumps(record(**VALUES), indent=2).replace("\n", "\r\n")


@pytest.mark.parametrize(
    ("text", "before", "expected"),
    [
        ("{}", '\n,"T":', '{"a":1,"b":{}}'),
        ("{}", '\n,\n"T":', '{\n  "a": 1,\n  "b": {}\n}'),
        ('{"x":1\n,"y":2}', '"T":', '{"x":1\n,"y":2\n,"a":1\n,"b":{}}'),
        ('{\n"x":1,"y":2}', '"T":', '{\n"x":1,"y":2,"a":1,"b":{}}'),
        ('{\n"x":1}', '"T":', '{\n"x":1,\n"a":1,\n"b":{}}'),
    ],
)
def test_odd_line_breaks_are_understood(text: str, before: str, expected: str) -> None:
    assert splice(text, {"a": 1, "b": {}}, before) == expected


@pytest.mark.parametrize("text", ["{}", "{ }", "{\n}"])
def test_empty_record_takes_keys_style(text: str) -> None:
    """An empty record takes the style of its own key."""
    assert splice(text, {"open": True}, '\n    "T": ') == '{\n      "open": true\n    }'
    assert splice(text, {"open": True, "x": 1}, ', "T": ') == '{"open": true, "x": 1}'
    assert splice(text, {"open": True, "x": 1}, ',"T":') == '{"open":true,"x":1}'
    assert splice(text, {}, ',"T":') == text


def test_values_without_json_form_are_refused() -> None:
    """Values that json has no form for are refused."""
    with pytest.raises(ValueError, match="JSON compliant"):
        splice("{}", {"position": float("nan")})


def test_text_without_object_is_refused() -> None:
    """A text that is no object is refused."""
    with pytest.raises(ValueError, match="':' is missing"):
        members('{"a" 1}')
