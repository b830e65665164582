"""A server in the state that a sheet of cases wants."""

from __future__ import annotations

from dataclasses import replace

from . import cases
from .cases import Case, Sheet
from .servers import Answer, Server

ACCOUNT = Case("", "POST", "/api/v1/namespaces/default/serviceaccounts", b'{"metadata": {"name": "default"}}')
"""Admission waits for it before it takes a pod."""


class Stage:
    """A server in the state that a sheet wants. Raises ValueError where it cannot be brought there."""

    def __init__(self, server: Server, sheet: Sheet) -> None:
        self._server, self._sheet = server, sheet
        self._version = self._uid = ""

    async def _send(self, case: Case) -> Answer:
        return await self._server.call(case.method, case.path, case.body, case.content_type, case.headers)

    async def clear(self) -> None:
        for case in cases.teardown(self._sheet):
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
        self._version, self._uid = (found.body["metadata"][name] for name in ("resourceVersion", "uid"))

    def _filled(self, text: str) -> str:
        return text.replace(cases.VERSION, self._version).replace(cases.UID, self._uid)

    async def ask(self, case: Case) -> Answer:
        """A controller inside the server may have touched the object: then once more."""
        for _ in range(2):
            answer = await self._send(
                replace(
                    case, path=self._filled(case.path), body=self._filled(case.body.decode("latin-1")).encode("latin-1")
                )
            )
            if answer.code != 409 or cases.VERSION.encode() not in case.body:
                break
            await self._look()
        return answer
