"""The bench runs, and what it tells has the shape that others read."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.project import PROJECT

SECONDS = 120.0


def bench(tmp_path: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Run the bench with sizes that only show that it runs."""
    tiny = (
        "import sys; sys.argv[0] = 'bench.py'\n"
        "from benchmark import cli\n"
        "from benchmark.place import Sizes\n"
        "cli.QUICK = Sizes(2, 200, 10, 1, 100, 500, 100, 20, 200, 1_200, 2, 10, 12, 20, 0.2, 3, 1.0, 1.0)\n"
        "sys.exit(cli.main())\n"
    )
    return subprocess.run(
        [sys.executable, "-c", tiny, "--quick", "--folder", str(tmp_path), *flags],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{PROJECT}{os.pathsep}{PROJECT / 'scripts'}"},
        check=False,
    )


def measured(tmp_path: Path, *rows: str) -> dict[str, dict[str, Any]]:
    """Return the figures of some rows by key."""
    done = bench(tmp_path, "--json", *(word for row in rows for word in ("--only", row)))
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["quick"] is True
    return {figure["key"]: figure for figure in answer["figures"]}


def test_fills_stream_to_tracker_and_ib_insync(tmp_path: Path) -> None:
    """Fills are streamed to the tracker and to bare ib insync."""
    figures = measured(tmp_path, "fills_1", "latency")
    assert set(figures) == {"fills_1", "fills_1_hot", "latency_p50", "latency_p99"}
    for figure in figures.values():
        assert figure["ours"] > 0
        assert figure["baseline"] > 0
    fills = figures["fills_1"]
    assert fills["at_least"] is True
    assert fills["value"] == pytest.approx(fills["ours"] / fills["baseline"])


def test_fills_come_while_status_socket_is_abused(tmp_path: Path) -> None:
    done = bench(tmp_path, "--markdown", "--only", "abused")
    assert done.returncode == 0, done.stderr
    conditions, empty, heads, rule, row, answers = done.stdout.splitlines()
    assert conditions.startswith("Commit ")
    assert "log lines from INFO up go to a file" in conditions
    assert empty == ""
    assert heads.startswith("| figure | ours | baseline |")
    assert rule.count("---") == row.count(" |") == 6
    assert row.startswith(
        "| latency p99 beside 50 clients of each of 11 abusive kinds at the status socket |"
    )
    assert answers.startswith("| slowest answer to `status` with the token meanwhile |")


def test_fills_come_while_pages_are_open(tmp_path: Path) -> None:
    figures = measured(tmp_path, "paged")
    assert set(figures) == {"paged_p50", "paged_p99"}
    assert (figures["paged_p50"]["target"], figures["paged_p99"]["target"]) == (1.2, None)


def test_long_journal_is_made_and_started_on(tmp_path: Path) -> None:
    figures = measured(tmp_path, "restart", "sweep", "matching")
    assert set(figures) == {"restart", "restart_seconds", "sweep", "matching"}
    assert figures["restart_seconds"]["value"] == figures["restart"]["ours"]


def test_parts_of_shared_store_beside_their_floors(tmp_path: Path) -> None:
    figures = measured(tmp_path, "shared")
    assert {key: figure["target"] for key, figure in figures.items() if figure["target"]} == {
        "shared_p50": 2.0,
        "shared_p99": 3.0,
        "shared_seats": 0.8,
        "shared_poll": 3.0,
    }
    compared = {"frozen_status", "frozen_append", "crowd", "bytes", "wal"}
    assert {key for key, figure in figures.items() if figure["target"] is None} == {
        f"shared_{name}" for name in compared
    }
    assert figures["shared_bytes"]["ours"] > figures["shared_bytes"]["baseline"] > 0


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    assert measured(tmp_path, "matching")
    assert list(tmp_path.iterdir()) == []


def test_table_and_drawing_name_every_figure(tmp_path: Path) -> None:
    drawn = tmp_path / "bench.svg"
    done = bench(tmp_path, "--only", "matching", "--plot", str(drawn))
    assert done.returncode == 0, done.stderr
    for text in (done.stdout, drawn.read_text()):
        assert "match time per fill with 200 alerts" in text
    assert "<= 1.5 x" in done.stdout


def test_other_drawing_is_refused_first(tmp_path: Path) -> None:
    """Another kind of drawing is refused before anything is measured."""
    done = bench(tmp_path, "--plot", "bench.png")
    assert done.returncode == 2
    assert "name a file that ends in .svg" in done.stderr
    assert "measuring" not in done.stderr


def test_part_of_a_run_is_not_published(tmp_path: Path) -> None:
    done = bench(tmp_path, "--publish", "--only", "matching")
    assert done.returncode == 2
    assert "leave out --quick and --only" in done.stderr


def test_whole_run_is_written_into_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Table, drawing and ratios are replaced, once and again; nothing else of the documents is."""
    monkeypatch.syspath_prepend(str(PROJECT / "scripts"))
    publish = importlib.import_module("benchmark.publish").publish
    figure = importlib.import_module("benchmark.figures").Figure
    folder = tmp_path / "scripts" / "benchmark"
    folder.mkdir(parents=True)
    pages = {path: (PROJECT / path).read_text() for path in ("README.md", "scripts/benchmark/BENCH.md")}
    for path, text in pages.items():
        (tmp_path / path).write_text(text)
    values = {"fills_1": 1.25, "fills_1_hot": 1.3, "fills_100": 8, "fills_100_hot": 8}
    for more in (0.0, 0.5):
        figures = [
            figure(key, f"row {key}", "bare", "s", 1, 1, value + more, "x", 1)
            for key, value in {**values, "latency_p50": 1.9}.items()
        ]
        publish(figures, tmp_path)
    readme, report = ((tmp_path / path).read_text() for path in pages)
    ratios = " ".join(readme[readme.index("Speed, against") : readme.index("[The report]")].split())
    assert ratios == (
        "Speed, against bare ib_insync: 1.75 to 1.80 times its fills per second with one fill per order, 8.50"
        " times with 100. A single fill takes 2.40 times as long as one commit and one replaced file."
    )
    assert report.count("| row fills_100_hot |") == report.count("| figure |") == 1
    before = pages["scripts/benchmark/BENCH.md"]
    assert report[report.index("<!-- end -->") :] == before[before.index("<!-- end -->") :]
    assert "<svg" in (folder / "figures.svg").read_text()


def test_row_that_there_is_not_is_refused(tmp_path: Path) -> None:
    done = bench(tmp_path, "--only", "speed")
    assert done.returncode == 2
    assert "fills_1" in done.stderr
