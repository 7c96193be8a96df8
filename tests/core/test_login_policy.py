"""Which logins one journal accepts, and what the first one binds it to."""

from __future__ import annotations

import pytest

from tracker.core.login_policy import LIVE, PAPER, LoginPolicy


@pytest.mark.parametrize(("account", "kind"), [("DU1234567", PAPER), ("U1234567", LIVE)])
def test_first_accepted_login_binds_the_journal(account: str, kind: str) -> None:
    """Later ones are compared with it, and bind nothing."""
    bound: list[str] = []
    policy = LoginPolicy([account], lambda: bound[0] if bound else None, bound.append)
    assert policy.refuse([account]) is None
    assert policy.refuse([account]) is None
    assert bound == [kind]


def test_refused_login_binds_nothing() -> None:
    """A login without the account of the settings says nothing of the journal."""
    bound: list[str] = []
    policy = LoginPolicy(["DU1234567"], lambda: None, bound.append)
    assert "names DU1234567, which this login does not manage" in str(policy.refuse(["DU7654321"]))
    assert bound == []
