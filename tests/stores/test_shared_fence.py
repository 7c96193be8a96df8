"""Each condition of the fence is one that a test misses: with it alone taken out, that test fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.stores import test_shared, test_shared_schema
from tests.support.postgres import Database
from tests.support.shared_rig import SharedRig


@pytest.fixture
def rig(database: Database) -> Iterator[SharedRig]:
    with SharedRig(database) as rig:
        yield rig


@pytest.mark.parametrize(
    ("function", "condition", "test"),
    [
        ("stay_seated", " AND epoch = p_epoch", test_shared.test_fenced_tracker_writes_nothing),
        ("stay_seated", " AND journal = p_journal", test_shared.test_freed_seat_ends_who_had_it),
        (
            "write_parts",
            "WHERE (part.epoch, part.seq) <= (excluded.epoch, excluded.seq)",
            test_shared_schema.test_later_word_stands_whatever_comes_last,
        ),
    ],
)
def test_fence_without_a_condition_is_found(
    rig: SharedRig, function: str, condition: str, test: Callable[[SharedRig], None]
) -> None:
    with rig.database.connect() as connection:
        found = connection.execute(
            "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE proname = %s", (function,)
        ).fetchone()
        assert found is not None
        before, there, after = found[0].partition(condition)
        assert there, "it is not written like this any more"
        connection.execute((before + after).encode())
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        test(rig)
