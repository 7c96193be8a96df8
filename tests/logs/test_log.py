"""The log: account numbers masked wherever they stand, JSON when asked, files of bounded size and number."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from tests.support.waiting import until
from tracker.logs import log

BOUND_SECONDS = 10.0


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    yield
    log.close()
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
    log.configure("DEBUG", file=path, **options)
    logger.info("account={}, and FI12345", "DU1234567")
    fail()
    log.close()
    return path.read_text()


@pytest.mark.parametrize("as_json", [False, True])
def test_account_numbers_are_masked_in_exceptions_too(tmp_path: Path, as_json: bool) -> None:
    """On standard error and in the file alike; what went wrong, and where, is still reported."""
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


def test_files_rotate_at_their_size(tmp_path: Path) -> None:
    """Files are renewed at their size and the last ones kept."""
    log.configure("INFO", file=tmp_path / "tracker.log", rotation="1 KB", retention=2)
    for number in range(200):
        log.later("INFO", partial("line {} of a log that must not fill the disk".format, number))
    log.close()
    files = sorted(tmp_path.iterdir())
    assert len(files) == 3
    assert all(file.stat().st_size <= 1100 for file in files)
    assert "line 199 " in (tmp_path / "tracker.log").read_text()


def deferred(folder: Path, words: Callable[[], str], level: str = "INFO", **options: Any) -> str:
    path = folder / "tracker.log"
    log.configure("INFO", file=path, **options)
    log.later(level, words)
    log.close()
    return path.read_text()


def test_words_made_later_are_masked_and_printable(tmp_path: Path) -> None:
    text = deferred(tmp_path, lambda: "fill account=DU1234567 symbol=\x1b[2J\nFORGED")
    assert text.endswith(" INFO    fill account=DU***67 symbol=?[2J?FORGED\n")


def test_words_made_later_go_into_json_too(tmp_path: Path) -> None:
    record = json.loads(deferred(tmp_path, lambda: "fill account=DU1234567", as_json=True))["record"]
    assert (record["level"]["name"], record["message"]) == ("INFO", "fill account=DU***67")
    assert record["function"] == "deferred"


@pytest.mark.parametrize("as_json", [False, True])
def test_hidden_level_makes_no_words(tmp_path: Path, as_json: bool) -> None:
    """Words of a level left out are not made."""
    made: list[str] = []

    def words() -> str:
        made.append("words")
        return "words"

    assert deferred(tmp_path, words, "DEBUG", as_json=as_json) == ""
    assert made == []


@pytest.mark.parametrize("masked", [True, False])
def test_control_characters_never_reach_log(tmp_path: Path, masked: bool) -> None:
    """Neither by a message nor by an exception; a newline of the wire cannot forge a line."""
    path = tmp_path / "tracker.log"
    log.configure("DEBUG", file=path, mask_accounts=masked)
    logger.info("symbol {}", "NV\x1b[2J\x07\n2025-11-18 ERROR forged")
    try:
        raise ValueError("bad\x1b]0;title\x07")
    except ValueError:
        logger.exception("frame {} failed", 1)
    log.close()
    text = path.read_text()
    assert set("\x1b\x07") & set(text) == set()
    assert "symbol NV?[2J??2025-11-18 ERROR forged\n" in text


def test_lost_lines_are_counted(tmp_path: Path) -> None:
    """The file's folder goes away; standard error, and the count, say so."""
    path = tmp_path / "logs" / "tracker.log"
    path.parent.mkdir()
    log.configure("INFO", file=path, rotation="1 KB")
    assert log.figures() == {"lost": 0, "trouble": []}
    logger.warning("x" * 800)
    until(path.read_text)
    path.rename(tmp_path / "away.log")
    path.parent.rmdir()
    logger.warning("y" * 800)
    until(lambda: log.figures()["lost"])
    (trouble,) = log.figures()["trouble"]
    assert trouble == f"the log file {path} cannot be written: No such file or directory"


def test_file_that_cannot_be_opened_is_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        log.configure("INFO", file=tmp_path / "nowhere" / "tracker.log")
