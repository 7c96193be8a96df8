"""Apprise: which urls are taken, what is refused, and that none is ever repeated."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.free_ports import free_port
from tests.support.project import PROJECT
from tests.support.webhook import Webhook
from tracker.config.settings import Notify
from tracker.notify.apprise_services import CannotNotify, open_services

# Apprise imports it at its first url, for a library that is not even there.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

WITHOUT_APPRISE = (
    "import sys; sys.modules['apprise'] = None; from tracker.cli.main import main; sys.exit(main())"
)


def tracker(
    folder: Path, *arguments: str, program: tuple[str, ...] = ("-m", "tracker")
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *program, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        check=False,
    )


def test_message_has_title_and_urgency() -> None:
    """A message arrives with title and weight."""
    with Webhook() as hook:
        (service,) = open_services([hook.url])
        assert service.label == "1 (json)"
        assert service.send("the title", "two\nlines & <more>", urgent=True) == ""
        assert service.send("the title", "well", urgent=False) == ""
    assert [(one["title"], one["message"], one["type"]) for one in hook.received] == [
        ("the title", "two\nlines & <more>", "warning"),
        ("the title", "well", "info"),
    ]


def test_refusal_repeats_no_secret() -> None:
    """A refusal says what the service answered and nothing secret."""
    with Webhook() as hook:
        hook.code = 403
        (service,) = open_services([hook.url])
        assert service.send("t", "b", urgent=False) == "the service answered 403"
        hook.code = 200
        assert service.send("t", "b", urgent=False) == ""
    (dead,) = open_services([f"json://user:sesame@127.0.0.1:{free_port()}/x"])
    assert dead.send("t", "b", urgent=False) == "the service cannot be reached, or refused it"


@pytest.mark.parametrize("url", ["sesame", "sesame://host", "tgram://sesame", "mailto://"])
def test_bad_url_is_not_repeated(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A url that is not one is refused without repeating it."""
    with pytest.raises(CannotNotify) as refused:
        open_services(["json://127.0.0.1/", url])
    assert "url 2 (" in str(refused.value)
    assert "Apprise" in str(refused.value)
    if url != "sesame://host":
        assert "sesame" not in str(refused.value)
    assert capsys.readouterr() == ("", "")


def test_settings_hide_urls() -> None:
    """The settings do not show the urls."""
    assert "sesame" not in repr(Notify(urls=("tgram://sesame",)))


def test_apprise_loads_only_with_urls() -> None:
    """Without urls apprise is not even loaded."""
    code = "import sys; from tracker.notify.apprise_services import open_services; open_services([]);"
    done = subprocess.run(
        [sys.executable, "-c", code + "sys.exit('apprise' in sys.modules)"], cwd=PROJECT, check=False
    )
    assert done.returncode == 0


@pytest.mark.parametrize("command", ["run", "notify"])
def test_missing_apprise_names_extra(tmp_path: Path, command: str) -> None:
    """A missing apprise is refused at the start with the extra to install."""
    (tmp_path / "settings.toml").write_text('[notify]\nurls = ["tgram://sesame"]\n')
    (tmp_path / "data" / "alerts").mkdir(parents=True)
    done = tracker(tmp_path, command, program=("-c", WITHOUT_APPRISE))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("settings.toml: [notify] urls: apprise is not installed")
    assert ".[notify]" in line
    assert "sesame" not in line


@pytest.mark.parametrize("command", ["run", "notify"])
def test_bad_url_ends_start(tmp_path: Path, command: str) -> None:
    """A url that is not one ends the start."""
    (tmp_path / "data" / "alerts").mkdir(parents=True)
    done = tracker(tmp_path, command, "--notify.urls", "tgram://sesame")
    assert done.returncode == 2
    assert "flag --notify.urls: Apprise cannot use url 1 (tgram)" in done.stderr
    assert "sesame" not in done.stderr


def test_the_user_can_try_the_urls(tmp_path: Path) -> None:
    """In words and as JSON; a failure shows in the exit code."""
    with Webhook() as good, Webhook() as bad:
        bad.code = 500
        done = tracker(tmp_path, "notify", "--notify.urls", good.url)
        assert (done.returncode, done.stdout, done.stderr) == (0, "url 1 (json): sent\n", "")
        assert good.said("This is a test of the order tracker")
        done = tracker(tmp_path, "notify", "--json", "--notify.urls", f"{good.url},{bad.url}")
        assert done.returncode == 1
        assert json.loads(done.stdout)["urls"] == [
            {"url": "1 (json)", "sent": True, "reason": None},
            {"url": "2 (json)", "sent": False, "reason": "the service answered 500"},
        ]
        assert "sesame" not in done.stdout + done.stderr


def test_trying_nobody_is_bad_usage(tmp_path: Path) -> None:
    done = tracker(tmp_path, "notify")
    assert done.returncode == 2
    assert "notify.urls is empty" in done.stderr
