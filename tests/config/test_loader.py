"""The files that settings name, and the file that holds them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tracker.config.loader import load
from tracker.config.settings import SettingsError


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Start in an empty folder, without any variable of ours."""
    for name in [name for name in os.environ if name.upper().startswith("TRACKER_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_no_two_settings_name_one_file(tmp_path: Path) -> None:
    """A token or a log would overwrite alerts or journal, also under another name or beside it."""
    (tmp_path / "other").symlink_to(tmp_path / "j.db")
    for flags, line in (
        (
            {"stores.alerts": "a.json", "status.token_file": "a.json"},
            f"flag --status.token_file: {tmp_path}/a.json is in use by flag --stores.alerts; give each a file"
            " of its own",
        ),
        ({"stores.journal": "j.db", "log.file": "other"}, f"flag --log.file: {tmp_path}/j.db is in use by"),
        ({"stores.journal": "j.db", "status.token_file": "j.db-wal"}, "is in use by flag --stores.journal"),
        (
            {"stores.alerts": "a", "stores.journal": "a.lock"},
            f"{tmp_path}/a.lock is in use by flag --stores.alerts",
        ),
        ({"log.file": "data/status.token"}, "is in use by default of [status] token_file"),
    ):
        with pytest.raises(SettingsError) as caught:
            load(flags)
        (told,) = caught.value.lines
        assert line in told
    load({"stores.contracts": "both.json", "stores.stocks": "both.json"})


def test_unknown_home_is_a_missing_folder(tmp_path: Path) -> None:
    """`~name` of nobody on this machine names a folder that is not there, in a path and as the file."""
    (tmp_path / "data/alerts").mkdir(parents=True)
    with pytest.raises(
        SettingsError, match=r"the folder .*~nobody-here does not exist; create it or correct"
    ):
        load({"stores.journal": "~nobody-here/j.db"}).require_folders()
    with pytest.raises(SettingsError, match=r"the file '~nobody-here/s.toml' does not exist"):
        load(path="~nobody-here/s.toml")
    with pytest.raises(SettingsError, match=r"does not exist; correct the path"):
        load(path="s" * 5_000)
