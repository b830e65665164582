"""kubeconfig files: where the API server is, whom to trust, who one is. Upstream: `client-go/tools/clientcmd/api/v1`.

`admin.conf` carries its certificates inside, so that it can be copied; the components' files name them by path, as
kubelet's does.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from workshop.cluster.layout import Layout, write_private
from workshop.cluster.plan import Plan


def config(
    server: str, user: str, cluster: dict[str, str], credentials: dict[str, str], context: str
) -> dict[str, Any]:
    """The Config object. JSON is YAML, so the file is written as JSON with line breaks."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": context, "cluster": {"server": server, **cluster}}],
        "users": [{"name": user, "user": credentials}],
        "contexts": [{"name": context, "context": {"cluster": context, "user": user}}],
        "current-context": context,
        "preferences": {},
    }


def write_all(plan: Plan, layout: Layout) -> None:
    """admin.conf, and one file for each component of the plan that calls the API server.

    With several masters all go by the load balancer, but for the programs of a master, which call the API server
    beside them; admin.conf has a context for each API server too (`kubectl --context master-2`).
    """
    at = plan.addresses
    inside, outside = f"https://{at.front}:6443", at.api_server
    pki = layout.pki
    admin = config(
        outside,
        "kubernetes-admin",
        {"certificate-authority-data": _data(pki / "ca.crt")},
        {"client-certificate-data": _data(pki / "admin.crt"), "client-key-data": _data(pki / "admin.key")},
        f"workshop-{plan.name}",
    )
    for number, address in enumerate(at.control_planes if at.masters > 1 else (), 1):
        name, entry = f"master-{number}", dict(admin["clusters"][0]["cluster"])
        admin["clusters"].append({"name": name, "cluster": {**entry, "server": f"https://{address}:6443"}})
        admin["contexts"].append({"name": name, "context": {"cluster": name, "user": "kubernetes-admin"}})
    _write(layout.admin_conf, admin)
    users = {"proxy": ("system:kube-proxy", "proxy", inside)}
    for number, address in enumerate(at.control_planes, 1):
        tail = "" if at.masters == 1 else f"-master-{number}"
        for who in ("controller-manager", "scheduler"):
            users[f"{who}{tail}"] = (f"system:kube-{who}", who, f"https://{address}:6443")
    for node in plan.nodes:
        users[f"kubelet-{node.name}"] = (f"system:node:{node.name}", f"kubelet-client-{node.name}", inside)
    for who, (user, file, server) in users.items():
        paths = {"client-certificate": str(pki / f"{file}.crt"), "client-key": str(pki / f"{file}.key")}
        _write(
            layout.kubeconfig(who),
            config(server, user, {"certificate-authority": str(pki / "ca.crt")}, paths, "kubernetes"),
        )


def _data(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _write(path: Path, content: dict[str, Any]) -> None:
    write_private(path, json.dumps(content, indent=2).encode() + b"\n")
