"""Who leads: of the control plane's programs read off the Leases of kube-system, as `kubectl get lease -n kube-system`
shows them; of several etcd members asked at their metrics. Blocking, for `ps` and `status`.

A lease whose holder has not renewed it in time is nobody's; without an API server nobody can tell.
"""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from workshop.clock import SYSTEM, parse_rfc3339
from workshop.cluster.layout import Layout
from workshop.cluster.plan import Component, Plan

ELECTED = ("kube-controller-manager", "kube-scheduler")
PATH = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
PATIENCE = 2.0


def held(lease: dict[str, Any], now: float) -> bool:
    """Whether somebody holds `lease` at `now` (seconds since 1970)."""
    spec = lease.get("spec") or {}
    renewed = str(spec.get("renewTime") or "")
    if not spec.get("holderIdentity") or not renewed:
        return False
    return bool(now < parse_rfc3339(renewed) + spec["leaseDurationSeconds"])


def holds(component: Component, lease: dict[str, Any]) -> bool:
    """Is `component` the lease's holder? Its identity begins with the name of its master, where there are several."""
    identity = str((lease.get("spec") or {}).get("holderIdentity") or "")
    return component.node is None or identity.startswith(f"{component.node}_")


def leaders(plan: Plan, layout: Layout, running: Collection[str]) -> dict[str, bool | None]:
    """By a component's name: does it lead? None where nobody can tell. `running`: names of components that run."""
    found = members(plan, layout, running)
    elected = [component for component in plan.components if component.program in ELECTED]
    if elected and plan.has("kube-apiserver"):
        served = any(c.program == "kube-apiserver" and c.name in running for c in plan.components)
        leases = _leases(plan, layout) if served else None
        now = SYSTEM.now()
        for component in elected:
            lease = (leases or {}).get(component.program, {})
            leads = component.name in running and held(lease, now) and holds(component, lease)
            found[component.name] = None if leases is None else leads
    return found


def members(plan: Plan, layout: Layout, running: Collection[str]) -> dict[str, bool | None]:
    """A member of its own leads its own quorum; it says otherwise only by not answering."""
    all = [component for component in plan.components if component.program == "etcd"]
    if len(all) <= 1:
        return {member.name: member.name in running for member in all}
    with ThreadPoolExecutor(len(all)) as pool:
        places = zip(all, plan.addresses.control_planes, strict=True)
        asked = {m.name: pool.submit(_leads, layout, at) for m, at in places if m.name in running}
        return {member.name: asked[member.name].result() if member.name in asked else False for member in all}


def _leads(layout: Layout, address: str) -> bool | None:
    tls = ssl.create_default_context(cafile=str(layout.pki / "etcd" / "ca.crt"))
    client = layout.pki / "etcd" / "healthcheck-client"
    tls.load_cert_chain(client.with_suffix(".crt"), client.with_suffix(".key"))
    connection = http.client.HTTPSConnection(address, 2379, timeout=PATIENCE, context=tls)
    try:
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
        return "etcd_server_is_leader 1" in lines
    except (OSError, http.client.HTTPException, UnicodeDecodeError):
        return None
    finally:
        connection.close()


def _leases(plan: Plan, layout: Layout) -> dict[str, dict[str, Any]] | None:
    tls = ssl.create_default_context(cafile=str(layout.pki / "ca.crt"))
    tls.load_cert_chain(layout.pki / "admin.crt", layout.pki / "admin.key")
    host, _, port = plan.addresses.api_server.removeprefix("https://").partition(":")
    connection = http.client.HTTPSConnection(host, int(port), timeout=PATIENCE, context=tls)
    try:
        connection.request("GET", PATH)
        answer = connection.getresponse()
        if answer.status != 200:
            return None
        return {lease["metadata"]["name"]: lease for lease in json.load(answer)["items"]}
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
