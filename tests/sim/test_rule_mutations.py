"""Each rule of ownership, broken in the core, makes the oracle fail in a life that comes right otherwise."""

from __future__ import annotations

import re

import pytest

from tests.sim.rule_mutations import MUTATIONS, Mutation, catches
from tests.support.project import PROJECT

RULES = {*(f"1.{number}" for number in range(1, 8)), *(f"2.{number}" for number in range(1, 9)), "3.1"}


def test_every_rule_is_broken() -> None:
    assert {mutation.rule for mutation in MUTATIONS} == RULES


def test_page_lists_what_is_broken() -> None:
    page = (PROJECT / "tracker/core/INVARIANTS.md").read_text("utf-8").partition("broken on purpose")[2]
    found = re.findall(r"^\| (\d\.\d) \| (.*) \| ([\d, ]+) \|$", page, re.M)
    listed = [(one.rule, one.what, ", ".join(map(str, one.seeds))) for one in MUTATIONS]
    assert found == listed


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_broken_rule_is_noticed(mutation: Mutation) -> None:
    """A life that comes right fails once the rule is broken."""
    assert catches(mutation, mutation.seeds, 1)[0]
