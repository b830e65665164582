"""The real component's flags, as Go reads them."""

from __future__ import annotations

import re

import pytest

from workshop.etcd.__main__ import config_from, main
from workshop.etcd.bootstrap import identity
from workshop.etcd.config import Fatal


def test_flags_in_all_their_forms() -> None:
    config = config_from(
        ["-name=a", "--data-dir", "/d", "--listen-client-urls=http://1.1.1.1:1,http://2.2.2.2:2", "--client-cert-auth"],
        {"ETCD_NAME": "not this", "ETCD_QUOTA_BACKEND_BYTES": "1000", "ETCD_UNKNOWN": "x"},
    )
    assert (config.name, config.data_dir) == ("a", "/d")
    assert config.listen_client_urls == ["http://1.1.1.1:1", "http://2.2.2.2:2"]
    assert config.client_tls.client_cert_auth
    assert config.limits.quota_bytes == 1000


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
