"""The real component's flags, as Go reads them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from workshop.etcd.__main__ import config_from, main, parser
from workshop.etcd.bootstrap import identity
from workshop.etcd.config import Fatal


def test_flags_in_all_their_forms() -> None:
    config = config_from(
        [
            *("-name=a", "--data-dir", "/d", "--client-cert-auth", "--advertise-client-urls=http://a:1"),
            "--listen-client-urls=http://1.1.1.1:1,http://2.2.2.2:2",
        ],
        {"ETCD_QUOTA_BACKEND_BYTES": "1000", "ETCD_UNKNOWN": "x"},
    )
    assert (config.name, config.data_dir) == ("a", "/d")
    assert config.listen_client_urls == ["http://1.1.1.1:1", "http://2.2.2.2:2"]
    assert config.client_tls.client_cert_auth
    assert config.limits.quota_bytes == 1000


FILE = """
name: m1
data-dir: /d
listen-client-urls: http://1.1.1.1:1,http://2.2.2.2:2
advertise-client-urls: http://1.1.1.1:1
heartbeat-interval: 200
corrupt-check-time: 5000000000
watch-progress-notify-interval: 3s
pre-vote: false
peer-transport-security: {cert-file: p.crt, key-file: p.key, client-cert-auth: true, allowed-cn: [peer], trusted-ca-file: ca}
client-transport-security: {auto-tls: true}
cipher-suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]
nothing-known: 7
"""


@pytest.mark.parametrize("by", ["flag", "variable"])
def test_a_file_stands_in_the_place_of_everything_else(by: str, tmp_path: Path) -> None:
    path = tmp_path / "etcd.yaml"
    path.write_text(FILE)
    config = (
        config_from([f"--config-file={path}", "--name=other"], {"ETCD_MAX_LEARNERS": "3"})
        if by == "flag"
        else config_from([], {"ETCD_CONFIG_FILE": str(path)})
    )
    assert (config.name, config.max_learners, config.pre_vote) == ("m1", 1, False)
    assert config.listen_client_urls == ["http://1.1.1.1:1", "http://2.2.2.2:2"]
    assert (config.heartbeat_interval, config.corrupt_check_time, config.watch_progress_notify_interval) == (
        0.2,
        5.0,
        3.0,
    )
    peer = config.peer_tls
    assert (peer.cert_file, peer.key_file, peer.trusted_ca_file, peer.allowed_cn) == ("p.crt", "p.key", "ca", "peer")
    assert peer.client_cert_auth and config.client_auto_tls
    assert peer.options.ciphers == ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]


def test_a_file_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "etcd.yaml"
    for text in ("- a\n", "{a: ", "peer-transport-security: x\n"):
        path.write_text(text)
        with pytest.raises(Fatal):
            config_from([f"--config-file={path}"], {})


@pytest.mark.parametrize(
    ("flags", "variables", "said"),
    [
        (["--name=a"], {"ETCD_NAME": "b"}, 'conflicting environment variable "ETCD_NAME" is shadowed by'),
        (
            ["--listen-client-urls=http://1.1.1.1:1"],
            {},
            "--advertise-client-urls is required when --listen-client-urls",
        ),
        (["--discovery=http://x"], {}, "--discovery has no effect here"),
        (["--log-level=loud"], {}, 'unrecognized level: "loud"'),
    ],
)
def test_what_would_mislead_is_refused(flags: list[str], variables: dict[str, str], said: str) -> None:
    with pytest.raises(Fatal, match=re.escape(said)):
        config_from(flags, variables)


def test_every_flag_of_etcd_3_6_is_known() -> None:
    known = {name for action in parser()._actions for name in action.option_strings}
    for name in ("memory-mlock", "experimental-compaction-batch-limit", "enable-log-rotation", "peer-client-cert-file"):
        assert f"--{name}" in known


def test_defaults_are_upstreams() -> None:
    config = config_from([], {})
    assert (config.name, config.data_dir, config.snapshot_count) == ("default", "default.etcd", 10_000)
    assert (config.limits.request_bytes, config.limits.txn_operations) == (1_572_864, 128)
    assert config.limits.quota_bytes == 2 << 30


def test_the_identity_is_what_upstream_makes_of_the_same_flags() -> None:
    """8e9e05c52164694d and cdf818194e3a8c32: what a real etcd of default flags prints at its start."""
    assert tuple(map(hex, identity(config_from([], {})))) == ("0xcdf818194e3a8c32", "0x8e9e05c52164694d")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--initial-cluster=a=http://h:1,b=http://h:2"], 'couldn\'t find local name "default"'),
        (["--initial-cluster=default=http://h:1,b=http://h:1"], "has duplicate url"),
        (["--initial-cluster=default=http://h:1"], "missing from --initial-advertise-peer-urls=http://localhost:2380"),
    ],
)
def test_flags_that_contradict_each_other(flags: list[str], said: str) -> None:
    with pytest.raises(Fatal, match=re.escape(said)):
        config_from(flags, {}).check_members()


def test_times_that_cannot_be() -> None:
    with pytest.raises(Fatal, match="should be at least as 5 times"):
        config_from(["--heartbeat-interval=300"], {}).check()


def test_wrong_values_are_said() -> None:
    with pytest.raises(Fatal, match="auto-compaction-retention"):
        config_from(["--auto-compaction-retention=soon"], {})


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("etcd Version: 3.6.")
