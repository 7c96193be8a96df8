"""Values from outside are read within bounds that storing, adding and printing can bear."""

from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.core.limits import (
    OutOfBounds,
    clean_text,
    is_plausible,
    quoted,
    read_id,
    read_integer,
    read_number,
    read_quantity,
)


@pytest.mark.parametrize(
    "text", ["4", "-2.510", "+.5", "4.", "1e11", "999999999999", "0.30000000000000004", "1E-24", "-0"]
)
def test_number_keeps_its_digits(text: str) -> None:
    """What is read is what was written, to the last digit."""
    assert read_number(text) == Decimal(text)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        *(
            (text, "not a number")
            for text in ("", "NaN", "sNaN", "Infinity", "1_0", "٣", "0x1", " 1", "1" * 65, "1e600000")
        ),
        *((text, "12 digits before") for text in ("1000000000000", "1e400", "-1e6000", "0e9999")),
        *((text, "24 digits after") for text in ("1e-25", "1e-400", "0." + "1" * 25)),
    ],
)
def test_unusable_number_says_why(text: str, word: str) -> None:
    """The message follows the name of the field that holds it."""
    with pytest.raises(OutOfBounds, match=word):
        read_number(text)


def test_quantities_add_up_exactly() -> None:
    """The largest and the smallest one differ by less than what 28 digits hold."""
    most, least = read_quantity("999999999999"), read_quantity("0.000000000001")
    assert most + least - most == least
    with pytest.raises(OutOfBounds, match="12 digits after"):
        read_quantity("0.0000000000001")


@pytest.mark.parametrize("text", ["9223372036854775807", "-9223372036854775808", "+7", "007"])
def test_integer_of_64_bits(text: str) -> None:
    assert read_integer(text) == int(text)


@pytest.mark.parametrize("text", ["9223372036854775808", "9" * 5000, "", "1.0", "1_0", "٣", " 1"])
def test_unusable_integer_is_refused(text: str) -> None:
    with pytest.raises(OutOfBounds, match="not a whole number of 64 bits"):
        read_integer(text)


def test_id_is_kept_whole_or_refused() -> None:
    """An id that was cut would be that of something else."""
    assert read_id("0000e0d5.6596b0d8.01.01") == "0000e0d5.6596b0d8.01.01"
    with pytest.raises(OutOfBounds, match="is empty"):
        read_id("")
    with pytest.raises(OutOfBounds, match="longer than 100 characters"):
        read_id("a.b.c." + "1" * 5000)


def test_long_text_is_cut() -> None:
    assert clean_text("/" * 65536) == "/" * 200
    assert clean_text("ab", 1) == "a"


@given(st.text(st.characters()) | st.text(st.characters(categories=["Cs"])))
def test_any_text_can_be_stored(text: str) -> None:
    """Half an emoji, which JSON may hold and UTF-8 may not, is spelled out."""
    cleaned = clean_text(text)
    assert msgspec.json.decode(msgspec.json.encode(cleaned)) == cleaned
    assert len(cleaned) <= 200


def test_half_an_emoji_is_spelled_out() -> None:
    assert clean_text("OCT25 \ud83d") == "OCT25 \\ud83d"
    assert clean_text("Zürich") == "Zürich"


def test_plausible_days_print_in_every_zone() -> None:
    """The first and the last of them, a day further and in the farthest zones."""
    for moment in (datetime(1970, 1, 1, tzinfo=UTC), datetime(2199, 12, 31, 23, 59, tzinfo=UTC)):
        assert is_plausible(moment)
        assert moment.astimezone(ZoneInfo("Pacific/Kiritimati")).isoformat()
        assert moment.astimezone(ZoneInfo("Pacific/Midway")).isoformat()
    assert not is_plausible(date(1, 1, 1))
    assert not is_plausible(date(9999, 12, 31))


def test_quotation_is_short() -> None:
    assert quoted("abc") == "'abc'"
    assert quoted("x" * 50) == f"'{'x' * 40}'..."
