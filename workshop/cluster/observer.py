"""What the operating system shows of a cluster, beside what it says of itself. One-way: no component reads this.

Everything here is read from `/proc`; nothing is asked of a component. The rows of `processes` are those of
`workshop ps`; `containers` are the processes below each node that are no component.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from workshop.cluster import machine_api, procfs
from workshop.cluster.layout import Layout
from workshop.cluster.plan import Plan
from workshop.cluster.process import Remembered, remembered

STATES = {"R": "running", "S": "running", "D": "running", "I": "running", "T": "paused", "t": "paused", "Z": "ended"}


HELPERS = ("supervisor", "zygote", "holder")
"""What runs a cluster and is no component of it."""


def processes(plan: Plan, layout: Layout) -> list[dict[str, Any]]:
    """A row for each component and helper: what the supervisor knows, corrected by what `/proc` shows now."""
    rows = _known(plan, layout)
    for row in rows:
        found = procfs.stat(row["pid"]) if row["pid"] else None
        if found is not None and row["state"] == "running":
            row["state"] = STATES.get(found.state, "running")
        row["memory"] = procfs.proportional_set_size(row["pid"]) if row["pid"] else None
        row["cpu_seconds"] = found.ticks / os.sysconf("SC_CLK_TCK") if found else None
    return rows


def _known(plan: Plan, layout: Layout) -> list[dict[str, Any]]:
    try:
        return machine_api.call(layout.socket, "GET", "/processes", timeout=10.0)  # type: ignore[no-any-return]
    except (machine_api.Absent, TimeoutError):
        return _without_supervisor(plan)


def condition(plan: Plan, layout: Layout) -> str:
    """`running`, `down`, or `degraded`: some components run and some do not, or nobody watches over them."""
    return summary(plan, now(plan, layout))


def now(plan: Plan, layout: Layout) -> list[dict[str, Any]]:
    """The rows of `processes` without what is costly to read."""
    return states(plan, _known(plan, layout))


def summary(plan: Plan, rows: list[dict[str, Any]]) -> str:
    """PURE: the same, of rows that are known.

    >>> from workshop.cluster import plan
    >>> summary(plan.make("lab", "/lab", mode="plain", block=7, only=["etcd"]), [{"name": "etcd", "state": "running"}])
    'degraded'
    """
    running = {row["name"] for row in rows if row["state"] == "running"}
    wanted = {*(component.name for component in plan.components), "supervisor"}
    if not running & wanted:
        return "down"
    return "running" if wanted <= running else "degraded"


def states(plan: Plan, rows: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    """The same without what is costly to read: `rows` as a supervisor told them (None: there is none), each with the
    state that `/proc` shows now."""
    found = []
    for row in rows if rows is not None else _without_supervisor(plan):
        stat = procfs.stat(row["pid"]) if row["pid"] else None
        state, pid = row["state"], row["pid"]
        if pid and (stat is None or (row.get("start") and stat.start != row["start"]) or stat.state in "ZX"):
            state, pid = "ended" if row["state"] == "running" else row["state"], None
        elif stat is not None and state == "running":
            state = STATES.get(stat.state, "running")
        known = {key: row.get(key) for key in ("name", "program", "node", "restarts", "since", "exit", "start")}
        found.append({**known, "pid": pid, "state": state})
    return found


def _without_supervisor(plan: Plan) -> list[dict[str, Any]]:
    titles = {procfs.command_line(pid): pid for pid in procfs.pids()}
    pids = [(c.name, c.program, c.node, titles.get(c.title)) for c in plan.components]
    pids += [(name, name, None, titles.get(f"workshop-{name} {plan.directory}")) for name in HELPERS[:2]]
    holder = remembered(Path(plan.directory, "run", "processes.json")).get("holder", Remembered())
    pids.append(("holder", "holder", None, holder.pid if holder.lives() else None))
    rows: list[dict[str, Any]] = []
    for name, program, node, pid in pids:
        rows.append(
            {
                "name": name,
                "program": program,
                "node": node,
                "pid": pid,
                "state": "running" if pid else "stopped",
                "restarts": None,
                "since": None,
                "exit": None,
                "start": found.start if pid and (found := procfs.stat(pid)) else 0,
            }
        )
    return rows


def containers(plan: Plan, layout: Layout) -> list[dict[str, Any]]:
    """Containers whose process lives now: a row each, with the pod's uid. The shims' files say which pid to look for;
    whether it lives, and since when it is that process, says `/proc`."""
    found = []
    for node in plan.nodes:
        for sandbox in sorted(layout.node(node.name).glob("run/*/sandbox.json")):
            pod = _read(sandbox).get("status", {})
            for state in sorted(sandbox.parent.glob("c/*/state.json")):
                process = _read(state)
                pid, start = int(process.get("pid") or 0), int(process.get("start") or 0)
                if pid and procfs.alive(pid, start):
                    row = {
                        "node": node.name,
                        "pod": pod.get("uid"),
                        "name": pod.get("name"),
                        "pid": pid,
                        "start": start,
                    }
                    found.append({**row, "command": procfs.command_line(pid)})
    return found


def _read(path: Path) -> dict[str, Any]:
    """A file that another process may be writing or removing."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
