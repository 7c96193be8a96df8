"""What Prometheus draws of the real daemon, and the files under scripts/deploy that draw and judge it.

promtool is in Debian's package `prometheus`.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from tests.daemon.test_end_to_end import ROBIN, play
from tests.support.daemon_rig import CALL, Rig, details, record
from tests.support.free_ports import free_port
from tests.support.project import PROJECT
from tracker.core.alert_updates import EventKind, TrackerEvent
from tracker.core.model import AlertId, AlertUpdate, Outcome
from tracker.daemon.latency import FrameToFile

DEPLOY: Final = PROJECT / "scripts/deploy"
ALERTS: Final = DEPLOY / "prometheus-alerts.yaml"
DASHBOARD: Final = DEPLOY / "grafana-dashboard.json"
PROMTOOL: Final = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is not installed: apt-get install prometheus"
)


def promtool(*arguments: str, text: str = "") -> None:
    assert PROMTOOL is not None
    done = subprocess.run(
        [PROMTOOL, *arguments], input=text, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), f"{done.stdout}{done.stderr}"


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return what is scraped after one fill, with every extra switched on."""
    texts: list[str] = []

    async def story(rig: Rig) -> None:
        vague = record(option_conid=None, option_conids=[], alert_details=details(expiry=None))
        rig.write({ROBIN: {"NVDA": record()}, "demslayer": {"NVDA": vague}})
        nobody = f"127.0.0.1:{free_port()}"
        await rig.start(
            "--notify.urls", f"json://{nobody}", "--notify.heartbeat_url", f"http://{nobody}/secret"
        )
        rig.gateway.fill(rig.gateway.order(CALL, "BUY", 2, limit="2"))
        await rig.until(lambda: rig.read()["open"])
        await rig.idle()
        texts.append(await rig.get("/metrics"))

    play(tmp_path_factory.mktemp("metrics"), story)
    return texts[0]


def test_figures_of_one_fill(scraped: str) -> None:
    lines = scraped.splitlines()
    for line in (
        "tracker_subscribed 1",
        'tracker_link_state{state="up"} 1',
        'tracker_link_state{state="waiting"} 0',
        "tracker_fills_total 1",
        "tracker_open_alerts 1",
        'tracker_needs_you{reason="ambiguous"} 0',
        "tracker_open_gaps 0",
        "tracker_store_away 0",
        "tracker_log_lines_lost_total 0",
        "tracker_heartbeat_sent_total 0",
    ):
        assert line in lines
    # The fee is written with its fill, or by itself where it came in another packet.
    count = re.search(r"^tracker_fill_to_file_seconds_count ([12])$", scraped, re.M)
    assert count is not None
    assert f'tracker_fill_to_file_seconds_bucket{{le="+Inf"}} {count[1]}' in lines
    ages = dict(re.findall(r"^tracker_last_(\w+)_age_seconds (\S+)$", scraped, re.M))
    assert set(ages) == {"frame", "sweep"}
    assert all(0 <= float(age) < 60 for age in ages.values())


def test_every_figure_has_help(scraped: str) -> None:
    typed = re.findall(r"^# TYPE (\w+) ", scraped, re.M)
    assert typed == re.findall(r"^# HELP (\w+) \S", scraped, re.M)
    assert len(typed) == len(set(typed))
    assert "tracker_notify_sent_total" in typed


@needs_promtool
def test_promtool_finds_no_fault(scraped: str) -> None:
    promtool("check", "metrics", text=scraped)


@needs_promtool
def test_alert_rules_fire(tmp_path: Path) -> None:
    """A tracker that receives nothing for over 5 minutes, and a fill that needs a person."""
    promtool("check", "rules", str(ALERTS))
    test = {
        "rule_files": [str(ALERTS)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": "tracker_subscribed", "values": "1 1 0x20"},
                    {"series": 'tracker_needs_you{reason="near_miss"}', "values": "0x20 1x20"},
                ],
                "alert_rule_test": [
                    rule("TrackerNotReceivingFills", 6),
                    rule("TrackerNotReceivingFills", 8, severity="critical"),
                    rule("TrackerNeedsYou", 20),
                    rule("TrackerNeedsYou", 23, severity="warning"),
                ],
            }
        ],
    }
    file = tmp_path / "test.yaml"
    file.write_text(json.dumps(test))
    promtool("test", "rules", str(file))


def rule(name: str, minute: int, severity: str = "") -> dict[str, Any]:
    """Expect an alert at a minute, or none where it has no severity."""
    texts = rf'alert: {name}\n.*?summary: "(.*?)"\n *description: "(.*?)"\n'
    about = re.search(texts, ALERTS.read_text(), re.S)
    assert about is not None
    expected = {
        "exp_labels": {"severity": severity},
        "exp_annotations": {"summary": about[1], "description": about[2]},
    }
    return {"eval_time": f"{minute}m", "alertname": name, "exp_alerts": [expected] if severity else []}


def expressions() -> list[str]:
    """Return the dashboard's queries, as Prometheus gets them."""
    dashboard = json.loads(DASHBOARD.read_text())
    return [
        target["expr"].replace("$__rate_interval", "5m")
        for panel in dashboard["panels"]
        for target in panel["targets"]
    ]


@needs_promtool
def test_dashboard_asks_what_prometheus_understands(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": each} for number, each in enumerate(expressions())]
    file = tmp_path / "rules.yaml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", str(file))


def test_dashboard_and_alerts_name_figures(scraped: str) -> None:
    """Nothing is drawn, or waited for, that the tracker does not give."""
    given = set(re.findall(r"^(tracker_\w+)", scraped, re.M))
    given |= {"tracker_complete_until_age_seconds", "tracker_clock_skew_seconds"}
    asked = set(re.findall(r"\btracker_\w+", "\n".join([*expressions(), ALERTS.read_text()])))
    assert asked - given == set()
    assert len(asked) > 15


def test_histogram_counts_up_to_each_bound() -> None:
    """5 ms is in the bucket of 5 ms, 20 minutes only in the count."""
    begun = datetime(2026, 11, 18, 15, tzinfo=UTC)
    latency = FrameToFile()
    for name, seconds in (("A", 0.005), ("B", 0.3), ("C", 1200)):
        alert = AlertId("robindahood-alerts", name, "2026-11-18T14:00:00", None)
        what = {"alert": alert.name, "created_at": alert.created_at}
        latency.decided(TrackerEvent(EventKind.OPENED, begun, what))
        update = AlertUpdate(alert, True, None, None)
        latency.written([update], [Outcome.APPLIED], begun + timedelta(seconds=seconds))
    found = latency.histogram()
    assert (found["count"], found["sum"]) == (3, 1200.305)
    assert found["buckets"]["0.005"] == 1
    assert found["buckets"]["0.25"] == 1
    assert found["buckets"]["0.5"] == 2
    assert found["buckets"]["600"] == 2
