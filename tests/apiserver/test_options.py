"""The command line of the API server."""

import pytest

from workshop.apiserver import options

CONFIGURED = ["--etcd-servers=http://127.0.0.1:2379", "--tls-cert-file=a.crt", "--tls-private-key-file=a.key"]


def test_each_flag_is_known_once_and_aggregation_is_configured():
    given = options.parse([*CONFIGURED, "--enable-aggregator-routing", "--proxy-client-cert-file=f.crt"])
    assert given.etcd_servers == ["http://127.0.0.1:2379"]


def test_it_does_not_start_without_etcd(capsys):
    with pytest.raises(SystemExit):
        options.parse([])
    assert "--etcd-servers must be specified" in capsys.readouterr().err
