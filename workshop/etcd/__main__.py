"""`etcd`: the real component's flags. Upstream: `server/etcdmain/help.go`, `server/embed/config.go`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from workshop.component import FlagParser, setup_logging
from workshop.etcd.compactor import parse_retention
from workshop.etcd.config import Config, Fatal, Limits, Tls, parse_auth_token, parse_initial_cluster
from workshop.etcd.config_file import arguments
from workshop.etcd.run import failure, serve
from workshop.etcd.services.base import VERSION
from workshop.serving.tls_options import TlsOptions

#: Real flags that change nothing here: their effect belongs to what is not built, or is always so.
# fmt: off
ACCEPTED = [
    "max-snapshots", "max-wals", "logger", "log-outputs", "log-format", "log-rotation-config-json", "raft-read-timeout",
    "raft-write-timeout", "grpc-keepalive-min-time", "grpc-keepalive-interval", "grpc-keepalive-timeout", "cors",
    "metrics", "feature-gates", "backend-batch-interval", "backend-batch-limit", "backend-bbolt-freelist-type",
    "max-concurrent-streams", "warning-apply-duration", "warning-unary-request-duration",
    "compact-hash-check-time", "bootstrap-defrag-threshold-megabytes", "downgrade-check-time", "compaction-batch-limit",
    "compaction-sleep-interval", "distributed-tracing-address", "distributed-tracing-service-name",
    "distributed-tracing-instance-id", "distributed-tracing-sampling-rate",
    *(f"experimental-{name}" for name in (
        "compact-hash-check-time", "backend-bbolt-freelist-type", "warning-apply-duration", "downgrade-check-time",
        "warning-unary-request-duration", "bootstrap-defrag-threshold-megabytes", "compaction-batch-limit",
        "compaction-sleep-interval", "distributed-tracing-address", "distributed-tracing-service-name",
        "distributed-tracing-instance-id", "distributed-tracing-sampling-rate",
    )),
]
SWITCHES = [
    "enable-v2", "enable-grpc-gateway", "enable-pprof", "socket-reuse-port", "socket-reuse-address", "memory-mlock",
    "enable-log-rotation", "enable-distributed-tracing", "peer-skip-client-san-verification",
    *(f"experimental-{name}" for name in (
        "compact-hash-check-enabled", "enable-lease-checkpoint", "enable-lease-checkpoint-persist", "memory-mlock",
        "stop-grpc-service-on-defrag", "txn-mode-write-with-shared-buffer", "enable-distributed-tracing",
        "peer-skip-client-san-verification",
    )),
]
#: What would be less safe, or another cluster, if it were taken and had no effect.
REFUSED = [
    "discovery", "discovery-srv", "discovery-endpoints", "client-cert-allowed-hostname", "peer-cert-allowed-hostname",
]
# fmt: on
LEVELS = {
    "debug": "DEBUG",
    "info": "INFO",
    "warn": "WARNING",
    "error": "ERROR",
    "panic": "CRITICAL",
    "fatal": "CRITICAL",
}


def parser() -> FlagParser:
    flags = FlagParser("etcd", "A key-value store that several members keep consistent.")
    flags.add_argument("--name", default="default", help="human-readable name of this member")
    flags.add_argument("--data-dir", default="", help="where this member keeps its data; ${name}.etcd by default")
    flags.add_argument("--wal-dir", default="", help="where the log is; in the data directory by default")
    flags.boolean("--force-new-cluster", False, "a cluster of this member alone, out of what it holds of another one")
    flags.strings("--listen-client-urls", "URLs to listen on for clients", ["http://localhost:2379"])
    flags.strings("--advertise-client-urls", "URLs to tell other members and clients", ["http://localhost:2379"])
    flags.strings("--listen-peer-urls", "URLs to listen on for other members", ["http://localhost:2380"])
    flags.strings("--initial-advertise-peer-urls", "this member's peer URLs", ["http://localhost:2380"])
    flags.strings("--initial-cluster", "name=URL of every member")
    flags.add_argument("--initial-cluster-state", default="new", help="new, or existing to join a running cluster")
    flags.add_argument("--initial-cluster-token", default="etcd-cluster", help="what tells clusters apart")
    flags.add_argument("--config-file", default="", help="a file that stands in the place of all flags and variables")
    flags.strings("--listen-client-http-urls", "URLs for what clients ask without gRPC, and the others are without it")
    flags.strings("--listen-metrics-urls", "URLs for /health, /readyz and /metrics")
    flags.add_argument("--cert-file", default="", help="certificate for clients' connections")
    flags.add_argument("--key-file", default="", help="its private key")
    flags.boolean("--client-cert-auth", False, "clients must show a certificate")
    flags.add_argument("--trusted-ca-file", default="", help="authority of clients' certificates")
    flags.add_argument("--peer-cert-file", default="", help="certificate for connections with other members")
    flags.add_argument("--peer-key-file", default="", help="its private key")
    flags.boolean("--peer-client-cert-auth", False, "other members must show a certificate")
    flags.add_argument("--peer-trusted-ca-file", default="", help="authority of other members' certificates")
    flags.add_argument("--peer-cert-allowed-cn", default="", help="name that other members' certificates must carry")
    flags.add_argument("--client-crl-file", default="", help="certificates of clients that were revoked")
    flags.add_argument("--peer-crl-file", default="", help="certificates of members that were revoked")
    flags.add_argument("--peer-client-cert-file", default="", help="certificate shown to other members")
    flags.add_argument("--peer-client-key-file", default="", help="its private key")
    for name in ("--client-cert-file", "--client-key-file"):
        flags.add_argument(name, default="", help="for asking oneself, which nothing here does")
    flags.add_argument("--tls-min-version", default="TLS1.2", help="TLS1.2 or TLS1.3")
    flags.add_argument("--tls-max-version", default="", help="TLS1.2 or TLS1.3")
    flags.strings("--cipher-suites", "cipher suites of TLS 1.2, by their names of IANA")
    flags.strings("--host-whitelist", "names under which HTTP without TLS may be asked; * for any", ["*"])
    flags.boolean("--auto-tls", False, "for clients, a certificate that is made here and vouches for itself")
    flags.boolean("--peer-auto-tls", False, "the same between members")
    flags.add_argument("--self-signed-cert-validity", type=int, default=1, help="years that such a certificate lasts")
    flags.add_argument("--snapshot-count", type=int, default=10_000, help="entries between two snapshots")
    for name in ("--snapshot-catchup-entries", "--experimental-snapshot-catchup-entries"):
        flags.add_argument(name, type=int, default=5_000, help="entries kept after a snapshot for slow followers")
    flags.add_argument("--heartbeat-interval", type=int, default=100, help="milliseconds")
    flags.add_argument("--election-timeout", type=int, default=1000, help="milliseconds")
    flags.boolean("--initial-election-tick-advance", True, "do not wait a whole election timeout at the start")
    flags.boolean("--pre-vote", True, "ask for votes before raising the term")
    flags.boolean("--strict-reconfig-check", True, "refuse changes of membership that would lose the quorum")
    flags.add_argument("--max-learners", type=int, default=1, help="learners at a time")
    flags.add_argument("--quota-backend-bytes", type=int, default=0, help="size that raises an alarm; 0: 2 GiB")
    flags.add_argument("--max-txn-ops", type=int, default=128, help="operations in one transaction")
    flags.add_argument("--max-request-bytes", type=int, default=1_572_864, help="size of a client's request")
    flags.add_argument("--auto-compaction-mode", default="periodic", help="periodic or revision")
    flags.add_argument("--auto-compaction-retention", default="0", help="time or revisions to keep; 0: off")
    for name in ("--watch-progress-notify-interval", "--experimental-watch-progress-notify-interval"):
        flags.duration(name, 600.0, "how often quiet watches are told the revision")
    flags.boolean("--experimental-initial-corrupt-check", False, "compare data with the others before serving")
    for name in ("--corrupt-check-time", "--experimental-corrupt-check-time"):
        flags.duration(name, 0.0, "how often the leader compares the members' data; 0: never")
    flags.add_argument(
        "--auth-token", default="simple", help="how clients show who they are: simple, or jwt with pub-key, …"
    )
    flags.add_argument("--auth-token-ttl", type=int, default=300, help="seconds that a token lives")
    flags.add_argument("--bcrypt-cost", type=int, default=10, help="cost of hashing passwords")
    flags.boolean("--unsafe-no-fsync", False, "do not wait for the disk: what was acknowledged may be lost")
    flags.add_argument("--log-level", default="info", help="debug, info, warn, error, panic or fatal")
    flags.add_argument("--version", action="store_true", help="print the version and exit")
    for name in ACCEPTED:
        flags.add_argument(f"--{name}", help=argparse.SUPPRESS)
    for name in REFUSED:
        flags.add_argument(f"--{name}", default="", help=argparse.SUPPRESS)
    for name in SWITCHES:
        flags.boolean(f"--{name}", False, argparse.SUPPRESS)
    return flags


def config_from(argv: Sequence[str], environment: Mapping[str, str] | None = None) -> Config:
    """The configuration that flags say. Raises Fatal; an unknown flag ends the process as upstream does."""
    flags = parser()
    known = {name for action in flags._actions for name in action.option_strings}
    line = arguments(
        argv, os.environ if environment is None else environment, known, lambda path: Path(path).read_bytes()
    )
    f = flags.parse_args(line)
    for name in REFUSED:
        if getattr(f, name.replace("-", "_")):
            raise Fatal(f"--{name} has no effect here, and is not passed over in silence")
    if f.log_level not in LEVELS:
        raise Fatal(f'unrecognized level: "{f.log_level}"')
    set_explicitly = {one.partition("=")[0] for one in line}
    if "--listen-client-urls" in set_explicitly and "--advertise-client-urls" not in set_explicitly:
        raise Fatal("--advertise-client-urls is required when --listen-client-urls is set explicitly")
    try:
        parse_retention(f.auto_compaction_mode, f.auto_compaction_retention)
    except ValueError as error:
        raise Fatal(f"--auto-compaction-retention: {error}") from error
    parse_auth_token(f.auth_token)
    limits = Limits(f.max_request_bytes, f.max_txn_ops, f.quota_backend_bytes if f.quota_backend_bytes > 0 else 2 << 30)
    interval = min(f.watch_progress_notify_interval, f.experimental_watch_progress_notify_interval)

    def tls(revoked: str) -> TlsOptions:
        return TlsOptions(f.tls_min_version, f.tls_max_version, f.cipher_suites, revoked)

    return Config(
        name=f.name,
        data_dir=f.data_dir or f"{f.name}.etcd",
        wal_dir=f.wal_dir,
        force_new_cluster=f.force_new_cluster,
        listen_client_urls=f.listen_client_urls,
        advertise_client_urls=f.advertise_client_urls,
        initial_advertise_peer_urls=f.initial_advertise_peer_urls,
        listen_peer_urls=f.listen_peer_urls,
        initial_cluster=parse_initial_cluster(f.initial_cluster),
        initial_cluster_state=f.initial_cluster_state,
        initial_cluster_token=f.initial_cluster_token,
        listen_client_http_urls=f.listen_client_http_urls,
        listen_metrics_urls=f.listen_metrics_urls,
        host_whitelist=f.host_whitelist,
        unsafe_no_fsync=f.unsafe_no_fsync,
        log_level=LEVELS[f.log_level],
        client_tls=Tls(f.cert_file, f.key_file, f.trusted_ca_file, f.client_cert_auth, options=tls(f.client_crl_file)),
        peer_tls=Tls(
            f.peer_cert_file,
            f.peer_key_file,
            f.peer_trusted_ca_file,
            f.peer_client_cert_auth,
            f.peer_cert_allowed_cn,
            options=tls(f.peer_crl_file),
            shown_cert_file=f.peer_client_cert_file,
            shown_key_file=f.peer_client_key_file,
        ),
        limits=limits,
        snapshot_count=f.snapshot_count,
        snapshot_catchup_entries=min(f.snapshot_catchup_entries, f.experimental_snapshot_catchup_entries),
        heartbeat_interval=f.heartbeat_interval / 1000,
        election_timeout=f.election_timeout / 1000,
        initial_election_tick_advance=f.initial_election_tick_advance,
        pre_vote=f.pre_vote,
        strict_reconfig_check=f.strict_reconfig_check,
        max_learners=f.max_learners,
        initial_corrupt_check=f.experimental_initial_corrupt_check,
        corrupt_check_time=max(f.corrupt_check_time, f.experimental_corrupt_check_time),
        client_auto_tls=f.auto_tls,
        peer_auto_tls=f.peer_auto_tls,
        self_signed_years=f.self_signed_cert_validity,
        auth_token=f.auth_token,
        auth_token_ttl=f.auth_token_ttl,
        bcrypt_cost=f.bcrypt_cost if 4 <= f.bcrypt_cost <= 31 else 10,
        auto_compaction_mode=f.auto_compaction_mode,
        auto_compaction_retention=f.auto_compaction_retention,
        watch_progress_notify_interval=max(interval, 0.1),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run a member until SIGTERM; the exit status."""
    given = list(sys.argv[1:] if argv is None else argv)
    if "--version" in given:
        sys.stdout.write(f"etcd Version: {VERSION}\nGit SHA: Not provided\n")
        return 0
    setup_logging()
    try:
        config = config_from(given)
        logging.getLogger().setLevel(config.log_level)
        asyncio.run(serve(config))
    except Exception as error:  # noqa: BLE001  the edge: one sentence, or a re-raise
        sys.stderr.write(f"etcd: {failure(error)}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
