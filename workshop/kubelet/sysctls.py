"""Which kernel settings a pod may have for itself: those that have a namespace and harm nobody else. Pure.

Upstream: `pkg/kubelet/sysctl/{safe_sysctls,allowlist}.go`. Left out: `--allowed-unsafe-sysctls`.
"""

from __future__ import annotations

from workshop.kubelet.admission import Refusal
from workshop.kubelet.pods import Obj

SAFE = frozenset({
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
})  # fmt: skip


def wanted(pod: Obj) -> dict[str, str]:
    """By name, with dots.

    >>> wanted({"spec": {"securityContext": {"sysctls": [{"name": "net/ipv4/tcp_rmem", "value": "1"}]}}})
    {'net.ipv4.tcp_rmem': '1'}
    """
    listed = (pod["spec"].get("securityContext") or {}).get("sysctls") or ()
    return {normal(entry["name"]): str(entry.get("value", "")) for entry in listed}


def normal(name: str) -> str:
    """`net/ipv4/conf/eno2.100/x` → `net.ipv4.conf.eno2/100.x`: the first separator says which is which."""
    dot, slash = name.find("."), name.find("/")
    if slash < 0 or 0 <= dot < slash:
        return name
    return name.translate(str.maketrans("./", "/."))


def refusal(pod: Obj) -> Refusal | None:
    """Why the pod may not run here."""
    spec = pod["spec"]
    for name in wanted(pod):
        if name not in SAFE:
            return Refusal("SysctlForbidden", f'forbidden sysctl: "{name}" not allowlisted')
        space, shared = ("Net", spec.get("hostNetwork")) if name.startswith("net.") else ("IPC", spec.get("hostIPC"))
        if shared:
            return Refusal("SysctlForbidden", f'forbidden sysctl: "{name}" not allowed with host {space} enabled')
    return None
