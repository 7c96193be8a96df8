"""INVARIANTS.md numbers what always holds: each line names a test, and a bug that makes the test fail."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from hypothesis import Phase, settings

from tests.sim import mutations, rule_mutations
from tests.sim.test_replay import lived
from tests.support.planted_bugs import BUGS
from tests.support.planting import planted
from tests.support.project import PROJECT

SIMULATION: Final = "tests/sim/test_simulation.py"
"""Its lives notice the bugs of `mutations` and `rule_mutations`; `test_rule_mutations` lives some, too."""
_QUICK: Final = settings(max_examples=1_000, phases=[Phase.generate], database=None, derandomize=True)
_SETTINGS: Final = "_hypothesis_internal_use_settings"
"""Where Hypothesis keeps a test's settings; its public way does not change those that a test has. The first
failure is enough here, and to make it smaller takes long."""
SEED: Final = 5
"""Of a life that is played again, and in which something is decided late."""


class Line(NamedTuple):
    """One line of the page."""

    number: str
    file: str
    test: str
    bug: str


PAGE = (PROJECT / "tracker/core/INVARIANTS.md").read_text("utf-8")
LINES = [
    Line(*found)
    for found in re.findall(r"^\| (\d+) \| .* \| `(tests/\S+\.py)::(\w+)` \| `([^`]+)` \|$", PAGE, re.M)
]
BESIDE_LIVES: Final = [line for line in LINES if line.file != SIMULATION]
IN_LIVES: Final[Mapping[str, Callable[[], AbstractContextManager[None]]]] = {
    **{name: partial(mutations.mutated, name) for name in mutations.MUTATIONS},
    **{one.name: partial(planted, one.patches) for one in rule_mutations.MUTATIONS},
}
PLANTED: Final[Mapping[str, Callable[[], AbstractContextManager[None]]]] = {
    **IN_LIVES,
    **{name: partial(planted, patches) for name, patches in BUGS.items()},
}


def test_lines_are_numbered_without_a_gap() -> None:
    numbers = [int(line.number) for line in LINES]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) == len(re.findall(r"^\| \d+ ", PAGE, re.M)) > 0


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.test)
def test_each_line_names_a_test(line: Line) -> None:
    assert re.search(rf"^def {line.test}\(", (PROJECT / line.file).read_text("utf-8"), re.M)


def test_each_planted_bug_is_named() -> None:
    named = {line.bug for line in LINES}
    assert named <= PLANTED.keys()
    assert named >= BUGS.keys()
    assert {line.bug for line in LINES if line.file == SIMULATION} <= IN_LIVES.keys()


@pytest.mark.parametrize("line", BESIDE_LIVES, ids=lambda each: each.bug)
def test_planted_bug_fails_the_test(line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test of each line fails with the bug, and so would notice it."""
    test = getattr(importlib.import_module(line.file.removesuffix(".py").replace("/", ".")), line.test)
    offered: dict[str, Any] = {"tmp_path": tmp_path, "monkeypatch": monkeypatch, "seed": SEED}
    wanted = inspect.signature(test).parameters
    with PLANTED[line.bug](), ExitStack() as stack:
        if "life" in wanted:
            offered["life"] = stack.enter_context(lived(SEED))
        if hasattr(test, "hypothesis"):
            monkeypatch.setattr(test, _SETTINGS, _QUICK)
        with pytest.raises((AssertionError, ValueError, ExceptionGroup)):
            test(**{name: offered[name] for name in wanted})
