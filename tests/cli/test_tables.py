"""Every command that answers: its table within 80 columns, its JSON numbered and documented, both read here.

All are asked for real: a tracker that runs beside a paper gateway, with fills that need a person, a gap and a
discrepancy after it.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from tests.support.daemon_rig import Rig
from tests.support.flex_report import statement, write_report
from tests.support.project import PROJECT
from tests.support.reconcile_rig import (
    ACCOUNT,
    CONTRACTS,
    OTHER,
    ROBIN,
    alert_of,
    buy,
    loose,
    traded,
)
from tracker.cli.commands import COMMANDS
from tracker.cli.reconcile_commands import DISCREPANCIES
from tracker.clock import now
from tracker.console import FAILED, WELL
from tracker.core.model import Moment
from tracker.core.state import GAPS
from tracker.core.state_rows import Gap
from tracker.journal.journal import Journal
from tracker.status.protocol import SCHEMA

WIDTH: Final = 80
SECONDS: Final = 90.0
ONE_WORD: Final = re.compile(r"(?:(?:\S+ )*\S+ {2,}| *)\S+")
"""A line of one word, or a label and one word in the column beside it."""
PAGES: Final = [
    (PROJECT / "tracker" / page).read_text()
    for page in (
        "queries/ANSWERS.md",
        "status/PROTOCOL.md",
        "core/MATCHING.md",
        "doctor/DOCTOR.md",
        "notify/NOTIFICATIONS.md",
    )
]
DOCUMENTED: Final = {name for page in PAGES for name in re.findall(r"`(\w+)`", page)}
QUESTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "status": ("status",),
    "fills": ("fills", "--since", "2 days", "--all"),
    "inbox": ("inbox", "--since", "2 days", "--all"),
    "alerts": ("alerts",),
    "report": ("report", "--since", "2 days"),
    "why a fill": ("why", "FILL"),
    "why an open question": ("why", "UNDECIDED"),
    "why an alert": ("why", f"{ROBIN}/NVDA"),
    "gaps": ("gaps", "--all"),
    "gaps accept": ("gaps", "accept", "DAY", "--all"),
    "reconcile": ("reconcile",),
    "reconcile a report": ("reconcile", "--flex", "flex.xml"),
    "reconcile a report again": ("reconcile", "--flex", "flex.xml", "--dry-run"),
    "flex check": ("flex", "check", "flex.xml"),
    "test": ("test", "--symbol", "NVDA", "--strike", "122.5", "--right", "C", "--expiry", "20301220"),
    "test of two": ("test", "--symbol", "PLTR", "--strike", "122.5", "--right", "C", "--expiry", "20301220"),
    "export": ("export",),
    "assign a part": ("assign", "UNDECIDED", f"{OTHER}/PLTR", "--quantity", "1", "--dry-run"),
    "assign, tried": ("assign", "UNDECIDED", f"{OTHER}/PLTR", "--dry-run"),
    "assign": ("assign", "UNDECIDED", f"{OTHER}/PLTR"),
    "dismiss, tried": ("dismiss", "DISMISSED", "--dry-run"),
    "dismiss": ("dismiss", "DISMISSED"),
    "adjust": ("adjust", "AMD", "--split", "2:1", "--dry-run"),
    "undo, tried": ("undo", "DECISION", "--dry-run"),
    "undo": ("undo", "DECISION"),
    "init": ("init", "made", "--dry-run"),
    "doctor": ("doctor",),
    "notify": ("notify", "--notify.urls", '["json://127.0.0.1:9/"]'),
    "replay": ("replay", "RECORDING", "--alerts", "ALERTS"),
    "demo": ("demo",),
}
"""What is asked, in this order."""
FOUND: Final = {"reconcile": DISCREPANCIES, "doctor": FAILED, "notify": FAILED}
"""Exit codes of commands that found something wrong, as they rightly may here."""


class Said(NamedTuple):
    """Hold both forms of an answer."""

    table: str
    document: Mapping[str, Any]


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Said]:
    """Ask everything once in each form."""
    return asyncio.run(ask_everything(tmp_path_factory.mktemp("tables")))


async def ask_everything(folder: Path) -> Mapping[str, Said]:
    async with Rig(folder) as rig:
        words = await trade(rig)
        answers = {}
        for name, question in QUESTIONS.items():
            table = await ask(rig, *[words.get(word, word) for word in question])
            if made := re.search(r"tracker undo (\d+)", table):
                words["DECISION"] = made[1]
            # An accepted day is no gap any more, so the second form is asked about another one.
            again = [words.get(f"OTHER {word}", words.get(word, word)) for word in question]
            answers[name] = Said(table, json.loads(await ask(rig, *again, "--json")))
        return answers


async def trade(rig: Rig) -> dict[str, str]:
    """Fill what there is to ask about; returns what stands for itself in the questions."""
    pltr = {"PLTR": loose("PLTR")}
    rig.write({ROBIN: {"NVDA": alert_of("NVDA"), "AMD": alert_of("AMD"), **pltr}, OTHER: pltr})
    fills = await traded(rig, "NVDA", "AMD")
    assert await rig.stop() == 0
    days = [now().date() - timedelta(days=back) for back in (10, 11, 12)]
    journal = Journal(rig.folder / "journal.db")
    with journal.step():
        for day in days:
            journal.state.put(GAPS, Gap(day, Moment(now(), 1)))
    journal.close()
    # Positions that differ from the ledger leave the gaps open.
    rig.gateway.set_position(ACCOUNT, CONTRACTS["AMD"], 9, push=False)
    await rig.start()
    undecided, dismissed = (buy(rig, CONTRACTS["PLTR"]) for _ in range(2))
    buy(rig, CONTRACTS["DIS"])
    await rig.idle()
    write_report(rig.folder / "flex.xml", statement(first=days[0], last=days[0]))
    recording = PROJECT / "tests/recordings/data/partial_fills_and_sale.jsonl"
    alerts = rig.folder / "alerts-of-that-day.json"
    alerts.write_text(json.dumps(json.loads(recording.with_suffix(".json").read_text())["alerts"]))
    return {
        "RECORDING": str(recording),
        "ALERTS": str(alerts),
        "FILL": fills["NVDA"].exec_id,
        "UNDECIDED": undecided.exec_id,
        "DISMISSED": dismissed.exec_id,
        "DAY": days[1].isoformat(),
        "OTHER DAY": days[2].isoformat(),
    }


async def ask(rig: Rig, command: str, *words: str) -> str:
    """Run a command as a person does; returns what it says."""
    settings = [] if command in ("demo", "init") else [*rig.flags(), *rig.options]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tracker", command, *words, *settings,
        stdout=asyncio.subprocess.PIPE, cwd=rig.folder, env={**os.environ, "PYTHONPATH": str(PROJECT)},
    )  # fmt: skip
    async with asyncio.timeout(SECONDS):
        out, _ = await process.communicate()
    assert process.returncode in (WELL, FOUND.get(command, WELL))
    return out.decode()


def keys_of(value: object) -> Iterator[str]:
    """Yield every key, the parts of a dotted one each."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from str(key).split(".")
            yield from keys_of(each)
    elif isinstance(value, list):
        for each in value:
            yield from keys_of(each)


def test_every_command_is_asked() -> None:
    """Every command that answers is asked here."""
    asked = {question[0] for question in QUESTIONS.values()}
    assert asked == {name for name, command in COMMANDS.items() if command.reads}


@pytest.mark.parametrize("name", [name for name in QUESTIONS if name not in ("export", "init")])
def test_table_fits_80_columns(name: str, said: Mapping[str, Said]) -> None:
    """But for export, whose table is a CSV for other programs, and the settings file that init would make.

    A word that is longer, as a path can be, has a line of its own, or stands alone beside its label.
    """
    lines = said[name].table.splitlines()
    assert lines
    assert [line for line in lines if len(line) > WIDTH and not ONE_WORD.fullmatch(line)] == []
    assert [line for line in lines if not line.isprintable() or line != line.rstrip()] == []


@pytest.mark.parametrize("name", QUESTIONS)
def test_its_json_is_versioned_and_documented(name: str, said: Mapping[str, Said]) -> None:
    document = said[name].document
    assert list(document)[:2] == ["ok", "schema"]
    assert (document["ok"], document["schema"]) == (True, SCHEMA)
    assert sorted(set(keys_of(document)) - DOCUMENTED) == []


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, (command, *_) in QUESTIONS.items()
        if command in ("fills", "inbox", "why", "gaps", "reconcile", "export")
    ],
)
def test_table_and_json_agree(name: str, said: Mapping[str, Said]) -> None:
    """Every execution, day and discrepancy of the one stands in the other."""
    table = " ".join(said[name].table.split())
    told = [text for key, text in named(said[name].document) if key in ("exec_id", "day", "subject")]
    assert told
    assert [text for text in told if text not in table] == []


def named(value: object) -> Iterator[tuple[str, str]]:
    """Yield every text with its key."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            if isinstance(each, str):
                yield str(key), each
            yield from named(each)
    elif isinstance(value, list):
        for each in value:
            yield from named(each)
