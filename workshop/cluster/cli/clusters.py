"""up, down, reset, status, list, doctor."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from typing import Any

from workshop.cluster import layout, observer
from workshop.cluster.cli.output import megabytes, show
from workshop.cluster.facade import Cluster
from workshop.cluster.layout import ClusterError
from workshop.cluster.leaders import leaders
from workshop.cluster.plan import PROGRAMS, Plan

ROOM = 200
"""Megabytes that a state directory wants: logs, etcd's log and snapshots, pods' files."""


def _say(text: str) -> None:
    print(text, flush=True)


def _cluster(arguments: argparse.Namespace) -> Cluster:
    return Cluster(arguments.name, getattr(arguments, "only", ()), say=_say)


def _options(arguments: argparse.Namespace) -> dict[str, Any]:
    return {key: getattr(arguments, key) for key in ("nodes", "masters", "runtime", "max_pods", "mode", "lab", "wait")}


def up(arguments: argparse.Namespace) -> int:
    cluster = _cluster(arguments).up(**_options(arguments))
    _next(cluster)
    return 0


def reset(arguments: argparse.Namespace) -> int:
    given = {key: value for key, value in _options(arguments).items() if value is not None}
    _next(_cluster(arguments).reset(**given))
    return 0


def _next(cluster: Cluster) -> None:
    """What to type now."""
    name = "" if cluster.name == layout.DEFAULT_NAME else f" --name {cluster.name}"
    plan = cluster.plan()
    print("\nType next:")
    if shutil.which("workshop") is None and os.path.basename(sys.argv[0]) == "workshop":
        print(f"    export PATH={os.path.dirname(os.path.abspath(sys.argv[0]))}:$PATH")
    for line in _next_lines(plan, name):
        print(f"    {line}")
    print(f"    workshop ps{name}    workshop logs{name} NAME    workshop down{name}")


def _next_lines(plan: Plan, name: str) -> list[str]:
    if not plan.has("kube-apiserver"):
        etcdctl = f"workshop etcdctl{name}"
        return [f"{etcdctl} put greeting hello", f"{etcdctl} get greeting"] if plan.has("etcd") else []
    kubectl = "kubectl" if shutil.which("kubectl") else f"workshop kubectl{name}"
    lines = [f"export KUBECONFIG=$(workshop kubeconfig{name})"] if kubectl == "kubectl" else []
    if not all(plan.has(program) for program in PROGRAMS) or not plan.nodes:
        return [*lines, f"{kubectl} get namespaces"]
    lines += [
        f"{kubectl} get nodes -o wide",
        f"{kubectl} create deployment web --image=nginx --replicas=3",
        f"{kubectl} expose deployment web --port=80",
    ]
    # in mode userns the addresses are inside the cluster's own network
    curl = f"workshop shell{name} curl" if plan.mode == "userns" else "curl"
    return [*lines, f"{curl} $(workshop url{name} web)"]


def down(arguments: argparse.Namespace) -> int:
    _cluster(arguments).down(purge=arguments.purge)
    print(f"cluster {arguments.name!r} is down" + (", its data removed" if arguments.purge else "; its data is kept"))
    return 0


def status(arguments: argparse.Namespace) -> int:
    cluster = _cluster(arguments)
    plan, rows = cluster.plan(), cluster.ps()
    running = [row["name"] for row in rows if row["state"] == "running"]
    missing = [c.name for c in plan.components if c.name not in running]
    memory = sum(row.get("memory") or 0 for row in rows)
    shift = _shift(plan.mode)
    state = observer.summary(plan, rows)
    data = {
        "name": plan.name,
        "state": state,
        "mode": plan.mode,
        "why": plan.why,
        "addresses": plan.addresses.range,
        "services": plan.addresses.services,
        "pods": plan.addresses.pods,
        "server": plan.addresses.api_server,
        "runtime": plan.runtime,
        "masters": plan.masters,
        "etcd leader": next(
            (
                name
                for name, leads in leaders(plan, cluster.layout, set(running)).items()
                if leads and name.startswith("etcd")
            ),
            None,
        ),
        "nodes": [{"name": node.name, "address": node.address, "namespace": node.namespace} for node in plan.nodes],
        "missing": missing,
        "memory": memory,
        "shiftedPorts": shift,
        "directory": plan.directory,
    }
    lines = [[f"{key}:", value if not isinstance(value, list) else ", ".join(_text(v) for v in value) or "none"]
             for key, value in data.items() if key != "memory"]  # fmt: skip
    show(arguments.output, data, ["CLUSTER", plan.name], [*lines, ["memory:", megabytes(memory)]])
    if arguments.output != "json":
        if shift:
            print(
                f"\nPorts below {shift} cannot be bound by you: they are shifted by 10,000, see `workshop url SERVICE`."
            )
        print("Names of Services do not resolve yet: use their addresses.")
        states = {str(row["name"]): str(row["state"]) for row in rows}
        print(_advice(plan.name, state, [f"{name} {states.get(name, 'stopped')}" for name in missing]), end="")
    return 0


def _advice(name: str, state: str, missing: list[str]) -> str:
    """What to do about it, as a line; "" when all is well."""
    up = f"`workshop up --name {name}`"
    if state == "down":
        return f"It is down: {up} brings it up again, with its data.\n"
    if state == "degraded":
        why = ", ".join(missing) or "no supervisor watches over it"
        return (
            f"Something is missing ({why}): {up} heals it; for what you stopped or paused there is `start`, `resume`.\n"
        )
    return ""


def _text(value: Any) -> str:
    return f"{value['name']} {value['address']}" if isinstance(value, dict) else str(value)


def _shift(mode: str) -> int | None:
    """The lowest port that may be bound, where that matters: mode plain without privileges."""
    if mode != "plain" or os.geteuid() == 0:
        return None
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", encoding="ascii") as file:
        return int(file.read()) or None


def list_(arguments: argparse.Namespace) -> int:
    rows = []
    for name in layout.names():
        cluster = Cluster(name)
        try:
            plan, state = cluster.plan_or_none(), cluster.state()
        except ClusterError:  # every other subcommand says what is wrong with it
            plan, state = None, "damaged"
        addresses = plan.addresses.range if plan else None
        rows.append({"name": name, "state": state, "mode": plan.mode if plan else None, "addresses": addresses})
    show(arguments.output, rows, ["NAME", "STATE", "MODE", "ADDRESSES"], [list(row.values()) for row in rows])
    return 0


def doctor(arguments: argparse.Namespace) -> int:
    from workshop.cluster.network import choose

    checks: list[dict[str, Any]] = []
    for mode in ("root", "userns", "plain"):
        found = choose.verdict(mode)
        checks.append({"check": f"mode {mode}", "ok": found.possible, "what": found.why})
    best = next((check["check"] for check in checks if check["ok"]), None)
    version = ".".join(map(str, sys.version_info[:3]))
    checks.insert(0, {"check": "python", "ok": sys.version_info >= (3, 11), "what": f"{version}, {sys.executable}"})
    checks.append({"check": "chosen", "ok": best is not None, "what": best or "no mode is possible"})
    wanted = {
        "kubectl": "https://kubernetes.io/docs/tasks/tools; until then `workshop kubectl` has a small one built in",
        "etcdctl": "Debian: apt install etcd-client",
        "nft": "Debian: apt install nftables (a later lab uses it)",
    }
    for tool, hint in wanted.items():
        path = os.environ.get(tool.upper()) or shutil.which(tool, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        checks.append({"check": tool, "ok": path is not None, "what": path or f"not found; {hint}"})
    from workshop.kubelet.runtimes import docker_engine

    ok, what = docker_engine.usable(docker_engine.endpoint_of("docker:"))
    checks.append({"check": "docker", "ok": ok, "what": what})
    home = layout.home()
    place = next(part for part in (home, *home.parents) if os.path.exists(part))
    writable = place.is_dir() and os.access(place, os.W_OK)
    room = shutil.disk_usage(place).free // 1_000_000 if writable else 0
    what = f"{home}, {room} MB free" if writable else f"{place} cannot be written: set WORKSHOP_HOME"
    if writable and room < ROOM:
        what += f"; {ROOM} MB are wanted: make room, or set WORKSHOP_HOME to another disk"
    checks.append({"check": "state directory", "ok": writable and room >= ROOM, "what": what})
    show(arguments.output, checks, ["CHECK", "OK", "WHAT"],
         [[c["check"], "yes" if c["ok"] else "no", c["what"]] for c in checks])  # fmt: skip
    return 0
