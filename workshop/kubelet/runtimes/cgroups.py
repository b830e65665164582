"""Limits by control groups, version 1 or 2, where we may make groups; elsewhere the shim watches memory itself.

v1  /sys/fs/cgroup/{memory,cpu}/kubepods-workshop/pod<uid>/<id>     v2  /sys/fs/cgroup/kubepods-workshop/...
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from workshop.kubelet.cri import Resources

ROOT = "/sys/fs/cgroup"
PARENT = "kubepods-workshop"


def _controllers() -> dict[str, str]:
    """Controller -> the directory below which we may make groups."""
    v1 = {name: f"{ROOT}/{name}" for name in ("memory", "cpu") if os.access(f"{ROOT}/{name}/cgroup.procs", os.W_OK)}
    if v1:
        return v1
    unified = Path(ROOT, "cgroup.subtree_control")
    if os.access(unified, os.W_OK) and "memory" in unified.read_text().split():
        return {"": ROOT}
    return {}


def limits_processor() -> bool:
    """Whether there is a group that limits processor time."""
    found = _controllers()
    unified = "cpu" in Path(found[""], "cgroup.subtree_control").read_text().split() if "" in found else False
    return "cpu" in found or unified


def limits(controller: str, directory: str, wanted: Resources) -> dict[str, str]:
    """What to write for the limits: {file: text}."""
    files: dict[str, str] = {}
    if controller == "memory" and wanted.memory_limit:
        files[f"{directory}/memory.limit_in_bytes"] = str(wanted.memory_limit)
    if controller == "cpu":
        if wanted.cpu_shares:
            files[f"{directory}/cpu.shares"] = str(wanted.cpu_shares)
        if wanted.cpu_quota:
            files[f"{directory}/cpu.cfs_period_us"] = str(wanted.cpu_period)
            files[f"{directory}/cpu.cfs_quota_us"] = str(wanted.cpu_quota)
    if controller == "" and wanted.memory_limit:
        files[f"{directory}/memory.max"] = str(wanted.memory_limit)
    if controller == "" and wanted.cpu_quota:
        files[f"{directory}/cpu.max"] = f"{wanted.cpu_quota} {wanted.cpu_period}"
    return files


def for_container(pod_uid: str, container_id: str, wanted: Resources, pod: Resources | None = None) -> dict[str, Any]:
    """Make the groups; the part of a spec that enters them. Empty when it is not allowed. `pod`: limits of the pod as
    a whole, which stand in the group above."""
    made: dict[str, Any] = {"cgroups": [], "oom_files": []}
    for controller, root in _controllers().items():
        directory = f"{root}/{PARENT}/pod{pod_uid}/{container_id[:12]}"
        try:
            os.makedirs(directory, exist_ok=True)
            files = limits(controller, os.path.dirname(directory), pod) if pod else {}
            for path, text in (files | limits(controller, directory, wanted)).items():
                Path(path).write_text(text)
        except OSError:
            with contextlib.suppress(OSError):
                os.rmdir(directory)
            continue
        made["cgroups"].append(directory)
        if controller == "memory":
            made["oom_files"].append(f"{directory}/memory.oom_control")
        elif controller == "":
            made["oom_files"].append(f"{directory}/memory.events")
    return made if made["cgroups"] else {}


def _directories(spec: Path) -> list[str]:
    try:
        found: list[str] = json.loads(spec.read_text()).get("cgroups", [])
    except (OSError, ValueError):
        return []
    return found


def remove(spec: Path) -> None:
    """Remove the groups of a container that has ended, and the pod's when it was the last."""
    for directory in _directories(spec):
        for folder in (directory, os.path.dirname(directory), os.path.dirname(os.path.dirname(directory))):
            with contextlib.suppress(OSError):
                os.rmdir(folder)


def remove_all(root_dir: str) -> None:
    """The groups of all containers below a kubelet's root directory, once they have ended; for `down`."""
    for spec in Path(root_dir, "run").glob("*/c/*/spec.json"):
        remove(spec)


def update(spec: Path, wanted: Resources) -> None:
    """Change the limits of a container that runs. Raises OSError."""
    for directory in _directories(spec):
        controller = directory.removeprefix(ROOT).split("/")[1]
        name = controller if controller in ("memory", "cpu") else ""
        for path, text in limits(name, directory, wanted).items():
            Path(path).write_text(text)


def stats(spec: Path, pid: int) -> dict[str, float]:
    """Memory and processor time, of the group or else of the first process."""
    found: dict[str, float] = {}
    with contextlib.suppress(OSError, ValueError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        found["cpu_seconds"] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        found["memory_bytes"] = int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
    for directory in _directories(spec):
        for name in ("memory.usage_in_bytes", "memory.current"):
            with contextlib.suppress(OSError, ValueError):
                found["memory_bytes"] = int(Path(directory, name).read_text())
    return found
