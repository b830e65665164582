"""What the operating system shows of a cluster, beside what it says of itself. One-way: no component reads this.

Everything here is read from `/proc`; nothing is asked of a component. The rows of `processes` are those of
`workshop ps`; `containers` are the processes below each node that are no component.
"""

from __future__ import annotations

import os
from typing import Any

from workshop.cluster import machine_api, procfs, sweep
from workshop.cluster.layout import Layout
from workshop.cluster.plan import Plan

STATES = {"R": "running", "S": "running", "D": "running", "I": "running", "T": "paused", "t": "paused", "Z": "ended"}


def processes(plan: Plan, layout: Layout) -> list[dict[str, Any]]:
    """A row for each component: what the supervisor knows, corrected by what `/proc` shows now."""
    try:
        rows = machine_api.call(layout.socket, "GET", "/processes", timeout=10.0)
    except (machine_api.Absent, TimeoutError):
        rows = _without_supervisor(plan)
    for row in rows:
        found = procfs.stat(row["pid"]) if row["pid"] else None
        if found is not None and row["state"] == "running":
            row["state"] = STATES.get(found.state, "running")
        row["memory"] = procfs.proportional_set_size(row["pid"]) if row["pid"] else None
        row["cpu_seconds"] = found.ticks / os.sysconf("SC_CLK_TCK") if found else None
    return rows  # type: ignore[no-any-return]


def _without_supervisor(plan: Plan) -> list[dict[str, Any]]:
    titles = {procfs.command_line(pid): pid for pid in procfs.pids()}
    rows: list[dict[str, Any]] = []
    for component in plan.components:
        pid = titles.get(component.title)
        rows.append(
            {
                "name": component.name,
                "program": component.program,
                "node": component.node,
                "pid": pid,
                "state": "running" if pid else "stopped",
                "restarts": None,
                "since": None,
                "exit": None,
            }
        )
    return rows


def containers(plan: Plan, layout: Layout) -> list[dict[str, Any]]:
    """Processes of pods: what lives of this cluster and is no component. Sorted by pid."""
    known = {row["pid"] for row in processes(plan, layout)}
    found = []
    for pid in sorted(sweep.survivors(layout, plan)):
        state = procfs.stat(pid)
        if pid in known or state is None:
            continue
        found.append({"pid": pid, "parent": state.parent, "state": STATES.get(state.state, "running"),
                      "command": procfs.command_line(pid), "pod": pod_of(pid, layout)})  # fmt: skip
    return found


def pod_of(pid: int, layout: Layout) -> str | None:
    """The pod's uid or directory name, from where the process works: `nodes/NODE/pods/UID/…`."""
    inside = str(layout.root / "nodes")
    for path in (procfs.link(pid, "cwd"), *procfs.command_line(pid).split()):
        parts = path.removeprefix(inside).split("/") if path.startswith(inside) else []
        if len(parts) > 3 and parts[2] == "pods":
            return parts[3]
    return None
