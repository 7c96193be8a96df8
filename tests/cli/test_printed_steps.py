"""Each command that a message of the tracker names is one that the command line takes.

The messages are read from the source, so none can be printed that was not tried; what stands for a value is
filled in.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from typing import Final

import pytest

from tests.support.project import PROJECT
from tracker.cli.main import COMMANDS, _parse

VALUES: Final = {
    "ALERTER/TICKER": "robindahood-alerts/NVDA",
    "EXEC_ID": "0000e0d5.6596b0d8.01.01",
    "NUMBER": "1",
    "FILE": "report.xml",
    "DAY": "2025-11-18",
    "ID": "17",
    "CONTRACT": "NVDA",
    "TEXT": "because",
    "ACCOUNT": "DU1234567",
    "ORDER": "188",
    "PERM_ID": "188",
    "YYYY-MM-DD": "2025-11-18",
}
FOLLOWS: Final = {"gaps": ("accept",), "flex": ("check", "fetch")}
"""Words that belong to a command, where a sentence could continue after it."""
REASONS: Final = frozenset({"--split", "--becomes", "--moved", "--note"})
_NAMED: Final = re.compile(rf"(`?)\btracker ({'|'.join(COMMANDS)})\b([^`]*)")


def texts() -> Iterator[tuple[str, str]]:
    """Yield each text in the source, with 1 in the place of what is filled in, and where it stands."""
    for path in sorted((PROJECT / "tracker").rglob("*.py")):
        where = path.relative_to(PROJECT).as_posix()
        tree = ast.parse(path.read_text("utf-8"))
        joined = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
        inside = {id(part) for node in joined for part in node.values}
        documents = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "1" for part in node.values]
                yield f"{where}:{node.lineno}", "".join(map(str, parts))
            elif isinstance(node, ast.Constant) and id(node) not in inside | documents:
                yield f"{where}:{node.lineno}", str(node.value)


def steps() -> dict[str, str]:
    """Return each command that a text names, and where it first stands."""
    found: dict[str, str] = {}
    for where, text in texts():
        for quote, name, rest in _NAMED.findall(text):
            words = shlex.split(rest, posix=True) if quote else list(_words(name, rest))
            step = " ".join([name, *(VALUES.get(word, word) for word in words)])
            found.setdefault(step, where)
    return found


def _words(name: str, rest: str) -> Iterator[str]:
    """Yield what belongs to a command that is not quoted: flags, values, and words that follow it."""
    for word in rest.split():
        bare = word.rstrip(".,;:)")
        if not (bare.startswith("--") or bare in VALUES or bare.isdigit() or bare in FOLLOWS.get(name, ())):
            return
        yield bare
        if bare != word:
            return


STEPS: Final = steps()


@pytest.mark.parametrize("step", STEPS)
def test_named_command_is_taken(step: str) -> None:
    """Its flags exist, and nothing that it needs is left out; a bare name only says where to look."""
    name, *words = shlex.split(step)
    assert name in COMMANDS
    if words:
        _parse(name, COMMANDS[name], words)
    if words and name == "adjust":
        assert REASONS.intersection(words), "it is refused without a reason"


def test_messages_name_many_commands() -> None:
    """The search finds what it is for."""
    named = {step.split()[0] for step in STEPS}
    assert {"adjust", "assign", "dismiss", "gaps", "inbox", "reconcile", "undo", "why"} <= named
