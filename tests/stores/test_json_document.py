"""The text of alerts.json is cut and joined without losing a byte."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.json_texts import JsonText, calm, texts
from tests.support.store_cases import dump, record, some_records
from tracker.stores.json_document import Document, PieceKind, parse

PLAIN = dump(some_records())


def read_records(text: str) -> dict[tuple[str, str], Any]:
    """Return what a reader finds that loads the whole text."""
    return {
        (alerter, ticker): fields
        for alerter, tickers in json.loads(text).items()
        if isinstance(tickers, dict)
        for ticker, fields in tickers.items()
        if isinstance(fields, dict)
    }


def records_of(document: Document) -> dict[Any, Any]:
    return {key: json.loads(document.pieces[place].text) for key, place in document.records.items()}


@calm
@given(texts())
def test_pieces_join_to_the_text(drawn: JsonText) -> None:
    """Pieces join to the text and hold what a reader finds."""
    document = parse(drawn.text)
    assert document.text == drawn.text
    assert records_of(document) == read_records(drawn.text)


@calm
@given(texts())
def test_pieces_stand_where_written(drawn: JsonText) -> None:
    """Pieces stand where the writer put them."""
    at, found = 0, []
    for piece in parse(drawn.text).pieces:
        at += len(piece.before)
        if piece.key[1] is not None:
            found.append((*piece.key, at, at + len(piece.text)))
        at += len(piece.text)
    assert found == [(slot.alerter, slot.ticker, slot.start, slot.end) for slot in drawn.slots]


@calm
@given(texts(), texts(), st.data())
def test_known_document_changes_no_result(drawn: JsonText, other: JsonText, data: st.DataObject) -> None:
    """Reading with a known document gives what reading afresh gives."""
    known = parse(drawn.text)
    assert parse(other.text, known) == parse(other.text)
    text = drawn.text
    cut = data.draw(st.integers(0, len(text)))
    resumed = data.draw(st.integers(0, len(text)))
    changed = (
        text[:cut] + data.draw(st.sampled_from(["", " ", ",", "}", '"', "1", '{"a":1}'])) + text[resumed:]
    )
    try:
        afresh = parse(changed)
    except ValueError:
        with pytest.raises(ValueError, match=r"."):
            parse(changed, known)
    else:
        assert parse(changed, known) == afresh


@calm
@given(texts().filter(lambda drawn: len(drawn.text) > 2), st.data())
def test_cut_off_text_is_refused(drawn: JsonText, data: st.DataObject) -> None:
    """A text that is cut off is refused."""
    whole = drawn.text.rstrip(" \t\n\r")
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    with pytest.raises(ValueError, match=r"."):
        parse(cut)
    with pytest.raises(ValueError, match=r"."):
        parse(cut, parse(drawn.text))


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            "{",
            "{}{}",
            "{} x",
            "{,}",
            "{1:2}",
            '{"a"}',
            '{"a":}',
            '{"a":nope}',
            '{"a":01}',
            '{"a\n":1}',
        ),
        *('{"a":{"b":1,}}', '{"a":{} "b":1}', '{"a":{"b" 1}}'),
        '\ufeff{"a":1}',
        '{"a":' + "[" * 200_000,
    ],
)
def test_unloadable_text_is_refused(text: str) -> None:
    """What the writer could not load is refused."""
    with pytest.raises((ValueError, RecursionError)):
        json.loads(text)
    with pytest.raises(ValueError, match=r"."):
        parse(text)


@pytest.mark.parametrize("text", ["[]", "1", "null", '"a"'])
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a JSON object"):
        parse(text)


def test_unchanged_pieces_are_same_objects() -> None:
    """Pieces that did not change are the same objects."""
    known = parse(PLAIN)
    changed = some_records()
    changed["robindahood-alerts"]["NVDA"]["open"] = True
    document = parse(dump(changed), known)
    fresh = [piece.key for piece in document.pieces if not any(piece is old for old in known.pieces)]
    assert fresh == [("robindahood-alerts", "NVDA")]


def test_pieces_after_removed_record_are_same() -> None:
    """Pieces after a record that went are the same objects."""
    many = {"a": {f"T{number}": record() for number in range(20)}, "b": {"U": record()}}
    known = parse(dump(many))
    del many["a"]["T7"]
    document = parse(dump(many), known)
    assert sum(piece not in known.pieces for piece in document.pieces) == 0
    assert sum(not any(piece is old for old in known.pieces) for piece in document.pieces) == 1


def test_continued_number_is_read_again() -> None:
    """A number that goes on is read again."""
    known = parse('{"a": {"x": 1, "y": 2}, "n": 12}')
    longer = parse('{"a": {"x": 1, "y": 2}, "n": 123}', known)
    assert [piece.text for piece in longer.pieces] == ["{", "1", "2", "123"]


def test_last_duplicate_key_counts() -> None:
    """Of keys that stand twice the last is the one that readers see."""
    document = parse('{"a": {"T": {"n": 1}, "T": {"n": 2}}, "a": {"T": {"n": 3}, "T": {"n": 4}}}')
    assert records_of(document) == {("a", "T"): {"n": 4}}
    assert document.changed(("a", "T"), "{}").text == (
        '{"a": {"T": {"n": 1}, "T": {"n": 2}}, "a": {"T": {"n": 3}, "T": {}}}'
    )
    assert document.without(("a", "T")).text == '{"a": {"T": {"n": 1}, "T": {"n": 2}}, "a": {}}'


def test_hidden_alerters_records_are_not_seen() -> None:
    """Records of an alerter that a later value hides are not seen."""
    assert parse('{"a": {"T": {}}, "a": 5}').records == {}
    assert parse('{"a": {"T": {}}, "a": {}}').records == {}
    assert parse('{"a": {"T": {}, "T": 5}}').records == {}


@calm
@given(texts(), st.data())
def test_change_leaves_every_other_byte(drawn: JsonText, data: st.DataObject) -> None:
    """Changing one value leaves every other byte."""
    document = parse(drawn.text)
    keys = [key for key in document.values if key[1] is not None]
    if not keys:
        return
    key = data.draw(st.sampled_from(keys))
    slot = [slot for slot in drawn.slots if (slot.alerter, slot.ticker) == key][-1]
    text = data.draw(st.sampled_from(["{}", '{"new": [1]}', "7"]))
    changed = document.changed(key, text)
    assert changed.text == drawn.text[: slot.start] + text + drawn.text[slot.end :]
    assert changed == parse(changed.text)
    assert changed.records == parse(changed.text).records


@calm
@given(texts(), st.data())
def test_removal_leaves_every_other_value(drawn: JsonText, data: st.DataObject) -> None:
    """Taking a value out leaves every other value."""
    document = parse(drawn.text)
    keys = [key for key in document.values if key[1] is not None]
    if not keys:
        return
    key = data.draw(st.sampled_from(keys))
    left = document.without(key)
    assert left == parse(left.text)
    expected = json.loads(drawn.text)
    del expected[key[0]][key[1]]
    assert list(json.loads(left.text).items()) == list(expected.items())
    kept = [piece.text for piece in document.pieces if piece.key != key]
    assert [piece.text for piece in left.pieces if piece.key != key] == kept


@calm
@given(texts(), st.sampled_from(["a", "NVDA", "\u00e9"]))
def test_addition_leaves_every_other_value(drawn: JsonText, name: str) -> None:
    """Adding a value leaves every other value."""
    document = parse(drawn.text)
    expected = json.loads(drawn.text)
    if not isinstance(expected.get(name, {}), dict):
        with pytest.raises(ValueError, match="not an object"):
            document.added((name, "new-one"), "{}")
        return
    added = document.added((name, "new-one"), '{"x": 1}')
    assert added == parse(added.text)
    expected.setdefault(name, {})["new-one"] = {"x": 1}
    assert json.loads(added.text) == expected


plain = st.dictionaries(
    st.sampled_from(["a", "b", "c"]),
    st.dictionaries(st.sampled_from(["T", "U", "V"]), st.sampled_from([{"x": 1}, {}, 5]), max_size=3),
    max_size=3,
)


@calm
@given(plain, st.sampled_from(["a", "b"]), st.sampled_from(["T", "W"]), st.sampled_from([2, "\t", 1, 4]))
def test_dumped_text_stays_a_dump(
    records: dict[str, Any], alerter: str, ticker: str, indent: int | str
) -> None:
    """In a dumped text changes leave what a dump would write."""
    document = parse(json.dumps(records, indent=indent))
    if ticker in records.get(alerter, {}):
        left = document.without((alerter, ticker)).text
        del records[alerter][ticker]
        assert left == json.dumps(records, indent=indent)
    elif indent == 2 or any(records.values()):
        # A style can only be taken over from a member that is there.
        added = document.added((alerter, ticker), "5").text
        records.setdefault(alerter, {})[ticker] = 5
        assert added == json.dumps(records, indent=indent)


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_one_line_text_stays_one_line(separators: tuple[str, str]) -> None:
    """In a text of one line changes stay in that line."""
    records: dict[str, Any] = {"a": {"T": {"x": 1}}, "b": {}, "c": {"U": 1, "V": 2}}
    document = parse(json.dumps(records, separators=separators))
    document = (
        document.added(("a", "W"), "1").added(("b", "T"), "2").added(("d", "T"), "3").added(("c", "X"), "4")
    )
    records["a"]["W"], records["b"]["T"], records["d"], records["c"]["X"] = 1, 2, {"T": 3}, 4
    assert document.text == json.dumps(records, separators=separators)


def test_addition_needs_an_object() -> None:
    """Nothing is added to an alerter that is no object."""
    with pytest.raises(ValueError, match="a is not an object, so T cannot be in it"):
        parse('{"a": 5}').added(("a", "T"), "{}")


def test_changed_document_leaves_its_origin() -> None:
    """A document that was changed still joins to its own text."""
    document = parse(PLAIN)
    document.changed(("demslayer", "SPX"), "{}").changed(("demslayer", "SPX"), '{"x": 1}')
    assert document.text == PLAIN


def test_kinds_tell_alerts_from_others() -> None:
    """Kinds tell alerts from what is only kept."""
    document = parse('{"a": {"T": {}, "U": [1], "V": null}, "b": 3}')
    assert [piece.kind for piece in document.pieces] == [
        PieceKind.GROUP,
        PieceKind.RECORD,
        PieceKind.OTHER,
        PieceKind.OTHER,
        PieceKind.OTHER,
    ]
