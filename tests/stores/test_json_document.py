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
def test_pieces_join_to_the_text_and_hold_what_a_reader_finds(drawn: JsonText) -> None:
    document = parse(drawn.text)
    assert document.text == drawn.text
    assert records_of(document) == read_records(drawn.text)


@calm
@given(texts())
def test_pieces_stand_where_the_writer_put_them(drawn: JsonText) -> None:
    at, found = 0, []
    for piece in parse(drawn.text).pieces:
        at += len(piece.before)
        if piece.key[1] is not None:
            found.append((*piece.key, at, at + len(piece.text)))
        at += len(piece.text)
    assert found == [(slot.alerter, slot.ticker, slot.start, slot.end) for slot in drawn.slots]


@calm
@given(texts(), texts(), st.data())
def test_reading_with_a_known_document_gives_what_reading_afresh_gives(
    drawn: JsonText, other: JsonText, data: st.DataObject
) -> None:
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
def test_a_text_that_is_cut_off_is_refused(drawn: JsonText, data: st.DataObject) -> None:
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
def test_what_the_writer_could_not_load_is_refused(text: str) -> None:
    with pytest.raises((ValueError, RecursionError)):
        json.loads(text)
    with pytest.raises(ValueError, match=r"."):
        parse(text)


@pytest.mark.parametrize("text", ["[]", "1", "null", '"a"'])
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a JSON object"):
        parse(text)


def test_pieces_that_did_not_change_are_the_same_objects() -> None:
    known = parse(PLAIN)
    changed = some_records()
    changed["robindahood-alerts"]["NVDA"]["open"] = True
    document = parse(dump(changed), known)
    fresh = [piece.key for piece in document.pieces if not any(piece is old for old in known.pieces)]
    assert fresh == [("robindahood-alerts", "NVDA")]


def test_pieces_after_a_record_that_went_are_the_same_objects() -> None:
    many = {"a": {f"T{number}": record() for number in range(20)}, "b": {"U": record()}}
    known = parse(dump(many))
    del many["a"]["T7"]
    document = parse(dump(many), known)
    assert sum(piece not in known.pieces for piece in document.pieces) == 0
    assert sum(not any(piece is old for old in known.pieces) for piece in document.pieces) == 1


def test_a_number_that_goes_on_is_read_again() -> None:
    known = parse('{"a": {"x": 1, "y": 2}, "n": 12}')
    longer = parse('{"a": {"x": 1, "y": 2}, "n": 123}', known)
    assert [piece.text for piece in longer.pieces] == ["{", "1", "2", "123"]


def test_of_keys_that_stand_twice_the_last_is_the_one_that_readers_see() -> None:
    document = parse('{"a": {"T": {"n": 1}, "T": {"n": 2}}, "a": {"T": {"n": 3}, "T": {"n": 4}}}')
    assert records_of(document) == {("a", "T"): {"n": 4}}
    assert document.changed(("a", "T"), "{}").text == (
        '{"a": {"T": {"n": 1}, "T": {"n": 2}}, "a": {"T": {"n": 3}, "T": {}}}'
    )
    assert document.without(("a", "T")).text == '{"a": {"T": {"n": 1}, "T": {"n": 2}}, "a": {}}'


def test_records_of_an_alerter_that_a_later_value_hides_are_not_seen() -> None:
    assert parse('{"a": {"T": {}}, "a": 5}').records == {}
    assert parse('{"a": {"T": {}}, "a": {}}').records == {}
    assert parse('{"a": {"T": {}, "T": 5}}').records == {}


@calm
@given(texts(), st.data())
def test_changing_one_value_leaves_every_other_byte(drawn: JsonText, data: st.DataObject) -> None:
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
def test_taking_a_value_out_leaves_every_other_value(drawn: JsonText, data: st.DataObject) -> None:
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
def test_adding_a_value_leaves_every_other_value(drawn: JsonText, name: str) -> None:
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
def test_in_a_dumped_text_changes_leave_what_a_dump_would_write(
    records: dict[str, Any], alerter: str, ticker: str, indent: int | str
) -> None:
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
def test_in_a_text_of_one_line_changes_stay_in_that_line(separators: tuple[str, str]) -> None:
    records: dict[str, Any] = {"a": {"T": {"x": 1}}, "b": {}, "c": {"U": 1, "V": 2}}
    document = parse(json.dumps(records, separators=separators))
    document = (
        document.added(("a", "W"), "1").added(("b", "T"), "2").added(("d", "T"), "3").added(("c", "X"), "4")
    )
    records["a"]["W"], records["b"]["T"], records["d"], records["c"]["X"] = 1, 2, {"T": 3}, 4
    assert document.text == json.dumps(records, separators=separators)


def test_nothing_is_added_to_an_alerter_that_is_no_object() -> None:
    with pytest.raises(ValueError, match="a is not an object, so T cannot stand in it"):
        parse('{"a": 5}').added(("a", "T"), "{}")


def test_a_document_that_was_changed_still_joins_to_its_own_text() -> None:
    document = parse(PLAIN)
    document.changed(("demslayer", "SPX"), "{}").changed(("demslayer", "SPX"), '{"x": 1}')
    assert document.text == PLAIN


def test_kinds_tell_alerts_from_what_is_only_kept() -> None:
    document = parse('{"a": {"T": {}, "U": [1], "V": null}, "b": 3}')
    assert [piece.kind for piece in document.pieces] == [
        PieceKind.GROUP,
        PieceKind.RECORD,
        PieceKind.OTHER,
        PieceKind.OTHER,
        PieceKind.OTHER,
    ]
