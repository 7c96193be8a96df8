"""The log: account numbers masked wherever they stand, JSON when asked, files of bounded size and number."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from tracker import logs


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    yield
    logs.know_accounts(())
    logger.remove()
    logger.configure(patcher=lambda record: None)
    logger.add(sys.stderr)


def fail() -> None:
    """Log an exception that names an account, in its text and in its cause."""
    try:
        try:
            raise KeyError("U7654321")
        except KeyError as cause:
            raise ValueError("DU1234567 holds nothing") from cause
    except ValueError:
        logger.exception("audit of {} failed", "DU1234567")


def written(folder: Path, **options: Any) -> str:
    path = folder / "tracker.log"
    logs.configure("DEBUG", file=path, **options)
    logger.info("account={}, and FI12345", "DU1234567")
    fail()
    return path.read_text()


@pytest.mark.parametrize("as_json", [False, True])
def test_account_numbers_are_masked_in_exceptions_too(tmp_path: Path, as_json: bool) -> None:
    """On standard error and in the file alike; what went wrong, and where, is still told."""
    text = written(tmp_path, as_json=as_json)
    assert "1234567" not in text
    assert "7654321" not in text
    assert "account=DU***67" in text
    assert "DU***67 holds nothing" in text
    assert "in fail" in text
    assert "KeyError" in text


def test_standard_error_is_masked_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path)
    said = capsys.readouterr()
    assert said.out == ""
    assert "1234567" not in said.err
    assert "DU***67 holds nothing" in said.err


def test_account_numbers_are_shown_when_asked(tmp_path: Path) -> None:
    text = written(tmp_path, mask_accounts=False)
    assert "account=DU1234567" in text
    assert "ValueError: DU1234567 holds nothing" in text


def test_json_is_one_object_a_line(tmp_path: Path) -> None:
    lines = written(tmp_path, as_json=True).splitlines()
    records = [json.loads(line)["record"] for line in lines]
    assert [record["level"]["name"] for record in records] == ["INFO", "ERROR"]
    assert records[0]["message"] == "account=DU***67, and FI12345"


def test_files_are_renewed_at_their_size_and_the_last_ones_kept(tmp_path: Path) -> None:
    logs.configure("INFO", file=tmp_path / "tracker.log", rotation="1 KB", retention=2)
    for number in range(200):
        logger.info("line {} of a log that must not fill the disk", number)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 3
    assert all(file.stat().st_size <= 1100 for file in files)
    assert "line 199 " in (tmp_path / "tracker.log").read_text()


@pytest.mark.parametrize(
    ("account", "masked"),
    [("DUM123456", "DUM***56"), ("U12345678F", "U***8F"), ("DFP98765", "DFP***65"), ("DU1234567", "DU***67")],
)
def test_account_numbers_of_all_kinds_are_masked(account: str, masked: str) -> None:
    text = "{0}: in ({0}) and {0}/NVDA"
    assert logs.mask(text.format(account)) == text.format(masked)


def test_known_accounts_are_masked_by_name() -> None:
    """A login's own accounts are known, so they are masked whatever they look like."""
    logs.know_accounts(["X77-ABC123", "FAMILYTRUST", "All"])
    assert logs.mask("X77-ABC123 and FAMILYTRUST, not MYFAMILYTRUST; All alerts") == (
        "X***23 and F***ST, not MYFAMILYTRUST; All alerts"
    )


@pytest.mark.parametrize("masked", [True, False])
def test_control_characters_never_reach_log(tmp_path: Path, masked: bool) -> None:
    """Neither by a message nor by an exception; a newline of the wire cannot forge a line."""
    path = tmp_path / "tracker.log"
    logs.configure("DEBUG", file=path, mask_accounts=masked)
    logger.info("symbol {}", "NV\x1b[2J\x07\n2025-11-18 ERROR forged")
    try:
        raise ValueError("bad\x1b]0;title\x07")
    except ValueError:
        logger.exception("frame {} failed", 1)
    text = path.read_text()
    assert set("\x1b\x07") & set(text) == set()
    assert "symbol NV?[2J??2025-11-18 ERROR forged\n" in text
