"""PURE: the network configuration that a kubelet reads from `--cni-conf-dir`, one file a node."""

from __future__ import annotations

from typing import Any

from workshop.cluster.plan import Plan

FILE = "10-workshop.conf"


def configuration(plan: Plan) -> dict[str, Any]:
    """The plugin `bridge` in a node's network namespace, or `loopback` in mode plain.

    The keys are explained in `workshop.kubelet.network`.
    """
    at = plan.addresses
    plugin: dict[str, Any] = {"type": "loopback"} if plan.mode == "plain" else {"type": "bridge", "bridge": "cni0"}
    return {
        "cniVersion": "1.0.0",
        "name": f"workshop-{plan.name}",
        **plugin,
        "clusterCIDR": at.pods,
        "serviceCIDR": at.services,
    }
