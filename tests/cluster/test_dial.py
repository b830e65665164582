"""Connections to a network that only a process inside can reach: it connects, and hands the socket out."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import pytest

from workshop.cluster import dial as dialling
from workshop.cluster.layout import ClusterError


def cluster(mode: str) -> Any:
    return SimpleNamespace(plan=lambda: SimpleNamespace(mode=mode))


@pytest.mark.parametrize("mode", ["plain", "userns"])
def test_the_socket_that_comes_out_is_open(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    monkeypatch.setattr(dialling, "inside", lambda cluster, node: ["/usr/bin/env"])  # a door to nowhere else
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        dialling.dial(cluster(mode), "127.0.0.1", listening.getsockname()[1]) as found,
        listening.accept()[0] as there,
    ):
        found.sendall(b"hello")
        assert there.recv(5) == b"hello"


def test_nobody_there(monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int) -> None:
    monkeypatch.setattr(dialling, "inside", lambda cluster, node: ["/usr/bin/env"])
    with pytest.raises(OSError, match="Connection refused"):
        dialling.dial(cluster("userns"), "127.0.0.1", unused_tcp_port)

    def down(cluster: Any, node: Any) -> list[str]:
        raise ClusterError("cluster 'x' is down")

    monkeypatch.setattr(dialling, "inside", down)
    with pytest.raises(OSError, match="is down"):
        dialling.dial(cluster("userns"), "127.0.0.1", unused_tcp_port)
