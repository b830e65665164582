"""A server in the state that a sheet of cases wants."""

from __future__ import annotations

from . import cases
from .cases import Case, Sheet
from .servers import Answer, Server

ACCOUNT = Case("", "POST", "/api/v1/namespaces/default/serviceaccounts", b'{"metadata": {"name": "default"}}')
"""Admission waits for it before it takes a pod."""


class Stage:
    """A server in the state that a sheet wants. Raises ValueError where it cannot be brought there."""

    def __init__(self, server: Server, sheet: Sheet) -> None:
        self._server, self._sheet = server, sheet
        self._version = ""

    async def _send(self, case: Case) -> Answer:
        return await self._server.call(case.method, case.path, case.body, case.content_type)

    async def clear(self) -> None:
        for case in cases.teardown(self._sheet.base):
            await self._send(case)

    async def build(self) -> None:
        await self.clear()
        for case in self._sheet.before:
            answer = await self.ask(case)
            if answer.code not in (200, 201):
                raise ValueError(f"{case.name}: {answer.code} {str(answer.body)[:600]}")
            await self._look()

    async def _look(self) -> None:
        found = await self._send(Case("", "GET", cases.path_of(self._sheet.base, "")))
        self._version = found.body["metadata"]["resourceVersion"]

    async def ask(self, case: Case) -> Answer:
        """A controller inside the server may have touched the object: then once more."""
        for _ in range(2):
            body = case.body.replace(cases.VERSION.encode(), self._version.encode())
            answer = await self._server.call(case.method, case.path, body, case.content_type)
            if answer.code != 409 or cases.VERSION.encode() not in case.body:
                break
            await self._look()
        return answer
