"""INVARIANTS.md numbers what always holds, and each line names a test that exists."""

from __future__ import annotations

import re

import pytest

from tests.support.project import PROJECT

PAGE = (PROJECT / "tracker/core/INVARIANTS.md").read_text("utf-8")
LINES = re.findall(r"^\| (\d+) \| .* \| `(tests/\S+\.py)::(\w+)` \|$", PAGE, re.M)


def test_lines_are_numbered_without_a_gap() -> None:
    numbers = [int(number) for number, _, _ in LINES]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) == len(re.findall(r"^\| \d+ ", PAGE, re.M)) > 0


@pytest.mark.parametrize(("file", "test"), [(file, test) for _, file, test in LINES])
def test_each_line_names_a_test(file: str, test: str) -> None:
    assert re.search(rf"^def {test}\(", (PROJECT / file).read_text("utf-8"), re.M)
