"""Who leads: read off the Leases of kube-system, as `kubectl get lease -n kube-system` shows them. Blocking, for `ps`.

A lease whose holder has not renewed it in time is nobody's; without an API server nobody can tell.
"""

from __future__ import annotations

import http.client
import json
import ssl
from typing import Any

from workshop.clock import SYSTEM, parse_rfc3339
from workshop.cluster.layout import Layout
from workshop.cluster.plan import Plan

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


def leaders(plan: Plan, layout: Layout, running: set[str]) -> dict[str, bool | None]:
    """By program: does the one that runs lead? None where nobody can tell. `running`: names of programs that run.

    An etcd member of its own leads its own quorum; it says otherwise only by not answering.
    """
    found: dict[str, bool | None] = {"etcd": "etcd" in running} if plan.has("etcd") else {}
    programs = [program for program in ELECTED if plan.has(program)]
    if programs and plan.has("kube-apiserver"):
        leases = _leases(plan, layout) if "kube-apiserver" in running else None
        now = SYSTEM.now()
        for program in programs:
            lease = (leases or {}).get(program, {})
            found[program] = None if leases is None else program in running and held(lease, now)
    return found


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
