"""PURE: which processes make up a cluster, each with the flags of the real component.

`make(...)` is kubeadm's part of static pod manifests: given a mode, a block of addresses, a number of nodes and a
choice of components it returns a `Plan`; the supervisor does what the plan says, and `cluster.json` is the plan as
JSON. Example, shortened:

    make("lab", "/state/lab", mode="plain", block=7, nodes=1).components[0].argv
    ('etcd', '--name=etcd-0', '--listen-client-urls=https://127.7.254.1:2379', …)

`addresses.py` says where everybody listens, `flags.py` what each program is told.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from workshop.cluster.addresses import Addresses, Node
from workshop.cluster.flags import Flags

CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
NODE_PROGRAMS = ("kubelet", "kube-proxy")
PROGRAMS = CONTROL_PLANE + NODE_PROGRAMS
MODULES = {
    "etcd": "workshop.etcd",
    "kube-apiserver": "workshop.apiserver",
    "kube-controller-manager": "workshop.controllers",
    "kube-scheduler": "workshop.scheduler",
    "kubelet": "workshop.kubelet",
    "kube-proxy": "workshop.proxy",
    "load-balancer": "workshop.cluster.balancer",
}
"""The package of each program; its `__main__.main(argv)` is what the zygote calls."""
MODES = ("root", "userns", "plain")
RUNTIMES = ("process", "docker", "simulated")
ASKED = "asked for"
"""How `why` begins where the mode was asked for."""
MAX_NODES = 200
MAX_MASTERS = 7
AUDIT_POLICY = """apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  nonResourceURLs: ["*"]
- level: Metadata
"""


@dataclass(frozen=True)
class Component:
    """One process: `name` is unique in the cluster, `program` is the real binary's name, `module` our package."""

    name: str
    program: str
    module: str
    argv: tuple[str, ...]
    node: str | None = None
    namespace: str | None = None
    listen: tuple[str, ...] = ()
    """Addresses of sockets that are opened in the host's network and handed over (LISTEN_FDS)."""

    @property
    def title(self) -> str:
        return " ".join(self.argv)


@dataclass(frozen=True)
class Plan:
    name: str
    directory: str
    mode: str
    why: str
    block: int
    runtime: str
    only: tuple[str, ...]
    nodes: tuple[Node, ...]
    components: tuple[Component, ...]
    masters: int = 1
    lab: bool = False
    """For a lab: learners may replace functions of its components, and etcd keeps an hour of history for the board."""

    @property
    def addresses(self) -> Addresses:
        return Addresses(self.mode, self.block, self.masters)

    @property
    def bridge(self) -> str:
        return f"ws{self.block}"

    def component(self, name: str) -> Component | None:
        return next((c for c in self.components if c.name == name), None)

    @property
    def docker(self) -> str:
        """The Docker Engine that holds the pods; "" when another runtime does."""
        flag = "--container-runtime-endpoint=docker:"
        return next((w.removeprefix(flag) for c in self.components for w in c.argv if w.startswith(flag)), "")

    @property
    def max_pods(self) -> int | None:
        """Pods that a node takes; None without a kubelet."""
        flag = "--max-pods="
        return next((int(w.removeprefix(flag)) for c in self.components for w in c.argv if w.startswith(flag)), None)

    @property
    def asked_for(self) -> bool:
        """Whether somebody asked for this mode; else it was the best that the system allowed."""
        return self.why.startswith(ASKED)

    def has(self, program: str) -> bool:
        return any(c.program == program for c in self.components)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Plan:
        nodes = tuple(Node(**node) for node in data["nodes"])
        components = tuple(
            Component(**{**c, "argv": tuple(c["argv"]), "listen": tuple(c["listen"])}) for c in data["components"]
        )
        return cls(**{**data, "only": tuple(data["only"]), "nodes": nodes, "components": components})


def _component(
    name: str,
    program: str,
    argv: tuple[str, ...],
    node: str | None = None,
    namespace: str | None = None,
    listen: tuple[str, ...] = (),
) -> Component:
    return Component(name, program, MODULES[program], argv, node, namespace, listen)


def make(
    name: str,
    directory: str,
    *,
    mode: str,
    block: int,
    why: str = "",
    nodes: int = 2,
    masters: int = 1,
    only: Sequence[str] = (),
    runtime: str = "process",
    runtime_endpoint: str = "",
    max_pods: int = 110,
    lab: bool = False,
) -> Plan:
    """The plan of a cluster. Raises ValueError in a sentence for a choice that cannot be.

    `runtime_endpoint`: what follows the runtime's name in the kubelets' flag, for docker its socket.
    """
    unknown = [part for part in only if part not in PROGRAMS]
    if unknown:
        raise ValueError(f"there is no component {unknown[0]!r}: choose among {', '.join(PROGRAMS)}")
    if not 0 <= nodes <= MAX_NODES:
        raise ValueError(f"a cluster has 0 to {MAX_NODES} nodes, not {nodes}")
    if not 1 <= masters <= MAX_MASTERS:
        raise ValueError(f"a cluster has 1 to {MAX_MASTERS} masters, not {masters}")
    if runtime not in RUNTIMES:
        raise ValueError(f"there is no runtime {runtime!r}: choose among {', '.join(RUNTIMES)}")
    if runtime == "docker" and mode == "userns":
        raise ValueError(
            "the Docker Engine's containers are outside the cluster's user namespace: choose mode root or plain"
        )
    where = Addresses(mode, block, masters)
    chosen = tuple(only) or PROGRAMS
    with_nodes = any(program in chosen for program in NODE_PROGRAMS)
    node_list = tuple(
        Node(f"node-{n}", where.node(n), None if mode == "plain" else f"ws{block}-node-{n}")
        for n in range(1, nodes + 1 if with_nodes else 1)
    )
    flags = Flags(directory, where, f"{runtime}:{runtime_endpoint}", max_pods, lab)
    components = [part for number in range(1, masters + 1) for part in _master(flags, number)]
    if masters > 1 and "kube-apiserver" in chosen:
        components.append(_balancer(flags))
    for node in node_list:
        components.append(_component(f"kubelet-{node.name}", "kubelet", flags.kubelet(node), node.name, node.namespace))
    for node in node_list:
        proxy = flags.kube_proxy(node)
        components.append(_component(f"kube-proxy-{node.name}", "kube-proxy", proxy, node.name, node.namespace))
    return Plan(
        name=name,
        directory=directory,
        mode=mode,
        why=why,
        block=block,
        runtime=runtime,
        only=tuple(only),
        nodes=node_list,
        components=tuple(c for c in components if c.program in (*chosen, "load-balancer")),
        masters=masters,
        lab=lab,
    )


def salvaged(name: str, directory: str, text: str, nodes: int) -> Plan | None:
    """PURE: enough of a plan to take a cluster away, from what is left of `cluster.json` and `admin.conf`; None when
    neither tells its addresses.

    >>> found = salvaged("lab", "/lab", 'clusters: [{cluster: {server: "https://10.7.254.1:6443"}}]', nodes=2)
    >>> (found.mode, found.bridge, [node.namespace for node in found.nodes])
    ('root', 'ws7', ['ws7-node-1', 'ws7-node-2'])
    """
    mode, block = re.search(r'"mode": "(root|userns|plain)"', text), re.search(r'"block": (\d+)', text)
    server = re.search(r"https://(10|127)\.(\d+)\.254\.", text)
    if not (mode and block) and not server:
        return None
    docker = re.search(r'--container-runtime-endpoint=docker:([^"\s]*)', text)
    chosen = mode[1] if mode else "root" if server and server[1] == "10" else "plain"
    number = int(block[1] if block else server[2] if server else 0)
    runtime, engine = ("docker", docker[1]) if docker and chosen != "userns" else ("process", "")
    nodes = min(nodes, MAX_NODES)
    return make(name, directory, mode=chosen, block=number, nodes=nodes, runtime=runtime, runtime_endpoint=engine)


def _master(flags: Flags, number: int) -> list[Component]:
    """The control plane's programs of one master. A sole one has no name, and its programs their own."""
    at, alone = flags.at, flags.at.masters == 1
    node, tail = (None, "") if alone else (f"master-{number}", f"-master-{number}")
    listen = (f"{at.outside}:6443",) if at.mode == "userns" and alone else ()
    return [
        _component(f"etcd{tail}", "etcd", flags.etcd(number), node),
        _component(f"kube-apiserver{tail}", "kube-apiserver", flags.kube_apiserver(number), node, listen=listen),
        _component(
            f"kube-controller-manager{tail}", "kube-controller-manager", flags.kube_controller_manager(number), node
        ),
        _component(f"kube-scheduler{tail}", "kube-scheduler", flags.kube_scheduler(number), node),
    ]


def _balancer(flags: Flags) -> Component:
    at = flags.at
    argv = (
        "load-balancer",
        f"--listen={at.front}:6443",
        f"--backends={','.join(f'{address}:6443' for address in at.control_planes)}",
    )
    listen = (f"{at.outside}:6443",) if at.mode == "userns" else ()
    return _component("load-balancer", "load-balancer", argv, listen=listen)
