"""Waiting for a cluster: until etcd answers, the API server is ready, the nodes are Ready. Blocking, standard library.

Used by `up` in the command line and in notebooks, where importing the async client would cost more than it gives.
Refused connections are tried again after 20 ms; from then on a watch tells of each change.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any

from workshop.clock import SYSTEM
from workshop.cluster.layout import ClusterError, Layout
from workshop.cluster.plan import Plan

RETRY = 0.02


class Waiter:
    """One `up`'s wait; `deadline` on the monotonic clock."""

    def __init__(self, plan: Plan, layout: Layout, timeout: float, check: Callable[[], None]) -> None:
        self.plan, self.layout = plan, layout
        self.deadline = SYSTEM.monotonic() + timeout
        self.check = check
        self._tls: ssl.SSLContext | None = None

    def until_up(self) -> str:
        """Wait for what the plan holds; returns in words what is ready. Raises ClusterError at the deadline."""
        plan = self.plan
        if plan.has("etcd"):
            for address in plan.addresses.control_planes:
                self.listening("etcd", address, 2379)
        if not plan.has("kube-apiserver"):
            members = "etcd answers" if plan.masters == 1 else f"{plan.masters} members of etcd answer"
            return members if plan.has("etcd") else "started"
        self.api_ready()
        # a node gets its range of pod addresses from the controller manager, and is not Ready before
        if plan.has("kubelet") and plan.nodes and plan.has("kube-controller-manager"):
            self.nodes_ready({node.name for node in plan.nodes})
            return f"{len(plan.nodes)} node{'s' * (len(plan.nodes) != 1)} Ready"
        return "kube-apiserver is ready"

    def left(self, what: str) -> float:
        left = self.deadline - SYSTEM.monotonic()
        if left <= 0:
            raise ClusterError(f"{what} within the time given; see `workshop ps` and `workshop logs NAME`")
        return left

    def listening(self, name: str, host: str, port: int) -> None:
        if self.plan.mode == "userns":
            return  # not to be reached from here; the API server will not be ready before it
        while True:
            try:
                socket.create_connection((host, port), timeout=self.left(f"{name} did not answer")).close()
                return
            except OSError:
                self.pause(f"{name} did not answer")

    def pause(self, what: str) -> None:
        self.check()
        time.sleep(min(RETRY, self.left(what)))

    @property
    def tls(self) -> ssl.SSLContext:
        if self._tls is None:
            pki = self.layout.pki
            self._tls = ssl.create_default_context(cafile=str(pki / "ca.crt"))
            self._tls.load_cert_chain(str(pki / "admin.crt"), str(pki / "admin.key"))
        return self._tls

    def get(self, path: str, what: str) -> http.client.HTTPResponse:
        """The response's head; the body is still to be read. Raises OSError, HTTPException."""
        connection = http.client.HTTPSConnection(
            self.plan.addresses.outside, 6443, timeout=self.left(what), context=self.tls
        )
        try:
            connection.request("GET", path, headers={"Accept": "application/json", "Connection": "close"})
            return connection.getresponse()
        except BaseException:
            connection.close()
            raise

    def api_ready(self) -> None:
        what = "kube-apiserver did not become ready"
        while True:
            try:
                with self.get("/readyz", what) as response:
                    if response.status == 200:
                        return
            except (OSError, http.client.HTTPException):
                pass
            self.pause(what)

    def nodes_ready(self, waiting: set[str]) -> None:
        what = "not all nodes became Ready"
        while waiting:
            try:
                with self.get("/api/v1/nodes?watch=1", what) as response:
                    while waiting and response.status == 200 and (line := response.readline()):
                        node = json.loads(line).get("object", {})
                        if node.get("kind") == "Node" and is_ready(node):
                            waiting.discard(node["metadata"]["name"])
            except (OSError, http.client.HTTPException, ValueError):
                pass
            if waiting:
                self.pause(f"{what} ({', '.join(sorted(waiting))})")


def is_ready(node: dict[str, Any]) -> bool:
    conditions = node.get("status", {}).get("conditions") or []
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)
