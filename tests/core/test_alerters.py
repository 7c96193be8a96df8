"""Two spellings of one alerter or ticker are the same; different ones stay apart."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.core.alerters import AlerterNames, canonical, symbol_key

SPELLINGS = {
    "RealDayTrading": ("real-day-trading", "Real Day Trading", "realdaytrading", "RealDayTrading"),
    "Demslayer": (
        "demslayer",
        "demslayer-spx-alerts",
        "demspxslayer",
        "demspxslayer-and-leaps",
        "Demslayer",
        "DEMSLAYER ALERTS",
    ),
    "ProfAndKian": ("prof-and-kian-alerts", "ProfAndKian", "prof and kian alert"),
    "RobinDaHood": ("robindahood-alerts", "RobinDaHood", "robindahood", "robin da hood"),
}


@pytest.mark.parametrize(("title", "spellings"), SPELLINGS.items())
def test_every_spelling_of_table_is_one_alerter(title: str, spellings: tuple[str, ...]) -> None:
    names = AlerterNames()
    for spelling in spellings:
        assert names.same(spelling, spellings[0])
        assert names.title(spelling) == title
        assert names.knows(spelling)


def test_the_alerters_of_the_table_are_apart() -> None:
    names = AlerterNames()
    for one, other in combinations(SPELLINGS, 2):
        assert not names.same(one, other)


def test_accent_may_be_a_sign_of_its_own() -> None:
    """macOS writes it so; the name looks the same, and is not that without the accent."""
    names = AlerterNames()
    assert names.same("Caf\u00e9-alerts", "Cafe\u0301")
    assert not names.same("Caf\u00e9", "Cafe")


def test_unlisted_alerter_keeps_its_spelling() -> None:
    """An alerter that nothing lists is known by its own spelling."""
    names = AlerterNames()
    assert names.same("Wolf-Pack Alerts", "wolfpack")
    assert not names.same("wolfpack", "wolfpack2")
    assert not names.knows("wolfpack")
    assert names.title("Wolf-Pack Alerts") == "Wolf-Pack Alerts"


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("alerts", "alerts"),
        ("Alert", "alert"),
        ("alerts-alerts", "alerts"),
        ("red-alert-desk", "redalertdesk"),
        ("!!!", "!!!"),
        (" -- ", "--"),
        ("", ""),
    ],
)
def test_a_name_is_never_reduced_to_nothing(name: str, form: str) -> None:
    assert canonical(name) == form


def test_settings_add_an_alerter_with_its_aliases() -> None:
    names = AlerterNames([("wolf-pack", "The Wolf Pack", ("wp", "lupus"))])
    for spelling in ("wolf-pack-alerts", "WP", "lupus", "the wolf pack"):
        assert names.same(spelling, "wolf-pack")
        assert names.title(spelling) == "The Wolf Pack"


def test_settings_add_to_alerter_of_table() -> None:
    names = AlerterNames([("RobinDaHood", "Robin", ["hoodie"]), ("demspxslayer", "", ["dem"])])
    assert names.same("hoodie", "robindahood-alerts")
    assert names.title("hoodie") == "Robin"
    assert names.same("dem", "demslayer")
    assert names.title("dem") == "Demslayer"


def test_alias_claimed_twice_names_both() -> None:
    """An alias that two alerters claim is an error that names both."""
    with pytest.raises(
        ValueError, match=r"alias 'Robin Da Hood' of alerter 'Wolf' already means 'RobinDaHood'"
    ):
        AlerterNames([("wolf", "Wolf", ("Robin Da Hood",))])
    with pytest.raises(ValueError, match=r"alias 'Demslayer' of alerter 'wolf' already means 'Demslayer'"):
        AlerterNames([("wolf", "", ("Demslayer",))])


def test_name_of_one_ticker_says_so() -> None:
    """A name that always is about one ticker says so."""
    names = AlerterNames()
    assert names.fixed_symbol("demspxslayer") == "SPX"
    assert names.fixed_symbol("DemSPXslayer-and-LEAPs") == "SPX"
    assert names.fixed_symbol("demslayer") == ""


@pytest.mark.parametrize(
    "spelling", ["BRK B", "BRK.B", "BRK/B", "BRK-B", "BRKB", "brk.b", "  BRK  B ", "$BRK.B"]
)
def test_share_class_spellings_are_one_ticker(spelling: str) -> None:
    """Every spelling of a share class is one ticker."""
    assert symbol_key(spelling) == "BRKB"


def test_different_tickers_are_apart() -> None:
    assert symbol_key("BRK A") != symbol_key("BRK B")


PLAIN_NAMES = st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True).filter(
    lambda name: not name.endswith(("alert", "alerts"))
)


@given(PLAIN_NAMES, st.sampled_from(["", " ", "-", "_"]), st.sampled_from(["alert", "Alerts", "ALERTS"]))
def test_trailing_alert_never_tells_two_names_apart(name: str, gap: str, tail: str) -> None:
    assert canonical(name + gap + tail) == canonical(name) == name
