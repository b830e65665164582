"""PURE: which processes make up a cluster, each with the flags of the real component.

`make(...)` is kubeadm's part of static pod manifests: given a mode, a block of addresses, a number of nodes and a
choice of components it returns a `Plan`; the supervisor does what the plan says, and `cluster.json` is the plan as
JSON. Example, shortened:

    make("lab", "/state/lab", mode="plain", block=7, nodes=1).components[0].argv
    ('etcd', '--name=etcd-0', '--listen-client-urls=https://127.7.254.1:2379', …)

Addresses of `P.k.0.0/16` (P is 127 in mode plain, else 10):

    P.k.254.m        master m (1 to 7)          P.k.0.0/17     pods, a /24 a node
    P.k.254.10       the load balancer, where there are several masters
    P.k.254.(10+n)   node n                     P.k.128.0/18   Services
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

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
ISSUER = "https://kubernetes.default.svc.cluster.local"


@dataclass(frozen=True)
class Addresses:
    """The addresses of one cluster: where everybody listens."""

    mode: str
    block: int
    masters: int = 1

    @property
    def prefix(self) -> str:
        return f"{127 if self.mode == 'plain' else 10}.{self.block}"

    @property
    def range(self) -> str:
        return f"{self.prefix}.0.0/16"

    @property
    def control_plane(self) -> str:
        """The first master, and the host's end of the bridge."""
        return self.master(1)

    def master(self, number: int) -> str:
        return f"{self.prefix}.254.{number}"

    @property
    def control_planes(self) -> tuple[str, ...]:
        return tuple(self.master(number) for number in range(1, self.masters + 1))

    @property
    def front(self) -> str:
        """Where API servers are reached: with several masters the load balancer, else the only one."""
        return self.control_plane if self.masters == 1 else f"{self.prefix}.254.10"

    @property
    def outside(self) -> str:
        """Where the host reaches the API servers: in mode userns through a socket opened before."""
        return f"127.{self.block}.254.1" if self.mode == "userns" else self.front

    def node(self, number: int) -> str:
        return f"{self.prefix}.254.{10 + number}"

    @property
    def pods(self) -> str:
        return f"{self.prefix}.0.0/17"

    @property
    def services(self) -> str:
        return f"{self.prefix}.128.0/18"

    @property
    def kubernetes_service(self) -> str:
        return f"{self.prefix}.128.1"

    @property
    def dns_service(self) -> str:
        return f"{self.prefix}.128.10"

    @property
    def api_server(self) -> str:
        return f"https://{self.outside}:6443"


@dataclass(frozen=True)
class Node:
    name: str
    address: str
    namespace: str | None
    """Name of the node's network namespace, as `ip netns` shows it; None in mode plain."""


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
    flags = _Flags(directory, where, f"{runtime}:{runtime_endpoint}", max_pods, lab)
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


def _master(flags: _Flags, number: int) -> list[Component]:
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


def _balancer(flags: _Flags) -> Component:
    at = flags.at
    argv = (
        "load-balancer",
        f"--listen={at.front}:6443",
        f"--backends={','.join(f'{address}:6443' for address in at.control_planes)}",
    )
    listen = (f"{at.outside}:6443",) if at.mode == "userns" else ()
    return _component("load-balancer", "load-balancer", argv, listen=listen)


@dataclass(frozen=True)
class _Flags:
    """The flags of each program, in the order of kubeadm's manifests."""

    directory: str
    at: Addresses
    endpoint: str
    max_pods: int
    lab: bool = False

    def pki(self, file: str) -> str:
        return f"{self.directory}/pki/{file}"

    def kubeconfig(self, who: str) -> str:
        return f"{self.directory}/kubeconfig/{who}.conf"

    def etcd(self, master: int) -> tuple[str, ...]:
        at = self.at.master(master)
        client, peer = f"https://{at}:2379", f"https://{at}:2380"
        alone = self.at.masters == 1
        names = {1: "etcd-0"} if alone else {n: f"master-{n}" for n in range(1, self.at.masters + 1)}
        cluster = ",".join(f"{name}=https://{self.at.master(n)}:2380" for n, name in names.items())
        return (
            "etcd",
            f"--name={names[master]}",
            f"--data-dir={self.directory}/etcd" + ("" if alone else f"/{names[master]}"),
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster={cluster}",
            "--initial-cluster-state=new",
            f"--cert-file={self.pki('etcd/server.crt')}",
            f"--key-file={self.pki('etcd/server.key')}",
            "--client-cert-auth=true",
            f"--trusted-ca-file={self.pki('etcd/ca.crt')}",
            f"--peer-cert-file={self.pki('etcd/peer.crt')}",
            f"--peer-key-file={self.pki('etcd/peer.key')}",
            "--peer-client-cert-auth=true",
            f"--peer-trusted-ca-file={self.pki('etcd/ca.crt')}",
        )

    def kube_apiserver(self, master: int) -> tuple[str, ...]:
        here = self.at.master(master)
        # The own member first; while it is away, another one.
        members = [here, *(address for address in self.at.control_planes if address != here)]
        return (
            "kube-apiserver",
            f"--advertise-address={here}",
            f"--bind-address={here}",
            "--secure-port=6443",
            "--allow-privileged=true",
            "--authorization-mode=Node,RBAC",
            f"--client-ca-file={self.pki('ca.crt')}",
            "--enable-admission-plugins=NodeRestriction",
            f"--etcd-servers={','.join(f'https://{address}:2379' for address in members)}",
            f"--etcd-cafile={self.pki('etcd/ca.crt')}",
            f"--etcd-certfile={self.pki('apiserver-etcd-client.crt')}",
            f"--etcd-keyfile={self.pki('apiserver-etcd-client.key')}",
            "--storage-media-type=application/json",
            f"--kubelet-certificate-authority={self.pki('ca.crt')}",
            f"--kubelet-client-certificate={self.pki('apiserver-kubelet-client.crt')}",
            f"--kubelet-client-key={self.pki('apiserver-kubelet-client.key')}",
            "--kubelet-preferred-address-types=InternalIP,Hostname",
            f"--proxy-client-cert-file={self.pki('front-proxy-client.crt')}",
            f"--proxy-client-key-file={self.pki('front-proxy-client.key')}",
            "--requestheader-allowed-names=front-proxy-client",
            f"--requestheader-client-ca-file={self.pki('front-proxy-ca.crt')}",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-username-headers=X-Remote-User",
            f"--service-account-issuer={ISSUER}",
            f"--service-account-key-file={self.pki('sa.pub')}",
            f"--service-account-signing-key-file={self.pki('sa.key')}",
            f"--service-cluster-ip-range={self.at.services}",
            f"--tls-cert-file={self.pki('apiserver.crt')}",
            f"--tls-private-key-file={self.pki('apiserver.key')}",
            *(["--etcd-compaction-interval=1h"] if self.lab else []),
            *([f"--hostname-override=master-{master}"] if len(self.at.control_planes) > 1 else []),
            *(self._audit() if self.lab else ()),
            *(["--allow-loopback-endpoints=true"] if self.at.mode == "plain" else []),
        )

    def _audit(self) -> tuple[str, ...]:
        """A lab reads off the audit log who watches what and who wrote what."""
        return (
            f"--audit-policy-file={self.directory}/audit-policy.yaml",
            f"--audit-log-path={self.directory}/logs/audit.log",
            "--audit-log-maxsize=20",
            "--audit-log-maxbackup=1",
        )

    def on_master(self, who: str, master: int) -> str:
        """The kubeconfig of a program of one master, which calls the API server beside it."""
        return self.kubeconfig(who if self.at.masters == 1 else f"{who}-master-{master}")

    def kube_controller_manager(self, master: int) -> tuple[str, ...]:
        conf = self.on_master("controller-manager", master)
        return (
            "kube-controller-manager",
            f"--kubeconfig={conf}",
            f"--authentication-kubeconfig={conf}",
            f"--authorization-kubeconfig={conf}",
            f"--bind-address={self.at.master(master)}",
            "--secure-port=10257",
            "--allocate-node-cidrs=true",
            f"--cluster-cidr={self.at.pods}",
            "--node-cidr-mask-size=24",
            f"--service-cluster-ip-range={self.at.services}",
            "--cluster-name=kubernetes",
            f"--client-ca-file={self.pki('ca.crt')}",
            f"--cluster-signing-cert-file={self.pki('ca.crt')}",
            f"--cluster-signing-key-file={self.pki('ca.key')}",
            "--controllers=*",
            "--leader-elect=true",
            f"--requestheader-client-ca-file={self.pki('front-proxy-ca.crt')}",
            f"--root-ca-file={self.pki('ca.crt')}",
            f"--service-account-private-key-file={self.pki('sa.key')}",
            f"--tls-cert-file={self.pki('controller-manager.crt')}",
            f"--tls-private-key-file={self.pki('controller-manager.key')}",
            "--use-service-account-credentials=true",
        )

    def kube_scheduler(self, master: int) -> tuple[str, ...]:
        conf = self.on_master("scheduler", master)
        return (
            "kube-scheduler",
            f"--kubeconfig={conf}",
            f"--authentication-kubeconfig={conf}",
            f"--authorization-kubeconfig={conf}",
            f"--bind-address={self.at.master(master)}",
            "--secure-port=10259",
            f"--client-ca-file={self.pki('ca.crt')}",
            "--leader-elect=true",
            f"--tls-cert-file={self.pki('scheduler.crt')}",
            f"--tls-private-key-file={self.pki('scheduler.key')}",
        )

    def kubelet(self, node: Node) -> tuple[str, ...]:
        return (
            "kubelet",
            f"--kubeconfig={self.kubeconfig(f'kubelet-{node.name}')}",
            f"--hostname-override={node.name}",
            f"--node-ip={node.address}",
            f"--address={node.address}",
            "--port=10250",
            f"--healthz-bind-address={node.address}",
            "--healthz-port=10248",
            f"--root-dir={self.directory}/nodes/{node.name}",
            f"--cni-conf-dir={self.directory}/nodes/{node.name}/cni",
            f"--container-runtime-endpoint={self.endpoint}",
            f"--max-pods={self.max_pods}",
            f"--client-ca-file={self.pki('ca.crt')}",
            f"--tls-cert-file={self.pki(f'kubelet-{node.name}.crt')}",
            f"--tls-private-key-file={self.pki(f'kubelet-{node.name}.key')}",
            "--cluster-domain=cluster.local",
            f"--cluster-dns={self.at.dns_service}",
            "--register-node=true",
        )

    def kube_proxy(self, node: Node) -> tuple[str, ...]:
        return (
            "kube-proxy",
            f"--kubeconfig={self.kubeconfig('proxy')}",
            f"--hostname-override={node.name}",
            f"--bind-address={node.address}",
            "--proxy-mode=userspace",
            f"--cluster-cidr={self.at.pods}",
            f"--healthz-bind-address={node.address}:10256",
            f"--metrics-bind-address={node.address}:10249",
        )
