"""`python -m workshop.cluster.network.holder PLAN [--join PID]`: makes the network, then only holds it.

It holds the lock on the address block (a socket inherited from whoever started it) and, in mode userns, the
namespaces. When the network stands it writes `ok` to stdout and becomes `sleep infinity`, the smallest process
there is. `--join` enters the namespaces of a living component instead of making new ones.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from workshop.cluster.network import choose, linux, topology
from workshop.cluster.plan import Plan


def build(plan: Plan) -> None:
    """Make the network of `plan` in the namespaces of this process. What is there already stays."""
    ip = choose.ip_command()
    if ip is None:
        raise OSError("the `ip` command is missing: install iproute2")
    if Path(f"/sys/class/net/{plan.bridge}").exists() and plan.mode == "root":
        remove(plan)
    _batch([ip, "-batch", "-"], topology.host_commands(plan))
    for node in plan.nodes:
        assert node.namespace is not None
        _batch([ip, "-n", node.namespace, "-batch", "-"], topology.node_commands(plan, node))
        _settings(node.namespace)


def remove(plan: Plan) -> None:
    """Undo `build` on the host (mode root). Namespaces of the cluster carry its bridge's name as prefix."""
    ip = choose.ip_command()
    if ip is None:
        return
    folder = Path("/run/netns")
    names = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    ours = [name for name in names if name.startswith(f"{plan.bridge}-")]
    lines = topology.removal(plan, ours)
    subprocess.run([ip, "-force", "-batch", "-"], input="\n".join(lines), text=True, capture_output=True, check=False)


def _batch(argv: list[str], lines: list[str]) -> None:
    result = subprocess.run(argv, input="\n".join(lines) + "\n", text=True, capture_output=True, check=False)
    if result.returncode:
        said = " ".join(result.stderr.split()) or f"{argv[0]} failed"
        raise OSError(f"making the network failed: {said}")


def _settings(namespace: str) -> None:
    """Kernel settings of a node's namespace, written by a child that enters it."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            linux.setns(f"/run/netns/{namespace}", linux.CLONE_NEWNET)
            for key, value in topology.NODE_SETTINGS.items():
                Path("/proc/sys", key).write_text(value, encoding="ascii")
            status = 0
        finally:
            os._exit(status)
    if os.waitpid(child, 0)[1]:
        raise OSError(f"the kernel settings of namespace {namespace} cannot be written")


def main(argv: list[str]) -> int:
    plan = Plan.from_json(json.loads(Path(argv[0]).read_text(encoding="utf-8")))
    try:
        joins = "--join" in argv
        if plan.mode == "userns" and joins:  # in the other modes the network is the host's, or has names there
            linux.join(int(argv[argv.index("--join") + 1]))
        elif plan.mode == "userns":
            linux.enter_new_user_namespace()
        if plan.mode != "plain" and not joins:
            build(plan)
    except OSError as error:
        sys.stdout.write(f"{error}\n")
        return 1
    sys.stdout.write("ok\n")
    sys.stdout.flush()
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1):
        os.dup2(null, number)
    sleep = shutil.which("sleep")
    if sleep and os.path.basename(os.path.realpath(sleep)) == "sleep":
        os.execv(sleep, [f"workshop-holder-{plan.name}", "infinity"])
    signal.pause()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
