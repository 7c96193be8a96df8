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
