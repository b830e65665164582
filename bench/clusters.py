"""Two sorts of clusters with the same doors: ours, started by its command line, and the real binaries.

The real ones get the same certificates and, but for three, the same flags: our components carry the real names.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from workshop.cluster import blocks, complaints, kubeconfig, pki, plan, procfs
from workshop.cluster.layout import Layout
from workshop.cluster.ready import Waiter

ROOT = Path(__file__).resolve().parent.parent
REAL_FLAGS = {  # the real one takes no address of 127/8 for these
    "kube-apiserver": (
        "--advertise-address=192.0.2.1",
        "--endpoint-reconciler-type=none",
        "--service-cluster-ip-range=10.96.0.0/16",
    ),
    "kube-controller-manager": ("--cluster-cidr=10.97.0.0/16", "--service-cluster-ip-range=10.96.0.0/16"),
}
OWN_FLAGS = ("--allow-loopback-endpoints", "--hostname-override")
HOLLOW_PORT = 21000
PATIENCE = 240.0
"""Seconds for a real cluster to come up on a machine that has other things to do."""


class Ours:
    """`workshop up` and `workshop down` as a user types them, in a state directory that is gone afterwards."""

    title = "workshop"

    def __init__(self, *, nodes: int = 2, simulated: bool = False) -> None:
        self.nodes, self.simulated = nodes, simulated
        self.home = tempfile.mkdtemp(prefix="bench-")
        self.layout = Layout("bench", Path(self.home, "clusters", "bench"))

    def _workshop(self, *words: str) -> str:
        command = [sys.executable, "-m", "workshop", *words]
        environment = {**os.environ, "WORKSHOP_HOME": self.home, "PYTHONPATH": str(ROOT)}
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if result.returncode:
            raise SystemExit(f"{' '.join(words)}: {result.stdout}{result.stderr}")
        return result.stdout

    def up(self) -> float:
        """Seconds from the command to its end, when all nodes are Ready."""
        runtime = ["--runtime", "simulated", "--max-pods", "500"] if self.simulated else []
        begun = time.perf_counter()
        self._workshop("up", "--name", "bench", "--nodes", str(self.nodes), *runtime)
        return time.perf_counter() - begun

    def processes(self) -> dict[str, int]:
        """Pid by name: everything that `up` started, supervisor and zygote included."""
        rows = json.loads(self._workshop("ps", "--name", "bench", "-o", "json"))
        return {row["name"]: row["pid"] for row in rows if row["pid"]}

    @property
    def plan(self) -> plan.Plan:
        return plan.Plan.from_json(json.loads(self.layout.plan.read_text()))

    def down(self) -> None:
        self._workshop("down", "--name", "bench", "--purge")
        shutil.rmtree(self.home, ignore_errors=True)


class Real:
    """etcd, kube-apiserver, kube-controller-manager, kube-scheduler, and kubemark's hollow kubelets."""

    title = "real"

    def __init__(self, *, nodes: int = 2, simulated: bool = False, binaries: str = "") -> None:
        self.binaries = Path(binaries or os.environ["KUBE_BINARIES"])
        self.folder = tempfile.mkdtemp(prefix="bench-real-")
        self.layout = Layout("real", Path(self.folder))
        for part in ("pki/etcd", "kubeconfig", "logs"):
            (self.layout.root / part).mkdir(parents=True)
        block, self.lock = blocks.take(os.geteuid(), "bench-real", "plain")
        self.plan = plan.make("real", self.folder, mode="plain", block=block, nodes=nodes)
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    @staticmethod
    def available() -> bool:
        folder = Path(os.environ.get("KUBE_BINARIES", ""))
        names = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubemark")
        return bool(os.environ.get("KUBE_BINARIES")) and all((folder / name).exists() for name in names)

    def _etcd(self) -> str:
        return str(self.binaries / "etcd") if (self.binaries / "etcd").exists() else "etcd"

    def _start(self, name: str, command: list[str]) -> None:
        with open(self.layout.log(name), "wb") as log:
            self.running[name] = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)

    def up(self) -> float:
        begun = time.perf_counter()
        pki.issue(self.plan, self.layout.pki)
        kubeconfig.write_all(self.plan, self.layout)
        for component in self.plan.components:
            if component.node is None:
                program = self._etcd() if component.program == "etcd" else str(self.binaries / component.program)
                flags = [flag for flag in component.argv[1:] if not flag.startswith(OWN_FLAGS)]
                self._start(component.name, [program, *flags, *REAL_FLAGS.get(component.program, ())])
        for number, node in enumerate(self.plan.nodes):
            self._start(f"hollow-{node.name}", self._hollow(number, node.name))
        Waiter(self.plan, self.layout, PATIENCE, self._all_live).until_up()
        return time.perf_counter() - begun

    def _all_live(self) -> None:
        """A binary that ends is no reason to wait on. Raises SystemExit with its last words."""
        for name, process in self.running.items():
            if process.poll() is not None:
                words = complaints.last_words(self.layout.log(name))
                raise SystemExit(f"the real {name} ended with {process.returncode}: {words}")

    def _hollow(self, number: int, name: str) -> list[str]:
        port = HOLLOW_PORT + 16 * self.plan.block + number  # of its own, as the block is: benches may run side by side
        return [
            str(self.binaries / "kubemark"), "--morph=kubelet", f"--name={name}",
            f"--kubeconfig={self.layout.kubeconfig(f'kubelet-{name}')}", f"--kubelet-port={port}",
            f"--kubelet-read-only-port={port + 4000}", "--use-host-image-service=false",
            "--max-pods=500",
        ]  # fmt: skip

    def processes(self) -> dict[str, int]:
        return {name: process.pid for name, process in self.running.items()}

    def down(self) -> None:
        for process in reversed(self.running.values()):
            process.terminate()
        for process in self.running.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.lock.close()
        shutil.rmtree(self.folder, ignore_errors=True)


Either = Ours | Real


def memory(processes: dict[str, int]) -> dict[str, int]:
    """Proportional set size in bytes, by name."""
    return {name: procfs.proportional_set_size(pid) or 0 for name, pid in processes.items()}


def processor_seconds(processes: dict[str, int]) -> dict[str, float]:
    tick = os.sysconf("SC_CLK_TCK")
    found = {name: procfs.stat(pid) for name, pid in processes.items()}
    return {name: stat.ticks / tick for name, stat in found.items() if stat is not None}
