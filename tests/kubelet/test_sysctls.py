"""Kernel settings of a pod."""

from __future__ import annotations

import pytest

from tests.kubelet.builders import container, pod
from workshop.kubelet import configs, sysctls


def setting(*names: str, **spec: object) -> dict:
    return pod(container(), securityContext={"sysctls": [{"name": n, "value": "1"} for n in names]}, **spec)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (setting("kernel.shm_rmid_forced", "net/ipv4/tcp_syncookies"), ""),
        (setting("kernel.msgmax"), '"kernel.msgmax" not allowlisted'),
        (setting("net.ipv4.tcp_rmem", hostNetwork=True), '"net.ipv4.tcp_rmem" not allowed with host Net enabled'),
        (setting("kernel.shm_rmid_forced", hostIPC=True), '"kernel.shm_rmid_forced" not allowed with host IPC enabled'),
    ],
)
def test_what_is_forbidden(wanted, said):
    refused = sysctls.refusal(wanted)
    assert (refused.message if refused else "") == (f"forbidden sysctl: {said}" if said else "")


def test_they_reach_the_sandbox():
    made = configs.sandbox_config(setting("net/ipv4/conf/eno2.100/rp_filter"), 0, "/log", (), "cluster.local")
    assert made.sysctls == {"net.ipv4.conf.eno2/100.rp_filter": "1"}
