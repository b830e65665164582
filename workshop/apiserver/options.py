"""kube-apiserver's flags, under their real names. Upstream: cmd/kube-apiserver/app/options.

Two flags are ours: `--allow-loopback-endpoints`, for clusters whose pods live in 127/8 (mode plain), and
`--hostname-override`, as kubelet has it, for several masters on one machine. Flags of upstream that this server has no
use for are accepted.
"""

from __future__ import annotations

import argparse
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workshop.apiserver import security
from workshop.apiserver.authentication import oidc_flags
from workshop.component import FlagParser

# Accepted, so that a real server's command line runs here: their effect belongs to what is not built, or is always so.
# fmt: off
WITHOUT_EFFECT = (
    "admission-control", "aggregator-reject-forwarding-redirect", "allow-metric-labels", "allow-metric-labels-manifest",
    "apiserver-count", "cert-dir", "contention-profiling", "coordinated-leadership-lease-duration",
    "coordinated-leadership-renew-deadline", "coordinated-leadership-retry-period", "debug-socket-path",
    "default-watch-cache-size", "delete-collection-workers", "disable-http2-serving", "disabled-metrics",
    "emulated-version", "emulation-forward-compatible", "enable-garbage-collector", "enable-logs-handler",
    "etcd-count-metric-poll-period", "etcd-db-metric-poll-interval", "etcd-healthcheck-timeout",
    "etcd-readycheck-timeout", "external-hostname", "feature-gates", "goaway-chance",
    "http2-max-streams-per-connection", "kubelet-port", "kubelet-preferred-address-types", "kubelet-read-only-port",
    "kubelet-timeout", "kubernetes-service-node-port", "lease-reuse-duration-seconds", "livez-grace-period",
    "log-flush-frequency", "log-json-info-buffer-size", "log-json-split-stream", "log-text-info-buffer-size",
    "log-text-split-stream", "logging-format", "max-connection-bytes-per-sec", "min-compatibility-version",
    "peer-advertise-ip", "peer-advertise-port", "peer-ca-file", "permit-address-sharing", "permit-port-sharing",
    "profiling", "runtime-config-emulation-forward-compatible", "send-retry-after-while-not-ready-once",
    "service-account-lookup", "show-hidden-metrics-for-version", "shutdown-send-retry-after",
    "shutdown-watch-termination-grace-period", "storage-backend", "storage-initialization-timeout",
    "storage-media-type", "tls-curve-preferences", "tracing-config-file", "vmodule", "watch-cache", "watch-cache-sizes",
)
# What would be another server, or a less safe one, if it were taken and had no effect.
REFUSED = (
    "authorization-policy-file", "egress-selector-config-file", "etcd-servers-overrides",
    "service-account-signing-endpoint",
)
# fmt: on


AUDIT_MODES = ("batch", "blocking", "blocking-strict")


@dataclass(frozen=True)
class Options:
    """What `run` needs. Durations are in seconds, files are paths, "" where a flag was not given."""

    flags: argparse.Namespace
    security: security.Options
    shown: Mapping[str, str]
    """All flags as `/flagz` tells them."""

    @property
    def etcd_servers(self) -> list[str]:
        servers: list[str] = self.flags.etcd_servers
        return servers


def parser() -> FlagParser:
    p = FlagParser("kube-apiserver", "The Kubernetes API server validates and serves the objects of the API.")
    p.strings("--etcd-servers", "etcd servers to connect with (scheme://ip:port), comma separated")
    p.add_argument("--etcd-cafile", default="", help="certificate authority of etcd")
    p.add_argument("--etcd-certfile", default="", help="client certificate for etcd")
    p.add_argument("--etcd-keyfile", default="", help="key of that certificate")
    p.add_argument("--etcd-prefix", default="/registry", help="prefix of all keys in etcd")
    p.duration("--etcd-compaction-interval", 300.0, "interval of compaction requests; 0 turns them off")
    p.duration("--event-ttl", 3600.0, "how long events are kept")
    p.add_argument("--bind-address", default="0.0.0.0", help="address to listen on")
    p.add_argument("--advertise-address", default="", help="address by which members of the cluster reach this server")
    p.add_argument("--endpoint-reconciler-type", default="lease", help="who keeps default/kubernetes: lease or none")
    p.add_argument("--secure-port", type=int, default=6443, help="port to serve HTTPS on")
    p.add_argument("--tls-cert-file", default="", help="certificate for HTTPS")
    p.add_argument("--tls-private-key-file", default="", help="its key")
    p.add_argument("--tls-sni-cert-key", action="append", default=[], help="cert,key[:name,…] for other names")
    p.add_argument("--tls-min-version", default="", help="VersionTLS12 or VersionTLS13")
    p.strings("--tls-cipher-suites", "cipher suites of TLS 1.2, by their names of IANA")
    p.strings("--strict-transport-security-directives", "what the header Strict-Transport-Security says")
    p.strings("--cors-allowed-origins", "regular expressions of origins whose pages may ask from a browser")
    p.strings("--runtime-config", "which versions and resources are served: apps/v1=false, api/beta=false")
    p.duration("--shutdown-delay-duration", 0.0, "serve on for so long after the signal, no longer ready")
    p.add_argument("--client-ca-file", default="", help="authority of client certificates")
    p.boolean("--anonymous-auth", True, "allow requests without credentials as system:anonymous")
    p.add_argument("--authentication-config", default="", help="issuers of JSON Web Tokens; where anonymous is allowed")
    p.add_argument("--oidc-issuer-url", default="", help="issuer of JSON Web Tokens that is trusted")
    p.add_argument("--oidc-client-id", default="", help="audience that its tokens must be for")
    p.add_argument("--oidc-ca-file", default="", help="authority of its certificate")
    p.add_argument("--oidc-username-claim", default="sub", help="claim that names the user")
    p.add_argument("--oidc-username-prefix", default="", help="what is put before it; - for nothing")
    p.add_argument("--oidc-groups-claim", default="", help="claim that names the groups")
    p.add_argument("--oidc-groups-prefix", default="", help="what is put before each")
    p.strings("--oidc-signing-algs", "accepted algorithms; what a key is made for counts here", ["RS256"])
    p.add_argument("--oidc-required-claim", action="append", default=[], help="key=value that a token must have")
    p.add_argument("--authentication-token-webhook-config-file", default="", help="kubeconfig of who knows tokens")
    p.add_argument("--authentication-token-webhook-version", default="v1beta1", help="version of its reviews")
    p.duration("--authentication-token-webhook-cache-ttl", 120.0, "how long its answers are kept")
    p.add_argument("--token-auth-file", default="", help="file of static bearer tokens")
    p.boolean("--enable-bootstrap-token-auth", False, "accept tokens of Secrets bootstrap.kubernetes.io/token")
    p.strings("--service-account-issuer", "issuer of service account tokens; the first one signs")
    p.strings("--service-account-key-file", "public keys by which such tokens are verified")
    p.add_argument("--service-account-signing-key-file", default="", help="private key that signs them")
    p.duration("--service-account-max-token-expiration", 0.0, "longest life of a token")
    p.boolean("--service-account-extend-token-expiration", True, "let tokens of pods live longer")
    p.add_argument("--service-account-jwks-uri", default="", help="where the public keys are told")
    p.strings("--api-audiences", "audiences of the API; the issuer by default")
    p.add_argument("--requestheader-client-ca-file", default="", help="authority of front proxies")
    p.strings("--requestheader-allowed-names", "common names of front proxies")
    p.strings("--requestheader-username-headers", "headers that carry the user", ["X-Remote-User"])
    p.strings("--requestheader-uid-headers", "headers that carry the uid")
    p.strings("--requestheader-group-headers", "headers that carry groups", ["X-Remote-Group"])
    p.strings("--requestheader-extra-headers-prefix", "prefixes of headers with extra data", ["X-Remote-Extra-"])
    p.add_argument("--proxy-client-cert-file", default="", help="certificate shown to servers behind APIServices")
    p.add_argument("--proxy-client-key-file", default="", help="its key")
    p.boolean("--enable-aggregator-routing", False, "ask servers behind Services at their endpoints")
    p.strings("--authorization-mode", "Node, RBAC, Webhook, AlwaysAllow, AlwaysDeny in order", ["AlwaysAllow"])
    p.add_argument("--authorization-config", default="", help="authorizers in order, in the place of that flag")
    p.add_argument("--authorization-webhook-config-file", default="", help="kubeconfig of the webhook of that mode")
    p.add_argument("--authorization-webhook-version", default="v1beta1", help="version of the reviews that it gets")
    p.duration("--authorization-webhook-cache-authorized-ttl", 300.0, "how long its allowances are kept")
    p.duration("--authorization-webhook-cache-unauthorized-ttl", 30.0, "how long its other answers are kept")
    p.strings("--enable-admission-plugins", "plugins beside the default ones")
    p.strings("--disable-admission-plugins", "plugins to leave out")
    p.add_argument("--admission-control-config-file", default="", help="settings of plugins (PodSecurity)")
    p.add_argument("--default-not-ready-toleration-seconds", type=int, default=300, help="of pods that say nothing")
    p.add_argument("--default-unreachable-toleration-seconds", type=int, default=300, help="the same")
    p.strings("--service-cluster-ip-range", "ranges of Service addresses", ["10.0.0.0/24"])
    p.add_argument("--service-node-port-range", default="30000-32767", help="ports for NodePort Services")
    p.add_argument("--kubelet-client-certificate", default="", help="certificate shown to kubelets")
    p.add_argument("--kubelet-client-key", default="", help="its key")
    p.add_argument("--kubelet-certificate-authority", default="", help="authority of kubelets' certificates")
    p.boolean("--allow-privileged", False, "allow privileged containers")
    p.add_argument("--min-request-timeout", type=int, default=1800, help="shortest watch, in seconds")
    p.duration(
        "--request-timeout", 60.0, "how long a request may take; a quarter of it may be spent waiting for a seat"
    )
    p.add_argument("--max-requests-inflight", type=int, default=400, help="seats for requests, with the next flag")
    p.add_argument("--max-mutating-requests-inflight", type=int, default=200, help="seats that are added to these")
    p.boolean("--enable-priority-and-fairness", True, "serve requests by priority levels and fairly")
    p.add_argument("--encryption-provider-config", default="", help="which resources are encrypted in etcd, and how")
    p.boolean("--encryption-provider-config-automatic-reload", False, "take that file again when it has changed")
    p.add_argument("--audit-policy-file", default="", help="which requests are recorded, and how much of each")
    p.add_argument("--audit-log-path", default="", help="file of audit records; - is standard output")
    p.add_argument("--audit-log-format", default="json", help="json or legacy")
    p.add_argument("--audit-log-maxage", type=int, default=366, help="days to keep old files; 0: no limit")
    p.add_argument("--audit-log-maxbackup", type=int, default=100, help="old files to keep; 0: no limit")
    p.add_argument("--audit-log-maxsize", type=int, default=100, help="megabytes of a file; 0: no limit")
    p.boolean("--audit-log-compress", False, "old files are packed by gzip")
    p.add_argument("--audit-log-mode", default="blocking", help="blocking, blocking-strict or batch")
    p.add_argument("--audit-webhook-config-file", default="", help="kubeconfig of a webhook that gets the records")
    p.add_argument("--audit-webhook-mode", default="batch", help="batch, blocking or blocking-strict")
    p.duration("--audit-webhook-initial-backoff", 10.0, "pause before a batch is sent again")
    for name, size in (("log", 1), ("webhook", 400)):
        p.add_argument(f"--audit-{name}-batch-buffer-size", type=int, default=10_000, help="records that may wait")
        p.add_argument(f"--audit-{name}-batch-max-size", type=int, default=size, help="records of a batch")
        p.duration(f"--audit-{name}-batch-max-wait", 30.0 if name == "webhook" else 0.0, "how long a record waits")
        p.boolean(f"--audit-{name}-batch-throttle-enable", name == "webhook", "whether batches are throttled")
        p.add_argument(f"--audit-{name}-batch-throttle-qps", type=float, default=10.0, help="batches a second")
        p.add_argument(f"--audit-{name}-batch-throttle-burst", type=int, default=15, help="batches at once")
        p.boolean(f"--audit-{name}-truncate-enabled", False, "shorten records that are too long")
        p.add_argument(f"--audit-{name}-truncate-max-event-size", type=int, default=100 << 10, help="bytes of a record")
        p.add_argument(f"--audit-{name}-truncate-max-batch-size", type=int, default=10 << 20, help="bytes of a batch")
        p.add_argument(f"--audit-{name}-version", default="audit.k8s.io/v1", help="version of the records")
    p.add_argument(
        "--hostname-override", default="", help="ours: this machine's name; several servers share a machine here"
    )
    p.boolean("--allow-loopback-endpoints", False, "ours: endpoints may lie in 127/8 (a cluster in mode plain)")
    p.add_argument("-v", "--v", type=int, default=0, help="log verbosity")
    p.add_argument("--version", nargs="?", const="true", default="false", help="print the version and exit")
    for name in REFUSED:
        p.add_argument(f"--{name}", default="", help=argparse.SUPPRESS)
    for name in WITHOUT_EFFECT:
        p.add_argument(f"--{name}", nargs="?", default=None, help="accepted, without effect here")
    return p


def _audit_problem(flags: argparse.Namespace, name: str) -> str:
    def flag(what: str) -> Any:
        return getattr(flags, f"audit_{name}_{what}")

    if (mode := flag("mode")) not in AUDIT_MODES:
        return f'invalid audit {name} mode {mode}, allowed modes are "{",".join(AUDIT_MODES)}"'
    if flag("version") != "audit.k8s.io/v1":
        return "invalid group version, allowed versions are [{audit.k8s.io v1}]"
    if mode == "batch":
        positive = {"buffer size": "batch_buffer_size", "max batch size": "batch_max_size"}
        if flag("batch_throttle_enable"):
            positive |= {"throttle QPS": "batch_throttle_qps", "throttle burst": "batch_throttle_burst"}
        for what, named in positive.items():
            if (value := flag(named)) <= 0:
                return f"invalid audit batch {name} {what} {value:g}, must be a positive number"
    if flag("truncate_enabled"):
        event, batch = flag("truncate_max_event_size"), flag("truncate_max_batch_size")
        if event <= 0:
            return f"invalid audit truncate {name} max event size {event}, must be a positive number"
        if batch < event:
            return (
                f"invalid audit truncate {name} max batch size {batch}, must be greater than max event size ({event})"
            )
    return ""


def _text(p: FlagParser, path: str) -> str:
    try:
        return Path(path).read_text() if path else ""
    except OSError as error:
        p.error(f"open {path}: {str(error.strerror).lower()}")
        raise AssertionError from None


def _authentication_webhook(flags: argparse.Namespace) -> tuple[str, str, float] | None:
    file, ttl = flags.authentication_token_webhook_config_file, flags.authentication_token_webhook_cache_ttl
    return (file, flags.authentication_token_webhook_version, ttl) if file else None


def parse(argv: Sequence[str]) -> Options:
    """Raises SystemExit(1) after one sentence for flags that cannot be."""
    p = parser()
    flags = p.parse_args(list(argv))
    for name in REFUSED:
        if getattr(flags, name.replace("-", "_")):
            p.error(f"--{name} has no effect here, and is not passed over in silence")
    if problem := oidc_flags.problem(flags):
        p.error(problem)
    if not flags.etcd_servers:
        p.error("--etcd-servers must be specified")
    if not flags.tls_cert_file or not flags.tls_private_key_file:
        p.error("--tls-cert-file and --tls-private-key-file must be specified")
    for name in ("maxage", "maxbackup", "maxsize"):
        if (number := getattr(flags, f"audit_log_{name}")) < 0:
            p.error(f"--audit-log-{name} {number} can't be a negative number")
    if flags.endpoint_reconciler_type not in ("lease", "none"):
        known = "--endpoint-reconciler-type must be one of: [lease none]"
        p.error(f"{known}, not {flags.endpoint_reconciler_type}")
    if flags.encryption_provider_config_automatic_reload and not flags.encryption_provider_config:
        p.error("--encryption-provider-config-automatic-reload must be set with --encryption-provider-config")
    for name in ("log", "webhook"):
        if problem := _audit_problem(flags, name):
            p.error(problem)
    if flags.audit_log_format not in ("json", "legacy"):
        p.error(f'invalid audit log format {flags.audit_log_format}, allowed formats are "legacy,json"')
    low, dash, high = flags.service_node_port_range.partition("-")
    if not dash or not low.isdigit() or not high.isdigit():
        p.error(f'invalid argument "{flags.service_node_port_range}" for "--service-node-port-range" flag')
    address = flags.advertise_address or (flags.bind_address if flags.bind_address != "0.0.0.0" else "127.0.0.1")
    return Options(
        flags,
        security.Options(
            advertise_address=address,
            secure_port=flags.secure_port,
            endpoint_reconciler_type=flags.endpoint_reconciler_type,
            service_cluster_ip_range=flags.service_cluster_ip_range,
            service_node_port_range=(int(low), int(high)),
            client_ca_file=flags.client_ca_file,
            anonymous_auth=flags.anonymous_auth,
            authentication_config=flags.authentication_config,
            token_auth_file=flags.token_auth_file,
            enable_bootstrap_token_auth=flags.enable_bootstrap_token_auth,
            service_account_issuer=flags.service_account_issuer,
            service_account_key_file=flags.service_account_key_file,
            service_account_signing_key_file=flags.service_account_signing_key_file,
            service_account_max_token_expiration=int(flags.service_account_max_token_expiration),
            service_account_extend_token_expiration=flags.service_account_extend_token_expiration,
            service_account_jwks_uri=flags.service_account_jwks_uri,
            api_audiences=flags.api_audiences,
            requestheader_client_ca_file=flags.requestheader_client_ca_file,
            requestheader_allowed_names=flags.requestheader_allowed_names,
            requestheader_username_headers=flags.requestheader_username_headers,
            requestheader_uid_headers=flags.requestheader_uid_headers,
            requestheader_group_headers=flags.requestheader_group_headers,
            requestheader_extra_headers_prefix=flags.requestheader_extra_headers_prefix,
            authorization_mode=flags.authorization_mode,
            authorization_config=flags.authorization_config,
            authorization_webhook_config_file=flags.authorization_webhook_config_file,
            authorization_webhook=(
                10.0,
                flags.authorization_webhook_cache_authorized_ttl,
                flags.authorization_webhook_cache_unauthorized_ttl,
                False,
                flags.authorization_webhook_version,
            ),
            oidc=oidc_flags.entry(flags, _text(p, flags.oidc_ca_file)),
            authentication_webhook=_authentication_webhook(flags),
            admission_control_config_file=flags.admission_control_config_file,
            default_toleration_seconds=(
                flags.default_not_ready_toleration_seconds,
                flags.default_unreachable_toleration_seconds,
            ),
            enable_admission_plugins=flags.enable_admission_plugins,
            disable_admission_plugins=flags.disable_admission_plugins,
            hostname=flags.hostname_override or socket.gethostname(),
        ),
        p.shown(flags),
    )
