"""What the flags say, and how a member is refused that cannot run."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from workshop.serving.tls_options import TlsOptions


class Fatal(Exception):
    """The member cannot run; the message is one sentence for the user."""


@dataclass
class Limits:
    """Bytes and counts that a member accepts."""

    request_bytes: int = 1_572_864
    txn_operations: int = 128
    quota_bytes: int = 2 << 30


@dataclass
class Tls:
    cert_file: str = ""
    key_file: str = ""
    trusted_ca_file: str = ""
    client_cert_auth: bool = False
    allowed_cn: str = ""
    self_signed: bool = False  # the other end has nothing by which it could check the certificate
    options: TlsOptions = field(default_factory=TlsOptions)
    shown_cert_file: str = ""  # where this end connects; that of `cert_file` if there is none
    shown_key_file: str = ""


@dataclass
class Config:
    """Times in seconds. `initial_cluster`: name -> peer URLs."""

    name: str = "default"
    data_dir: str = ""
    wal_dir: str = ""
    force_new_cluster: bool = False
    listen_client_urls: list[str] = field(default_factory=lambda: ["http://localhost:2379"])
    advertise_client_urls: list[str] = field(default_factory=lambda: ["http://localhost:2379"])
    listen_peer_urls: list[str] = field(default_factory=lambda: ["http://localhost:2380"])
    initial_advertise_peer_urls: list[str] = field(default_factory=lambda: ["http://localhost:2380"])
    initial_cluster: dict[str, list[str]] = field(default_factory=dict)
    initial_cluster_state: str = "new"
    initial_cluster_token: str = "etcd-cluster"
    listen_metrics_urls: list[str] = field(default_factory=list)
    listen_client_http_urls: list[str] = field(default_factory=list)
    host_whitelist: list[str] = field(default_factory=lambda: ["*"])
    unsafe_no_fsync: bool = False
    log_level: str = "INFO"
    client_tls: Tls = field(default_factory=Tls)
    peer_tls: Tls = field(default_factory=Tls)
    client_auto_tls: bool = False
    peer_auto_tls: bool = False
    self_signed_years: int = 1
    limits: Limits = field(default_factory=Limits)
    snapshot_count: int = 10_000
    snapshot_catchup_entries: int = 5_000
    heartbeat_interval: float = 0.1
    election_timeout: float = 1.0
    initial_election_tick_advance: bool = True
    pre_vote: bool = True
    strict_reconfig_check: bool = True
    max_learners: int = 1
    auto_compaction_mode: str = "periodic"
    auto_compaction_retention: str = "0"
    watch_progress_notify_interval: float = 600.0
    auth_token: str = "simple"
    auth_token_ttl: float = 300.0
    initial_corrupt_check: bool = False
    corrupt_check_time: float = 0.0
    bcrypt_cost: int = 10

    @property
    def members(self) -> dict[str, list[str]]:
        """The first members: this one alone, unless the flag names others."""
        return self.initial_cluster or {self.name: self.initial_advertise_peer_urls}

    def check(self) -> None:
        """Raises Fatal for what cannot be, in upstream's words."""
        if self.initial_cluster_state not in ("new", "existing"):
            state = self.initial_cluster_state
            raise Fatal(f'invalid value "{state}" for flag --initial-cluster-state: new or existing')
        if self.election_timeout < 5 * self.heartbeat_interval:
            raise Fatal(
                f"--election-timeout[{self.election_timeout * 1000:.0f}ms] should be at least as 5 times as "
                f"--heartbeat-interval[{self.heartbeat_interval * 1000:.0f}ms]"
            )
        if self.election_timeout > 50:
            timeout = f"--election-timeout[{self.election_timeout * 1000:.0f}ms]"
            raise Fatal(f"{timeout} is too long, and should be set less than 50000ms")

    def check_members(self) -> None:
        """For a member without a log, whose flags say who belongs to the cluster. Raises Fatal."""
        if self.name not in self.members:
            raise Fatal(f'couldn\'t find local name "{self.name}" in the initial cluster configuration')
        urls = [url for urls in self.members.values() for url in urls]
        if len(set(urls)) != len(urls):
            raise Fatal(f"initial cluster {self.named()} has duplicate url")
        if sorted(self.members[self.name]) != sorted(self.initial_advertise_peer_urls):
            raise Fatal(
                f"--initial-cluster has {self.name}={','.join(self.members[self.name])} but missing from "
                f"--initial-advertise-peer-urls={','.join(self.initial_advertise_peer_urls)}"
            )

    def named(self) -> str:
        return ",".join(f"{name}={url}" for name, urls in sorted(self.members.items()) for url in urls)


def parse_auth_token(text: str) -> tuple[str, dict[str, str]]:
    """(kind of token, its options) of `jwt,sign-method=HS256,…`. Raises Fatal."""
    kind, *pairs = text.split(",")
    options: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or "=" in value or name in options:
            raise Fatal("auth: invalid auth options")
        options[name] = value
    if kind not in ("simple", "jwt"):
        raise Fatal("auth: invalid auth options")
    return kind, options


def parse_initial_cluster(parts: list[str]) -> dict[str, list[str]]:
    """`a=http://1,b=http://2,a=http://3`, cut at the commas: the URLs of each name. Raises Fatal."""
    members: dict[str, list[str]] = {}
    for part in parts:
        name, equals, url = part.partition("=")
        if not equals or not name or not url:
            raise Fatal(f'invalid value "{part}" for flag --initial-cluster: name=URL is wanted')
        members.setdefault(name, []).append(url)
    return members


def address(url: str) -> tuple[str, int, bool]:
    """(host, port, TLS?) of a URL. Raises Fatal."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not port or not parts.hostname:
        raise Fatal(f'URL scheme must be http or https and the host a "host:port": {url}')
    return parts.hostname, port, parts.scheme == "https"


def valid_peer_url(url: str) -> bool:
    """May a member have this peer URL? (A scheme, a host, a port, no path.)"""
    try:
        address(url)
    except Fatal:
        return False
    return urlsplit(url).path in ("", "/")
