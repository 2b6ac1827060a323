"""The alert rules and the dashboard, held against the metrics that the program writes."""

from __future__ import annotations

import json
import re
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.examples import CONFIG, METRICS_FILE, need
from worker.core.errors import ExitCode

pytest.importorskip("prometheus_client")

from worker.core.tally import Tally
from worker.observers.exposition import PREFIX, RunState, exposition

FOREIGN = {"node_textfile_mtime_seconds", "push_time_seconds"}
"""What node_exporter says of the file itself, and a Pushgateway of what it was told."""


def written() -> dict[str, set[str]]:
    """Each metric that a run writes, with the names of its labels."""
    tally = Tally()
    tally.requests["200"] = 1
    state = RunState(
        started_at=1.0,
        tally=tally,
        ids_left=1,
        rate_allowed=8.0,
        exit_code=ExitCode.OK,
        ended_at=2.0,
        last_success_at=2.0,
    )
    metrics: dict[str, set[str]] = {}
    for line in exposition(state).decode().splitlines():
        if not line.startswith("#"):
            name, _, labels = line.rpartition(" ")[0].partition("{")
            metrics.setdefault(name, set()).update(re.findall(r"(\w+)=", labels))
    return metrics


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((CONFIG / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def dashboard() -> Any:
    return json.loads((CONFIG / "grafana-dashboard.json").read_text(encoding="utf-8"))


def expressions() -> list[str]:
    panels = [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]
    variables = [
        variable["query"]["query"]
        for variable in dashboard()["templating"]["list"]
        if variable["type"] == "query"
    ]
    return [rule["expr"] for rule in rules()] + panels + variables


@pytest.mark.parametrize("expression", expressions())
def test_every_metric_asked_for_is_written(expression: str) -> None:
    names = set(re.findall(rf"\b(?:{PREFIX}|node|push)_\w+", expression))
    assert names
    assert names <= set(written()) | FOREIGN


@pytest.mark.parametrize("expression", expressions())
def test_every_label_asked_for_is_there(expression: str) -> None:
    names = re.findall(rf"\b({PREFIX}\w+)", expression)
    known = {"instance", "job", "results"}.union(*(written()[name] for name in names))
    for labels in re.findall(r"\b(?:by|without|on) \(([^)]*)\)", expression):
        assert set(re.split(r", *", labels)) <= known


def test_every_rule_says_what_and_what_to_do() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names))
    for rule in rules():
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"]


def test_every_exit_code_that_needs_somebody_raises_an_alert() -> None:
    alarming = {
        int(code) for rule in rules() for code in re.findall(r"exit_code == (\d+)", rule["expr"])
    }
    calm = {ExitCode.OK, ExitCode.STOPPED, ExitCode.INTERRUPTED, ExitCode.TERMINATED}
    assert alarming == set(ExitCode) - calm - {ExitCode.LOCKED}


def test_the_file_that_is_watched_is_the_one_that_is_written() -> None:
    (watched,) = re.findall(r'file=~"([^"]+)"', rules()[0]["expr"])
    assert re.fullmatch(watched.replace("\\\\", "\\"), METRICS_FILE)


def test_promtool_finds_nothing_wrong_with_the_rules() -> None:
    checked = subprocess.run(
        [need("promtool"), "check", "rules", CONFIG / "alerts.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr


def sample(name: str, values: str, labels: str = "") -> dict[str, str]:
    return {"series": f'{name}{{instance="a",job="node"{labels}}}', "values": values}


def pushed(name: str, values: str) -> dict[str, str]:
    labels = 'instance="",job="complete-sessions",results="a"'
    return {"series": f"{name}{{{labels}}}", "values": values}


AGE = sample("node_textfile_mtime_seconds", "0x240", f',file="{METRICS_FILE}"')
CASES = {
    "CompleteSessionsDied": [AGE],
    "CompleteSessionsSilent": [
        pushed("push_time_seconds", "0x240"),
        pushed(f"{PREFIX}_exit_code", "0x240"),
        pushed(f"{PREFIX}_run_start_timestamp_seconds", "-60x240"),
        pushed(f"{PREFIX}_run_end_timestamp_seconds", "-90x240"),
    ],
    "CompleteSessionsStopped": [AGE, sample(f"{PREFIX}_exit_code", "74x240")],
    "CompleteSessionsUnavailable": [AGE, sample(f"{PREFIX}_exit_code", "4x240")],
    "CompleteSessionsSomeFailed": [AGE, sample(f"{PREFIX}_exit_code", "1x240")],
    "CompleteSessionsPaused": [sample(f"{PREFIX}_paused_seconds_total", "0+60x240")],
    "CompleteSessionsThrottled": [
        sample(f"{PREFIX}_throttled_total", "0+30x240"),
        sample(f"{PREFIX}_requests_total", "0+400x240", ',status="200"'),
        sample(f"{PREFIX}_requests_total", "0+30x240", ',status="429"'),
    ],
    "CompleteSessionsNotRun": [
        sample(f"{PREFIX}_exit_code", "5x2000"),
        sample(f"{PREFIX}_run_start_timestamp_seconds", "0x2000"),
    ],
    "": [
        AGE,
        sample(f"{PREFIX}_exit_code", "0x240"),
        sample(f"{PREFIX}_run_start_timestamp_seconds", "0x240"),
        sample(f"{PREFIX}_paused_seconds_total", "0+1x240"),
        sample(f"{PREFIX}_throttled_total", "0+1x240"),
        sample(f"{PREFIX}_requests_total", "0+400x240", ',status="200"'),
        pushed("push_time_seconds", "0x240"),
        pushed(f"{PREFIX}_run_start_timestamp_seconds", "-90x240"),
        pushed(f"{PREFIX}_run_end_timestamp_seconds", "-60x240"),
    ],
}
"""What raises an alert, and it alone; under the empty name what raises none."""


@pytest.mark.parametrize("expected", CASES)
def test_an_alert_is_raised_by_its_cause_alone(expected: str, tmp_path: Path) -> None:
    assert set(CASES) - {""} == {rule["alert"] for rule in rules()}
    at = "30h" if expected == "CompleteSessionsNotRun" else "2h"
    tests = [
        {"eval_time": at, "alertname": rule["alert"], "exp_alerts": raised(rule, expected)}
        for rule in rules()
    ]
    document = {
        "rule_files": [str(CONFIG / "alerts.yaml")],
        "evaluation_interval": "1m",
        "tests": [
            {"interval": "1m", "input_series": CASES[expected], "alert_rule_test": tests},
        ],
    }
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(document))
    command = [need("promtool"), "test", "rules", str(tmp_path / "test.yaml")]
    tested = subprocess.run(command, capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stdout


def raised(rule: dict[str, Any], expected: str) -> list[dict[str, Any]]:
    if rule["alert"] != expected:
        return []
    value = next((one["values"].split("x")[0] for one in CASES[expected]), "")
    codes = [one for one in CASES[expected] if "exit_code" in one["series"]]
    value = codes[0]["values"].split("x")[0] if codes else value
    labels = {"instance": "a", "job": "node", **rule["labels"]}
    if expected == "CompleteSessionsDied":
        labels["file"] = METRICS_FILE
    if expected == "CompleteSessionsSilent":
        labels = {"job": "complete-sessions", "results": "a", **rule["labels"]}
    known = {"$value": value, **{f"$labels.{name}": label for name, label in labels.items()}}
    filled = {
        name: re.sub(r"\{\{ (\S+) \}\}", lambda found: known.get(found[1], ""), text)
        for name, text in rule["annotations"].items()
    }
    return [{"exp_labels": labels, "exp_annotations": filled}]


def test_the_panels_are_numbered_and_do_not_overlap() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for one, other in combinations([panel["gridPos"] for panel in panels], 2):
        apart_x = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart_y = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart_x or apart_y
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)


def test_every_exit_code_has_its_words_on_the_dashboard() -> None:
    (panel,) = [one for one in dashboard()["panels"] if one["title"] == "Last end"]
    (mapping,) = panel["fieldConfig"]["defaults"]["mappings"]
    assert set(mapping["options"]) == {str(int(code)) for code in ExitCode}


def test_every_panel_asks_the_chosen_source() -> None:
    for panel in dashboard()["panels"]:
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["title"]
        assert panel["description"]
