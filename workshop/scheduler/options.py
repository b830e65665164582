"""kube-scheduler's flags, and its configuration file. Upstream: `cmd/kube-scheduler/app/options`,
`staging/src/k8s.io/kube-scheduler/config/v1`.

A `KubeSchedulerConfiguration` gives profiles (`schedulerName`, `plugins.multiPoint|filter|score.disabled` and
`enabled` with weights), `leaderElection` and `clientConnection.kubeconfig`. Where a file is given it wins over the
flags, as upstream's does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from workshop import component
from workshop.api import codec


@dataclass(frozen=True)
class Profile:
    name: str = "default-scheduler"
    disabled: frozenset[str] = frozenset()
    weights: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Options:
    """Seconds where a time is meant; files are paths; "" for what was not given."""

    kubeconfig: str = ""
    bind_address: str = "0.0.0.0"
    secure_port: int = 10259
    tls_cert_file: str = ""
    tls_private_key_file: str = ""
    client_ca_file: str = ""
    leader_elect: bool = True
    lease_duration: float = 15.0
    renew_deadline: float = 10.0
    retry_period: float = 2.0
    resource_name: str = "kube-scheduler"
    resource_namespace: str = "kube-system"
    profiles: tuple[Profile, ...] = (Profile(),)
    verbosity: int = 0


# Flags that are read for the sake of stock manifests, and change nothing here.
ACCEPTED = (
    "authentication-kubeconfig", "authentication-skip-lookup", "authentication-token-webhook-cache-ttl",
    "authentication-tolerate-lookup-failure", "authorization-always-allow-paths", "authorization-kubeconfig",
    "authorization-webhook-cache-authorized-ttl", "authorization-webhook-cache-unauthorized-ttl", "cert-dir",
    "contention-profiling", "feature-gates", "http2-max-streams-per-connection", "kube-api-burst",
    "kube-api-content-type", "kube-api-qps", "leader-elect-resource-lock", "log-flush-frequency",
    "logging-format", "master", "permit-address-sharing", "permit-port-sharing",
    "pod-max-in-unschedulable-pods-duration", "profiling", "requestheader-allowed-names",
    "requestheader-client-ca-file", "requestheader-extra-headers-prefix", "requestheader-group-headers",
    "requestheader-uid-headers", "requestheader-username-headers", "show-hidden-metrics-for-version",
    "tls-cipher-suites", "tls-min-version", "tls-sni-cert-key", "vmodule",
)  # fmt: skip


def parser() -> component.FlagParser:
    o = Options()
    flags = component.FlagParser("kube-scheduler", "Assigns pods to nodes.")
    flags.add_argument("--kubeconfig", default="", help="how to reach the API server")
    flags.add_argument("--config", default="", help="a KubeSchedulerConfiguration")
    flags.add_argument("--bind-address", default=o.bind_address, help="where to serve health and metrics")
    flags.add_argument("--secure-port", type=int, default=o.secure_port, help="0 serves nothing")
    flags.add_argument("--tls-cert-file", default="", help="without it nothing is served")
    flags.add_argument("--tls-private-key-file", default="", help="")
    flags.add_argument("--client-ca-file", default="", help="whose certificates may read /metrics")
    flags.boolean("--leader-elect", o.leader_elect, "only one of several schedulers works")
    flags.duration(
        "--leader-elect-lease-duration", o.lease_duration, "others take over after so long without a renewal"
    )
    flags.duration("--leader-elect-renew-deadline", o.renew_deadline, "a leader that cannot renew for so long gives up")
    flags.duration("--leader-elect-retry-period", o.retry_period, "between tries")
    flags.add_argument("--leader-elect-resource-name", default=o.resource_name, help="name of the Lease")
    flags.add_argument("--leader-elect-resource-namespace", default=o.resource_namespace, help="its namespace")
    flags.add_argument("-v", "--v", dest="verbosity", type=int, default=0, help="log level")
    for name in ACCEPTED:
        flags.add_argument(f"--{name}", nargs="?", default=None, help="accepted, and without effect")
    return flags


def parse(argv: Sequence[str]) -> Options:
    """Raises SystemExit for flags that make no sense, OSError and ValueError for a file that does not."""
    given = parser().parse_args(argv)
    options = Options(
        kubeconfig=given.kubeconfig,
        bind_address=given.bind_address,
        secure_port=given.secure_port,
        tls_cert_file=given.tls_cert_file,
        tls_private_key_file=given.tls_private_key_file,
        client_ca_file=given.client_ca_file,
        leader_elect=given.leader_elect,
        lease_duration=given.leader_elect_lease_duration,
        renew_deadline=given.leader_elect_renew_deadline,
        retry_period=given.leader_elect_retry_period,
        resource_name=given.leader_elect_resource_name,
        resource_namespace=given.leader_elect_resource_namespace,
        verbosity=given.verbosity,
    )
    if not given.config:
        return options
    with open(given.config) as file:
        return configured(options, codec.load_yaml(file.read()))


def configured(options: Options, config: Any) -> Options:
    """Raises ValueError for what is no KubeSchedulerConfiguration."""
    if not isinstance(config, dict) or config.get("kind") != "KubeSchedulerConfiguration":
        raise ValueError("couldn't decode as KubeSchedulerConfiguration: no such kind in the file")
    election = config.get("leaderElection") or {}
    connection = config.get("clientConnection") or {}

    def seconds(name: str, default: float) -> float:
        return component.parse_duration(str(election[name])) if name in election else default

    return replace(
        options,
        kubeconfig=connection.get("kubeconfig") or options.kubeconfig,
        leader_elect=election.get("leaderElect", options.leader_elect),
        lease_duration=seconds("leaseDuration", options.lease_duration),
        renew_deadline=seconds("renewDeadline", options.renew_deadline),
        retry_period=seconds("retryPeriod", options.retry_period),
        resource_name=election.get("resourceName") or options.resource_name,
        resource_namespace=election.get("resourceNamespace") or options.resource_namespace,
        profiles=tuple(map(_profile, config.get("profiles") or ({},))),
    )


def _profile(config: Mapping[str, Any]) -> Profile:
    disabled: set[str] = set()
    weights: dict[str, int] = {}
    for point, sets in (config.get("plugins") or {}).items():
        off = {plugin["name"] for plugin in sets.get("disabled") or ()}
        on = {plugin["name"]: plugin.get("weight") for plugin in sets.get("enabled") or ()}
        if point == "score":  # a plugin may go on filtering
            weights |= dict.fromkeys(off, 0)
        else:
            disabled |= off - on.keys()
        weights |= {name: weight for name, weight in on.items() if weight}
    return Profile(config.get("schedulerName") or "default-scheduler", frozenset(disabled), weights)
