"""Which kinds the board follows, and which of them this user may read."""

from __future__ import annotations

import logging

from workshop.api.errors import ApiError
from workshop.api.resources import resource
from workshop.client.rest import Client
from workshop.client.transport import Unreachable
from workshop.clock import SYSTEM

log = logging.getLogger(__name__)

KINDS = (
    "deployments.apps", "replicasets.apps", "statefulsets.apps", "daemonsets.apps", "jobs.batch", "cronjobs.batch",
    "replicationcontrollers", "pods", "nodes", "services", "endpointslices.discovery.k8s.io",
)  # fmt: skip
EVENTS = "events"
LEASES = "leases.coordination.k8s.io"
"""Of kube-system alone: who leads."""
RETRY_SECONDS = 0.25


async def unreadable(client: Client) -> dict[str, str]:
    """Ask once for one object of each kind: those that this user may not read, or that this server does not serve, with
    the server's word for it. Waits for a server that is not there yet."""
    while True:
        try:
            asked = {kind: await _refusal(client, kind) for kind in (*KINDS, EVENTS, LEASES)}
            return {kind: refusal for kind, refusal in asked.items() if refusal is not None}
        except (ApiError, Unreachable) as error:
            log.debug("the API server does not answer yet: %s", error)
            await SYSTEM.sleep(RETRY_SECONDS)


async def _refusal(client: Client, kind: str) -> str | None:
    try:
        await client.list(resource(kind), "kube-system" if kind == LEASES else None, limit=1)
    except ApiError as error:
        if error.code not in (401, 403, 404, 405):
            raise
        return str(error)
    return None
