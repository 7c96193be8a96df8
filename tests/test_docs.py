"""The documents: nothing that exists is missing from them, and they promise nothing that does not exist."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tomllib
import urllib.request
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import pytest

from tests.support.daemon_rig import CALL, Rig, record
from tests.support.postgres import Database
from tests.support.project import PROJECT
from tests.support.readme import check_shown
from tests.support.shared_rig import SharedRig
from tracker.cli import main
from tracker.cli.commands import COMMANDS
from tracker.config.loader import load
from tracker.config.settings import KEYS
from tracker.core.alert_updates import EventKind
from tracker.core.expiry import read_expiry
from tracker.core.model import AlertUpdate, Rule

PAGES: Final = sorted(
    (*PROJECT.glob("*.md"), *(PROJECT / "tracker").rglob("*.md"), *(PROJECT / "scripts").rglob("*.md"))
)
TEXTS: Final = {path.relative_to(PROJECT).as_posix(): path.read_text("utf-8") for path in PAGES}
README: Final = TEXTS["README.md"]
ARCHITECTURE: Final = TEXTS["ARCHITECTURE.md"]
MATCHING: Final = TEXTS["tracker/core/MATCHING.md"]
PROTOCOL: Final = TEXTS["tracker/status/PROTOCOL.md"]
LONGEST_README: Final = 1_500
"""Words, those of samples and tables included."""
SHELL: Final = ("alert", "cd", "cp", "curl", "mkdir", "printf", "python3")
"""What the pages' commands begin with beside `tracker` and the project's own scripts."""


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


def test_readme_shows_the_demo(played: Played) -> None:
    check_shown(output_of("scripts/demo"), played.lines)


def test_readme_is_short() -> None:
    assert len(README.split()) <= LONGEST_README


def test_one_command_scripts_are_shown() -> None:
    """The demo for who looks at it, checks and tests for who changes it."""
    shown = {one.command: one.page for one in SESSIONS if one.command.startswith("scripts/")}
    assert shown == {
        "scripts/demo": "README.md",
        "scripts/check": "CONTRIBUTING.md",
        "scripts/test": "CONTRIBUTING.md",
    }


def test_status_socket_is_documented(tmp_path: Path) -> None:
    """Every word that it answers to and no other, every field of `status`, and HTTP."""

    async def story() -> dict[str, Any]:
        async with Rig(tmp_path) as rig:
            rig.write({"robindahood-alerts": {"NVDA": record()}})
            await rig.start()
            await rig.idle()
            reader, writer = await asyncio.open_connection("127.0.0.1", rig.status_port)
            writer.write(b"help\n")
            answer = json.loads(await reader.readline())
            writer.close()
            for path in ("status", "health"):
                url = f"http://127.0.0.1:{rig.status_port}/{path}"
                fetched = await asyncio.to_thread(urllib.request.urlopen, url, timeout=10)
                assert json.loads(fetched.read())["ok"] is True
                fetched.close()
            return {**answer, "status": await rig.status()}

    answer = asyncio.run(story())
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", PROTOCOL.partition("\n## ")[0], re.M)
    table = re.findall(r"\w+", " ".join(rows))
    assert sorted(table) == sorted(answer["commands"])
    for field in answer["status"]:
        assert f"`{field}`" in PROTOCOL


def test_readme_lists_every_command() -> None:
    """Every command stands in the table, in the words of its help."""
    rows = re.findall(r"^\| `tracker (\w+)` \| (.*) \|$", README, re.M)
    table = {name: re.sub(r"\[(.*?)\]\(.*?\)|`", r"\1", words) for name, words in rows}
    assert table == {name: command.summary for name, command in COMMANDS.items()}


@pytest.mark.parametrize("session", SESSIONS, ids=lambda one: one.command)
def test_commands_shown_are_accepted(session: Session, tmp_path: Path) -> None:
    """The command is there, and knows the flags and settings it is given."""
    program, *arguments = shlex.split(session.command)
    if program == "tracker":
        name, *rest = arguments
        given = main._parse(name, COMMANDS[name], rest)
        empty = tmp_path / "settings.toml"
        empty.touch()
        load(given.flags, str(empty))
    elif program.startswith("scripts/"):
        assert os.access(PROJECT / program, os.X_OK)
    else:
        installing = re.fullmatch(r"pipx install (--force )?'\.\[[a-z,]+\]'", session.command)
        assert installing or program.partition("=")[0] in SHELL


def test_shared_store_is_set_up_as_shown(database: Database, tmp_path: Path) -> None:
    """SHARED's commands, by a service file as it names one, print what it shows."""
    service = tmp_path / "pg_service.conf"
    parts = urlsplit(database.url)
    service.write_text(
        f"[alerts]\nhost={parts.hostname}\nport={parts.port}\ndbname={database.name}\n"
        f"user={parts.username}\npassword={parts.password}\n"
    )
    given = ("--shared.url", "service=alerts", "--stores.timezone", "US/Eastern")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PGSERVICEFILE", str(service))
        made = run_tracker(tmp_path, "store", "create", *given)
        check_shown(output_of("tracker store create"), made.splitlines())
        with SharedRig(database) as rig:
            rig.put({"robindahood-alerts": {"NVDA": record()}})
            tracker = rig.store("box-2", host="box-2.example.com", zone_name="US/Eastern")
            tracker.hold("test")
            assert tracker.vet(["DU1234567"]) is None
            tracker.refresh()
            tracker.apply([AlertUpdate(alert.id, True, {}, {"quantity": 4}) for alert in tracker.alerts()])
            listed = run_tracker(tmp_path, "store", "seats", *given)
    check_shown(output_of("tracker store seats"), listed.splitlines())


def test_settings_toml_names_every_setting() -> None:
    written = tomllib.loads((PROJECT / "settings.toml").read_text("utf-8"))
    assert {section: set(keys) for section, keys in written.items()} == {
        section: set(keys) for section, keys in KEYS.items()
    }
    assert "settings.toml](settings.toml)" in README


def test_settings_named_in_pages_exist() -> None:
    known = {f"{section}.{key}" for section, keys in KEYS.items() for key in keys}
    named = {
        (page, name)
        for page, text in TEXTS.items()
        for name in re.findall(rf"`(?:--)?((?:{'|'.join(KEYS)})\.[a-z_]+)[` ]", text)
        if not name.endswith((".py", ".db", ".toml"))
    }
    assert named
    assert {(page, name) for page, name in named if name not in known} == set()


def test_every_written_key_is_explained(played: Played) -> None:
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


def test_every_event_is_explained() -> None:
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


def test_expiries_are_read_as_shown() -> None:
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


@pytest.mark.usefixtures("unmeasured")
def test_fill_takes_the_way_described(tmp_path: Path) -> None:
    """One fill runs each file that the table of ARCHITECTURE names."""
    table = ARCHITECTURE.partition("## A fill's way")[2].partition("\n\nOther ways in")[0]
    named = set(re.findall(r"`(tracker/[\w/]+\.py)`", table))
    run = tmp_path / "run.txt"

    async def story() -> None:
        async with Rig(tmp_path) as rig:
            rig.write({"robindahood-alerts": {"NVDA": record()}})
            await rig.start(env={"TRACKED_FILES": str(run)}, module="tests.support.traced_tracker")
            await rig.idle()
            assert rig.process is not None
            rig.process.send_signal(signal.SIGUSR1)
            rig.gateway.fill(rig.gateway.order(CALL, "BUY", 10, limit="2.51"), 4)
            await rig.until(lambda: bool(rig.read()["open"]))
            await rig.until(lambda: named <= set(run.read_text("utf-8").split()))

    assert len(named) >= 20
    try:
        asyncio.run(story())
    finally:
        print("not run:", sorted(named - set(run.read_text("utf-8").split())))


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_named_files_exist(page: str) -> None:
    named = re.findall(r"`((?:tracker|tests|scripts|\.ci)/[\w./]*)", TEXTS[page])
    assert named
    assert [name for name in named if not (PROJECT / name).exists()] == []


@pytest.mark.parametrize("page", TEXTS)
def test_named_modules_exist(page: str) -> None:
    """A page may name a module by its file alone."""
    here = [path.as_posix() for path in PROJECT.glob("*/**/*.py") if ".venv" not in path.as_posix()]
    named = re.findall(r"`([\w/]+\.py)`", TEXTS[page])
    assert [name for name in named if not any(path.endswith(f"/{name}") for path in here)] == []


def test_quoted_messages_exist() -> None:
    """What TROUBLESHOOTING quotes is what the code says, values aside."""
    code = "\n".join(path.read_text("utf-8") for path in (PROJECT / "tracker").rglob("*.py"))
    rows = re.findall(r"^\| (.+?) \|", TEXTS["tracker/TROUBLESHOOTING.md"], re.M)
    quotes = re.findall(r'"([^"]+)"', "\n".join(rows))
    assert len(quotes) >= 5
    missing = [
        quote
        for quote in quotes
        if not re.search(r"\{[^}]+\}".join(map(re.escape, re.split(r"\d+", quote))), code)
    ]
    assert missing == []


@pytest.mark.parametrize("page", TEXTS)
def test_lines_of_prose_are_short(page: str) -> None:
    """Tables and samples aside, which cannot be broken."""
    prose = re.sub(r"^```.*?^```$", "", TEXTS[page], flags=re.M | re.S)
    lines = [line for line in prose.splitlines() if not line.startswith(("|", "    "))]
    assert [line for line in lines if len(line) > 120] == []
