"""The environments of the client libraries: made once, whoever asks at the same time."""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support import environments


def test_environment_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that ask at the same time share one environment, and neither has it before it is whole."""
    begun, installed = threading.Event(), []

    def install(python: Path, requirements: Sequence[str]) -> None:
        begun.set()
        held = environments.locked(tmp_path / f"{python.parent.parent.name}.lock", seconds=0.3)
        with pytest.raises(TimeoutError, match="another process holds"), held:
            pass
        installed.append(tuple(requirements))

    monkeypatch.setattr(environments, "install", install)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(environments.python_of, "ibapi", tmp_path)
        assert begun.wait(60)
        second = pool.submit(environments.python_of, "ibapi", tmp_path)
        assert first.result() == second.result()
    assert installed == [environments.REQUIREMENTS["ibapi"]]
    assert first.result().is_file()


def test_lock_ends_with_its_holder(tmp_path: Path) -> None:
    """A lock file that a dead process left stops nobody."""
    path = tmp_path / "left.lock"
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
    with environments.locked(path, seconds=0.3):
        assert path.is_file()
