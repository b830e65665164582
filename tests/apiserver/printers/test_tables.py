"""Tables. Rows of freshly created objects are compared with those of a real server (tests/api/real/rows.json)."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from workshop.api.resources import all_resources, for_kind, resource
from workshop.apiserver import printers
from workshop.apiserver.printers.cells import PRINTERS, human_duration, label_selector
from workshop.apiserver.printers.pods import summary
from workshop.apiserver.printers.table import _columns

REAL = Path(__file__).parents[2] / "api" / "real"
ANSWERS = json.loads((REAL / "good.json").read_text())
ROWS = json.loads((REAL / "rows.json").read_text())
NOW = 1_767_225_600.0  # 2026-01-01T00:00:00Z
AGE = re.compile(r"(\d+[smhdy])+|<unknown>|20\d\d-.*Z")


@pytest.mark.parametrize(
    ("obj", "wanted"), list(zip(ANSWERS, ROWS, strict=True)), ids=lambda o: o["kind"] if isinstance(o, dict) else ""
)
def test_rows_are_the_real_ones(obj: dict[str, Any], wanted: list[Any]) -> None:
    found = for_kind(obj["apiVersion"], obj["kind"])
    assert found is not None
    made = {**obj, "metadata": {**obj["metadata"], "creationTimestamp": "2026-01-01T00:00:00Z"}}
    row = printers.table(found, [made], NOW)["rows"][0]["cells"]
    assert len(row) == len(wanted)
    assert all(a == b or AGE.fullmatch(str(b)) for a, b in zip(row, wanted, strict=True)), (row, wanted)


def test_every_listed_resource_has_its_printer() -> None:
    for each in all_resources():
        if f"{each.group_resource}/{each.version}" in _columns():
            assert each.group_resource in PRINTERS, each


def pod(**status: Any) -> dict[str, Any]:
    spec = {"containers": [{"name": "a"}, {"name": "b"}], "initContainers": status.pop("init", [])}
    return {"metadata": {"name": "p", **status.pop("metadata", {})}, "spec": spec, "status": status}


def container(name: str = "a", **more: Any) -> dict[str, Any]:
    return {"name": name, "restartCount": 0, **more}


RUNNING = {"ready": True, "state": {"running": {}}}
DONE = {"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}
CRASH = {
    "restartCount": 4,
    "state": {"waiting": {"reason": "CrashLoopBackOff"}},
    "lastState": {"terminated": {"finishedAt": "2025-12-31T23:59:30Z", "exitCode": 1}},
}


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (pod(phase="Pending"), ("0/2", "Pending", "0")),
        (pod(phase="Running", containerStatuses=[container(**RUNNING)]), ("1/2", "Running", "0")),
        (
            pod(phase="Running", containerStatuses=[container(**CRASH), container("b", **RUNNING)]),
            ("1/2", "CrashLoopBackOff", "4 (30s ago)"),
        ),
        (pod(phase="Succeeded", containerStatuses=[container(**DONE)]), ("0/2", "Completed", "0")),
        (
            pod(phase="Running", containerStatuses=[container(**DONE), container("b", **RUNNING)]),
            ("1/2", "NotReady", "0"),
        ),
        (pod(phase="Running", metadata={"deletionTimestamp": "x"}), ("0/2", "Terminating", "0")),
        (
            pod(
                phase="Pending",
                init=[{"name": "i"}, {"name": "j"}],
                initContainerStatuses=[container("i", **DONE), container("j", state={"waiting": {}})],
            ),
            ("0/2", "Init:1/2", "0"),
        ),
        (
            pod(
                phase="Pending",
                init=[{"name": "i"}],
                initContainerStatuses=[container("i", state={"terminated": {"exitCode": 3}})],
            ),
            ("0/2", "Init:ExitCode:3", "0"),
        ),
        (
            pod(
                phase="Running",
                init=[{"name": "i", "restartPolicy": "Always"}],
                initContainerStatuses=[container("i", started=True, **RUNNING)],
                containerStatuses=[container(**RUNNING), container("b", **RUNNING)],
            ),
            ("3/3", "Running", "0"),
        ),
        (
            pod(phase="Pending", conditions=[{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]),
            ("0/2", "SchedulingGated", "0"),
        ),
        (pod(phase="Failed", reason="Evicted"), ("0/2", "Evicted", "0")),
    ],
)
def test_what_a_pods_row_says(made: dict[str, Any], wanted: tuple[str, str, str]) -> None:
    assert summary(made, NOW) == wanted


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (-1, "0s"),
        (119, "119s"),
        (120, "2m"),
        (599, "9m59s"),
        (3600 * 3 - 1, "179m"),
        (3600 * 3, "3h"),
        (3600 * 7 + 60, "7h1m"),
        (3600 * 47, "47h"),
        (86400 * 3 + 7200, "3d2h"),
        (86400 * 400, "400d"),
        (86400 * 800, "2y70d"),
        (86400 * 365 * 9, "9y"),
    ],
)
def test_ages(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text


def test_selectors() -> None:
    both = {"matchLabels": {"b": "c"}, "matchExpressions": [{"key": "a", "operator": "In", "values": ["y", "x"]}]}
    assert label_selector(both) == "a in (x,y),b=c"
    assert label_selector({}) == "<none>"


def test_objects_in_rows() -> None:
    made = pod(phase="Succeeded")
    rows = printers.table(resource("pods"), [made], NOW)["rows"]
    assert rows[0]["object"]["kind"] == "PartialObjectMetadata" and "spec" not in rows[0]["object"]
    assert rows[0]["conditions"][0]["reason"] == "Succeeded"
    assert "object" not in printers.table(resource("pods"), [made], NOW, "None")["rows"][0]
    assert printers.table(resource("pods"), [made], NOW, "Object", columns=False)["columnDefinitions"] is None
