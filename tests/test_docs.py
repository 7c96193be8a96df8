"""The documents: nothing that exists is missing from them, and they promise nothing that does not exist."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
import urllib.request
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from tests.support.daemon_rig import Rig, record
from tests.support.project import PROJECT
from tracker.cli import main
from tracker.cli.commands import COMMANDS
from tracker.config.loader import load
from tracker.config.settings import KEYS
from tracker.core.alert_updates import EventKind
from tracker.core.expiry import read_expiry
from tracker.core.model import Rule

PAGES: Final = sorted(
    path
    for path in (*PROJECT.glob("*.md"), *(PROJECT / "tracker").rglob("*.md"))
    if path.name != "LICENSE.md"
)
TEXTS: Final = {path.relative_to(PROJECT).as_posix(): path.read_text("utf-8") for path in PAGES}
README: Final = TEXTS["README.md"]
MATCHING: Final = TEXTS["tracker/core/MATCHING.md"]
PROTOCOL: Final = TEXTS["tracker/status/PROTOCOL.md"]
LEFT_OUT: Final = "..."
"""A line that stands for any number of lines."""


class Session(NamedTuple):
    """Hold a command as a page shows it, and the output shown below it."""

    page: str
    command: str
    output: tuple[str, ...]


def sessions() -> Iterator[Session]:
    """Yield every command in the pages' console blocks."""
    for page, text in TEXTS.items():
        for block in re.findall(r"^```console\n(.*?)^```", text, re.M | re.S):
            for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
                command, *output = part.rstrip("\n").split("\n")
                yield Session(page, command, tuple(output))


SESSIONS: Final = list(sessions())


def output_of(command: str) -> tuple[str, ...]:
    (found,) = [one.output for one in SESSIONS if one.command == command]
    return found


def run_tracker(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tracker", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def shape(line: str) -> str:
    """Return a line without what differs from run to run: execIds, numbers, how columns are filled up."""
    line = re.sub(r"\b[0-9a-f]{8}\.[0-9a-f]{8}(\.\d\d)+", "ID", line)
    return re.sub(r"\s+", " ", re.sub(r"[\d.]*\d", "0", line)).rstrip()


def check_shown(shown: tuple[str, ...], real: list[str]) -> None:
    """Check that real output is what a page shows; a line of dots stands for lines left out."""
    rest = [shape(line) for line in real]
    anywhere = False
    for line in shown:
        if line == LEFT_OUT:
            anywhere = True
            continue
        assert shape(line) in (rest if anywhere else rest[:1]), f"{line!r} is not in {rest}"
        rest = rest[rest.index(shape(line)) + 1 :]
        anywhere = False
    assert anywhere or not rest, f"the page leaves out {rest} and does not say so"


class Played(NamedTuple):
    """Hold what one run of the demo printed and wrote."""

    folder: Path
    lines: list[str]
    alerts: Mapping[str, Mapping[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    folder = tmp_path_factory.mktemp("demo")
    kept = folder / "kept"
    printed = run_tracker(folder, "demo", "--keep", str(kept))
    return Played(kept, printed.splitlines()[:-1], json.loads((kept / "alerts.json").read_text()))


def test_the_readme_shows_the_demo_as_it_is(played: Played) -> None:
    check_shown(output_of("scripts/demo"), played.lines)


def test_the_readme_shows_an_account_as_it_is(played: Played) -> None:
    command = "tracker why robindahood-alerts/NVDA"
    printed = run_tracker(played.folder, *command.split()[1:], "--settings", "settings.toml")
    check_shown(output_of(command), printed.splitlines())


def test_both_one_command_scripts_are_in_the_readme() -> None:
    for script in ("scripts/demo", "scripts/test"):
        assert [one.page for one in SESSIONS if one.command == script] == ["README.md"]
        assert os.access(PROJECT / script, os.X_OK)


def test_the_readme_shows_the_status_as_it_is(tmp_path: Path) -> None:
    """Also: every word that the status socket answers to is documented, and no other, and so is HTTP."""

    async def story() -> tuple[str, dict[str, Any]]:
        async with Rig(tmp_path) as rig:
            rig.write({"robindahood-alerts": {"NVDA": record()}})
            await rig.start()
            await rig.idle()
            port = str(rig.status_port)
            printed = await asyncio.to_thread(run_tracker, tmp_path, "status", "--status.port", port)
            reader, writer = await asyncio.open_connection("127.0.0.1", rig.status_port)
            writer.write(b"help\n")
            answer = json.loads(await reader.readline())
            writer.close()
            for path in ("status", "health"):
                url = f"http://127.0.0.1:{rig.status_port}/{path}"
                fetched = await asyncio.to_thread(urllib.request.urlopen, url, timeout=10)
                assert json.loads(fetched.read())["ok"] is True
                fetched.close()
            return printed, {**answer, "status": await rig.status()}

    printed, answer = asyncio.run(story())
    shown = output_of("tracker status")
    assert shown[0] == printed.splitlines()[0]
    labels = [line[:20].rstrip() for line in printed.splitlines()[1:] if not line.startswith(" ")]
    for line in shown[1:]:
        assert line == LEFT_OUT or line[:20].rstrip() in labels
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", PROTOCOL.partition("\n## ")[0], re.M)
    table = re.findall(r"\w+", " ".join(rows))
    assert sorted(table) == sorted(answer["commands"])
    for field in answer["status"]:
        assert f"`{field}`" in PROTOCOL


def test_every_command_is_in_the_readme_and_no_other() -> None:
    table = re.findall(r"^\| `tracker (\w+)` \|", README, re.M)
    assert sorted(table) == sorted(COMMANDS)


@pytest.mark.parametrize("session", SESSIONS, ids=lambda one: one.command)
def test_commands_in_the_pages_can_be_given(session: Session, tmp_path: Path) -> None:
    """The command is there, and knows the flags and settings it is given."""
    program, *arguments = shlex.split(session.command)
    if program == "tracker":
        name, *rest = arguments
        given = main._parse(name, COMMANDS[name], rest)
        empty = tmp_path / "settings.toml"
        empty.touch()
        load(given.flags, str(empty))
    elif "/" in program:
        assert os.access(PROJECT / program, os.X_OK)
    else:
        assert program in ("pipx", "printf", "curl"), "a page names a program that this test knows nothing of"


def test_settings_toml_names_every_setting() -> None:
    written = tomllib.loads((PROJECT / "settings.toml").read_text("utf-8"))
    assert {section: set(keys) for section, keys in written.items()} == {
        section: set(keys) for section, keys in KEYS.items()
    }
    assert "settings.toml](settings.toml)" in README


def test_pages_name_no_setting_that_is_not_there() -> None:
    known = {f"{section}.{key}" for section, keys in KEYS.items() for key in keys}
    named = {
        (page, name)
        for page, text in TEXTS.items()
        for name in re.findall(rf"`(?:--)?((?:{'|'.join(KEYS)})\.[a-z_]+)[` ]", text)
        if not name.endswith((".py", ".db", ".toml"))
    }
    assert named
    assert {(page, name) for page, name in named if name not in known} == set()


def test_every_key_that_is_written_is_explained(played: Played) -> None:
    """From a file that the tracker wrote."""
    shown = played.alerts["robindahood-alerts"]["NVDA"]
    for key in ("open", "last_order_update", "position", *shown["last_order_update"], *shown["position"]):
        assert f"`{key}`" in MATCHING
    example = README.partition("```json\n")[2].partition("```")[0]
    assert {key: list(value) for key, value in json.loads(f"{{{example}}}").items()} == {
        key: list(shown[key]) for key in ("last_order_update", "position")
    }


def test_every_rule_is_explained() -> None:
    rules = [rule.value for rule in Rule if rule is not Rule.PERSON]
    assert re.findall(r"^\| `(\w+)` \| (?:the|symbol,)", MATCHING, re.M)[: len(rules)] == rules


def test_every_event_is_explained_and_no_other() -> None:
    """Those of the core, and those that the daemon itself publishes."""
    published = {
        name
        for path in (PROJECT / "tracker").rglob("*.py")
        for name in re.findall(r'"event": "(\w+)"', path.read_text("utf-8"))
    }
    assert {"link", "written", "unproven"} <= published
    rows = PROTOCOL.partition("| event | when |")[2].partition("\n\n")[0]
    explained = re.findall(r"\w+", " ".join(re.findall(r"^\| (`[^|]+`) \|", rows, re.M)))
    assert sorted(explained) == sorted(published | {kind.value for kind in EventKind})


def test_expiries_are_read_as_the_page_says() -> None:
    (sentence,) = re.findall(r"^(`1121`.*?) are one day", MATCHING, re.M | re.S)
    forms = re.findall(r"`([^`]+)`", sentence)
    assert len(forms) >= 5
    for form in forms:
        assert read_expiry(form, date(2025, 11, 18)).day == date(2025, 11, 21), form


def anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", TEXTS)
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", TEXTS[page]):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        found = ((PROJECT / page).parent / path).resolve() if path else PROJECT / page
        assert found.exists(), f"{page}: {target}"
        if anchor:
            assert anchor in anchors(found.read_text("utf-8")), f"{page}: {target}"


def test_every_page_is_linked() -> None:
    """From the README or from a page that it links."""
    linked = {
        ((PROJECT / page).parent / target.partition("#")[0]).resolve()
        for page, text in TEXTS.items()
        for target in re.findall(r"\]\(([^)\s]+)\)", text)
    }
    assert [page for page in TEXTS if page != "README.md" and (PROJECT / page).resolve() not in linked] == []


@pytest.mark.parametrize("page", TEXTS)
def test_lines_of_prose_are_short(page: str) -> None:
    """Tables and samples aside, which cannot be broken."""
    prose = re.sub(r"^```.*?^```$", "", TEXTS[page], flags=re.M | re.S)
    lines = [line for line in prose.splitlines() if not line.startswith(("|", "    "))]
    assert [line for line in lines if len(line) > 120] == []
