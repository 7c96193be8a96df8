"""Account numbers are hidden wherever they stand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tracker.logs.masking import know_accounts, mask


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    yield
    know_accounts(())


@pytest.mark.parametrize(
    ("account", "masked"),
    [("DUM123456", "DUM***56"), ("U12345678F", "U***8F"), ("DFP98765", "DFP***65"), ("DU1234567", "DU***67")],
)
def test_account_numbers_of_all_kinds_are_masked(account: str, masked: str) -> None:
    text = "{0}: in ({0}) and {0}/NVDA"
    assert mask(text.format(account)) == text.format(masked)


def test_known_accounts_are_masked_by_name() -> None:
    """A login's own accounts are known, so they are masked whatever they look like."""
    know_accounts(["X77-ABC123", "FAMILYTRUST", "All"])
    assert mask("X77-ABC123 and FAMILYTRUST, not MYFAMILYTRUST; All alerts") == (
        "X***23 and F***ST, not MYFAMILYTRUST; All alerts"
    )
