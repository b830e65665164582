"""PURE: the network of modes root and userns, as `ip` commands and kernel settings.

For block 7 and one node:

    host     ws7 10.7.254.1/24 ── ws7-n1        10.7.0.0/17 dev ws7      (pods: the node answers by proxy ARP)
                                   │            10.7.128.0/18 via node 1 (Services)
    node-1   lo   eth0 10.7.254.11/24           10.7.128.0/18 local      (kube-proxy binds ClusterIPs)
                  cni0 10.7.N.1/24, made by the kubelet when the node has its podCIDR
"""

from __future__ import annotations

from workshop.cluster.addresses import Node
from workshop.cluster.plan import Plan

NODE_SETTINGS = {
    "net/ipv4/ip_forward": "1",
    "net/ipv4/conf/eth0/proxy_arp": "1",
    "net/ipv4/neigh/eth0/proxy_delay": "0",
}


def host_commands(plan: Plan) -> list[str]:
    """Lines for `ip -batch` where the control plane runs: on the host, or in the user namespace."""
    at, bridge = plan.addresses, plan.bridge
    lines = [] if plan.mode == "root" else ["link set lo up"]
    lines.append(f"link add {bridge} type bridge")
    lines += [f"addr add {address}/24 dev {bridge}" for address in dict.fromkeys((*at.control_planes, at.front))]
    lines.append(f"link set {bridge} up")
    lines.append(f"route add {at.pods} dev {bridge} scope link")
    for number, node in enumerate(plan.nodes, 1):
        lines += [
            f"netns add {node.namespace}",
            f"link add {bridge}-n{number} type veth peer name eth0 netns {node.namespace}",
            f"link set {bridge}-n{number} master {bridge} up",
        ]
    if plan.nodes:
        lines.append(f"route add {at.services} via {plan.nodes[0].address}")
    return lines


def node_commands(plan: Plan, node: Node) -> list[str]:
    """Lines for `ip -n NAMESPACE -batch`."""
    at = plan.addresses
    return [
        "link set lo up",
        f"addr add {node.address}/24 dev eth0",
        "link set eth0 up",
        f"route add default via {at.control_plane}",
        f"route add {at.pods} dev eth0 scope link",
        f"route add local {at.services} dev lo",
    ]


def removal(plan: Plan, namespaces: list[str]) -> list[str]:
    """Lines for `ip -force -batch` that undo it all; `namespaces` are those that exist and are the cluster's.

    Links go first: the kernel takes a namespace down in the background, and would leave them for a moment.
    """
    links = [f"link del {plan.bridge}-n{number}" for number in range(1, len(plan.nodes) + 1)]
    return [*links, *(f"netns del {name}" for name in namespaces), f"link del {plan.bridge}"]
