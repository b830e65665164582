"""ComponentStatuses: the oldest health page of all, asked of each component anew at every request.

scheduler and controller-manager are expected beside this API server, under their usual ports; etcd is asked through the
storage. Upstream: pkg/registry/core/componentstatus, pkg/registry/core/rest/storage_core.go (`serversToValidate`).
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Awaitable, Callable

from workshop.api.meta import Obj
from workshop.client.http1 import Pool

BESIDE = {"scheduler": 10259, "controller-manager": 10257}
TIMEOUT = 20.0


class ComponentStatuses:
    """`address` is this server's own; `etcd` says what is wrong with etcd, or ""."""

    def __init__(self, address: str, etcd: Callable[[], Awaitable[str]]) -> None:
        self._address, self._etcd = address, etcd

    async def list(self) -> list[Obj]:
        told = await asyncio.gather(*(self._healthz(port) for port in BESIDE.values()), self._of_etcd())
        return [_status(name, *answer) for name, answer in zip([*BESIDE, "etcd-0"], told, strict=True)]

    async def _of_etcd(self) -> tuple[bool, str]:
        problem = await self._etcd()
        return not problem, problem or "ok"

    async def _healthz(self, port: int) -> tuple[bool, str]:
        where = f"{self._address}:{port}"
        pool = Pool(f"https://{where}", _anybody())
        try:
            async with asyncio.timeout(TIMEOUT):
                answer = await pool.request("GET", "/healthz", {}, None)
                text = (await answer.read()).decode(errors="replace")
        except TimeoutError:
            return False, f'Get "https://{where}/healthz": context deadline exceeded'
        except OSError as problem:
            why = os.strerror(problem.errno).lower() if problem.errno else str(problem)
            return False, f'Get "https://{where}/healthz": dial tcp {where}: connect: {why}'
        finally:
            await pool.close()
        if 200 <= answer.status < 400:
            return True, text
        return False, f"HTTP probe failed with statuscode: {answer.status}"


def _status(name: str, well: bool, message: str) -> Obj:
    condition = {"type": "Healthy", "status": "True" if well else "False", "message": message}
    return {"kind": "ComponentStatus", "apiVersion": "v1", "metadata": {"name": name}, "conditions": [condition]}


def _anybody() -> ssl.SSLContext:
    """Health is no secret, and these certificates are often their components' own."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
