"""`tracker init` makes what a new user needs, by answers or by flags, and changes nothing that is there."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import tomllib
from contextlib import suppress
from pathlib import Path

import pytest

from tests.cli.test_first_hour import tracker
from tests.support.free_ports import free_port
from tests.support.project import PROJECT
from tracker.config.loader import load

FLAGS = (
    "--port",
    "7497",
    "--accounts",
    "DU1234567, DU2",
    "--login-zone",
    "US/Eastern",
    "--store-zone",
    "UTC",
)


def values(path: Path) -> dict[str, dict[str, object]]:
    return tomllib.loads((path / "settings.toml").read_text())


def test_defaults_are_the_commented_file(tmp_path: Path) -> None:
    """Every setting is in it with its comment, and the folders are there."""
    told = tracker(tmp_path, "init", "mine", "--yes")
    assert (tmp_path / "mine/settings.toml").read_text() == (PROJECT / "settings.toml").read_text()
    assert (tmp_path / "mine/settings.toml").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "mine/data/alerts").is_dir()
    assert f"made {tmp_path}/mine/settings.toml" in told
    assert "gateway port" in told, "doctor looked"
    assert told.splitlines()[-1].endswith(f"cd {tmp_path}/mine && tracker run")


def test_flags_become_settings(tmp_path: Path) -> None:
    """And the comments stay."""
    tracker(tmp_path, "init", "--yes", *FLAGS, "--alerts", str(tmp_path / "shared"))
    found = load({}, str(tmp_path / "settings.toml"))
    assert (found.gateway.port, found.gateway.accounts) == (7497, ("DU1234567", "DU2"))
    assert (found.gateway.timezone, found.stores.timezone) == ("US/Eastern", "UTC")
    assert found.stores.alerts == tmp_path / "shared/alerts.json"
    assert values(tmp_path)["stores"]["alerts"] == "shared/alerts.json"
    text = (tmp_path / "settings.toml").read_text()
    assert "# Where TWS or IB Gateway listens." in text
    assert (tmp_path / "shared").is_dir()


def test_settings_that_are_there_stay(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("# mine\n")
    told = tracker(tmp_path, "init", "--yes", code=2)
    assert f"{tmp_path}/settings.toml is there already; edit it" in told
    assert [path.name for path in tmp_path.iterdir()] == ["settings.toml"]
    assert (tmp_path / "settings.toml").read_text() == "# mine\n"


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--port", "0x"), "--port: it must be a whole number, not '0x'"),
        (
            ("--login-zone", "US/Easter"),
            "--login-zone: it must be a known time zone (the nearest one is 'US/E",
        ),
        (("--gateway.port", "4001"), "--gateway.port cannot be used, since init makes a settings file"),
    ],
)
def test_impossible_value_makes_nothing(tmp_path: Path, flags: tuple[str, ...], told: str) -> None:
    assert told in tracker(tmp_path, "init", "--yes", *flags, code=2)
    assert list(tmp_path.iterdir()) == []


def test_dry_run_makes_nothing(tmp_path: Path) -> None:
    """It prints the file, or with --json what it would make; `--yes` then makes just that."""
    assert "port = 7497" in tracker(tmp_path, "init", "--dry-run", *FLAGS)
    planned = json.loads(tracker(tmp_path, "init", "--dry-run", "--json", *FLAGS))
    assert list(tmp_path.iterdir()) == []
    done = json.loads(tracker(tmp_path, "init", "--yes", "--json", *FLAGS))
    assert (planned["done"], done["done"]) == (False, True)
    for key in ("settings", "folders", "values"):
        assert planned[key] == done[key]
    assert planned["doctor"] is None
    assert done["doctor"]["counts"]["fault"] >= 1, "nothing listens on that port"


def test_without_terminal_it_does_not_ask(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tracker", "init"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "this command asks questions and needs a terminal; without one give --yes" in done.stderr


def test_answers_become_settings(tmp_path: Path) -> None:
    """A wrong answer is asked again, an empty one takes what is shown."""
    port = str(free_port())
    leader, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "tracker", "init", "--accounts", "DU7"],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
    )
    os.close(terminal)
    os.write(leader, f"none\n{port}\n\nUS/Eastern\n\n".encode())
    told = ""
    # So Linux says that nobody holds the terminal any more.
    with suppress(OSError):
        while text := os.read(leader, 65536):
            told += text.decode()
    assert process.wait(timeout=60) == 0, told
    os.close(leader)
    assert "it must be a whole number, not 'none'" in told
    assert "Accounts whose fills count" not in told, "that was given"
    found = load({}, str(tmp_path / "settings.toml"))
    assert (found.gateway.port, found.gateway.timezone) == (int(port), "US/Eastern")
    assert (found.gateway.accounts, found.stores.timezone) == (("DU7",), "")


def test_gateway_that_does_not_run_yet_is_started_next(tmp_path: Path) -> None:
    """Its port is the only fault of a new user, who has broken nothing."""
    told = tracker(tmp_path, "init", "--yes", "--port", str(free_port()))
    assert told.splitlines()[-1] == (
        "Next: start TWS or IB Gateway, or correct its port (the one FAULT above), then tracker run"
    )


def test_run_without_settings_names_init(tmp_path: Path) -> None:
    assert "`tracker init` makes one" in tracker(tmp_path, "run", code=2)


def test_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A name that is too long, and below the home of a user who does not exist."""
    told = tracker(tmp_path, "init", "--yes", "n" * 300, code=1)
    assert told.strip().endswith("cannot be made: File name too long; name another folder")
    (tmp_path / "~nobody-here").write_text("no folder")
    told = tracker(tmp_path, "init", "--yes", "~nobody-here/tracker", code=1)
    assert told.strip().endswith("~nobody-here/tracker cannot be made: Not a directory; name another folder")
