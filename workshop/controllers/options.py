"""kube-controller-manager's settings, and the flags that carry them. Upstream:
`cmd/kube-controller-manager/app/options`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from workshop import component


@dataclass(frozen=True)
class Options:
    """Seconds where a time is meant; files are paths; "" for what was not given."""

    kubeconfig: str = ""
    controllers: tuple[str, ...] = ("*",)
    bind_address: str = "0.0.0.0"
    secure_port: int = 10257
    tls_cert_file: str = ""
    tls_private_key_file: str = ""
    client_ca_file: str = ""
    leader_elect: bool = True
    leader_elect_lease_duration: float = 15.0
    leader_elect_renew_deadline: float = 10.0
    leader_elect_retry_period: float = 2.0
    leader_elect_resource_name: str = "kube-controller-manager"
    leader_elect_resource_namespace: str = "kube-system"
    use_service_account_credentials: bool = False
    allocate_node_cidrs: bool = False
    cluster_cidr: tuple[str, ...] = ()
    node_cidr_mask_size: int = 24
    node_cidr_mask_size_ipv6: int = 64
    service_cluster_ip_range: str = ""
    cluster_name: str = "kubernetes"
    root_ca_file: str = ""
    service_account_private_key_file: str = ""
    cluster_signing_cert_file: str = ""
    cluster_signing_key_file: str = ""
    cluster_signing_duration: float = 365 * 24 * 3600.0
    node_monitor_period: float = 5.0
    node_monitor_grace_period: float = 50.0
    node_startup_grace_period: float = 60.0
    node_eviction_rate: float = 0.1
    secondary_node_eviction_rate: float = 0.01
    large_cluster_size_threshold: int = 50
    unhealthy_zone_threshold: float = 0.55
    terminated_pod_gc_threshold: int = 12500
    max_endpoints_per_slice: int = 100
    concurrent: dict[str, int] = field(default_factory=dict)
    verbosity: int = 0

    def workers(self, name: str, default: int = 5) -> int:
        """`--concurrent-NAME-syncs`."""
        return self.concurrent.get(name, default)


CONCURRENT = {
    "cron-job": 5,
    "daemonset": 2,
    "deployment": 5,
    "endpoint": 5,
    "gc": 20,
    "horizontal-pod-autoscaler": 5,
    "job": 5,
    "namespace": 10,
    "rc": 5,
    "replicaset": 5,
    "resource-quota": 5,
    "service-endpoint": 5,
    "serviceaccount-token": 5,
    "statefulset": 5,
    "ttl-after-finished": 5,
    "validating-admission-policy-status": 5,
}

# Flags that are read for the sake of stock manifests, and change nothing here: (name, takes a value).
ACCEPTED = (
    "authentication-kubeconfig",
    "authorization-kubeconfig",
    "requestheader-client-ca-file",
    "requestheader-allowed-names",
    "requestheader-extra-headers-prefix",
    "requestheader-group-headers",
    "requestheader-username-headers",
    "authorization-always-allow-paths",
    "cert-dir",
    "cloud-provider",
    "configure-cloud-routes",
    "contention-profiling",
    "feature-gates",
    "flex-volume-plugin-dir",
    "kube-api-burst",
    "kube-api-content-type",
    "kube-api-qps",
    "leader-elect-resource-lock",
    "master",
    "min-resync-period",
    "node-cidr-mask-size-ipv4",
    "profiling",
    "pv-recycler-pod-template-filepath-hostpath",
    "pv-recycler-pod-template-filepath-nfs",
    "resource-quota-sync-period",
    "namespace-sync-period",
    "pvclaimbinder-sync-period",
    "tls-cipher-suites",
    "tls-min-version",
    "controller-start-interval",
)


def parser() -> component.FlagParser:
    flags = component.FlagParser("kube-controller-manager", "Runs the loops that make what is what was asked for.")
    o = Options()

    def text(name: str, default: str, help: str) -> None:
        flags.add_argument(f"--{name}", default=default, help=help)

    def number(name: str, default: int, help: str) -> None:
        flags.add_argument(f"--{name}", type=int, default=default, help=help)

    text("kubeconfig", "", "credentials for the API server")
    flags.strings("--controllers", "controllers to run: *, NAME, -NAME", o.controllers)
    text("bind-address", o.bind_address, "address to serve /healthz and /metrics on")
    number("secure-port", o.secure_port, "port to serve on; 0 serves nothing")
    text("tls-cert-file", "", "serving certificate")
    text("tls-private-key-file", "", "its key")
    text("client-ca-file", "", "authority of the certificates that clients may show")
    flags.boolean("--leader-elect", o.leader_elect, "work only while holding the lease")
    flags.duration("--leader-elect-lease-duration", o.leader_elect_lease_duration, "how long a lease is good")
    flags.duration("--leader-elect-renew-deadline", o.leader_elect_renew_deadline, "give up when not renewed by then")
    flags.duration("--leader-elect-retry-period", o.leader_elect_retry_period, "between two tries")
    text("leader-elect-resource-name", o.leader_elect_resource_name, "name of the lease")
    text("leader-elect-resource-namespace", o.leader_elect_resource_namespace, "its namespace")
    flags.boolean("--use-service-account-credentials", False, "each controller acts as a service account of its own")
    flags.boolean("--allocate-node-cidrs", False, "give each node a range of pod addresses")
    flags.strings("--cluster-cidr", "the range of all pods")
    number("node-cidr-mask-size", o.node_cidr_mask_size, "bits of a node's range")
    number("node-cidr-mask-size-ipv6", o.node_cidr_mask_size_ipv6, "bits of a node's IPv6 range")
    text("service-cluster-ip-range", "", "the range of Services, which no node may get")
    text("cluster-name", o.cluster_name, "the cluster's name")
    text("root-ca-file", "", "authority that pods are told to trust")
    text("service-account-private-key-file", "", "signs legacy tokens")
    text("cluster-signing-cert-file", "", "authority that signs certificate requests")
    text("cluster-signing-key-file", "", "its key")
    flags.duration("--cluster-signing-duration", o.cluster_signing_duration, "how long signed certificates are good")
    flags.duration("--node-monitor-period", o.node_monitor_period, "how often nodes are looked at")
    flags.duration("--node-monitor-grace-period", o.node_monitor_grace_period, "silence after which a node is Unknown")
    flags.duration("--node-startup-grace-period", o.node_startup_grace_period, "the same, of a new node")
    flags.add_argument("--node-eviction-rate", type=float, default=o.node_eviction_rate, help="nodes a second")
    flags.add_argument(
        "--secondary-node-eviction-rate",
        type=float,
        default=o.secondary_node_eviction_rate,
        help="in an unhealthy zone",
    )
    number("large-cluster-size-threshold", o.large_cluster_size_threshold, "below it, unhealthy zones are left alone")
    flags.add_argument(
        "--unhealthy-zone-threshold", type=float, default=o.unhealthy_zone_threshold, help="share of nodes not ready"
    )
    number("terminated-pod-gc-threshold", o.terminated_pod_gc_threshold, "finished pods that may stay")
    number("max-endpoints-per-slice", o.max_endpoints_per_slice, "addresses in one EndpointSlice")
    for name, default in CONCURRENT.items():
        number(f"concurrent-{name}-syncs", default, "workers of that controller")
    for name in ACCEPTED:
        flags.add_argument(f"--{name}", nargs="?", default="", help="accepted; changes nothing here")
    flags.add_argument("-v", "--v", type=int, default=0, dest="verbosity", help="log level")
    return flags


def parse(argv: Sequence[str]) -> Options:
    """Exits with status 1 and one line on stderr for a flag that is unknown or malformed."""
    flags = parser()
    given = vars(flags.parse_args(argv))
    concurrent = {name: given.pop(f"concurrent_{name.replace('-', '_')}_syncs") for name in CONCURRENT}
    for name in ACCEPTED:
        given.pop(name.replace("-", "_"))
    given["controllers"] = tuple(given["controllers"])
    given["cluster_cidr"] = tuple(given["cluster_cidr"])
    if given["allocate_node_cidrs"] and not given["cluster_cidr"]:
        flags.error("--allocate-node-cidrs needs --cluster-cidr")
    return Options(**given, concurrent=concurrent)
