"""The two servers. Each takes (method, path, body, headers) and gives an `Answer` without what is made up anew."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import re
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import yaml

from tests.api_server import caller, running


@dataclass(frozen=True)
class Answer:
    code: int
    body: Any
    warnings: tuple[str, ...]


class Server(Protocol):
    async def call(self, method: str, path: str, body: bytes, content_type: str) -> Answer: ...


class Real:
    """Over HTTPS with a client certificate."""

    def __init__(self, kubeconfig: str) -> None:
        config = yaml.safe_load(Path(kubeconfig).read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        context = ssl.create_default_context()
        context.load_verify_locations(_file(cluster, "certificate-authority"))
        context.load_cert_chain(_file(user, "client-certificate"), _file(user, "client-key"))
        url = urlsplit(cluster["server"])
        self._connect = lambda: http.client.HTTPSConnection(url.hostname or "", url.port, context=context, timeout=20)
        self._connection = self._connect()

    async def call(self, method: str, path: str, body: bytes, content_type: str) -> Answer:
        headers = {"Content-Type": content_type, "User-Agent": "test/1"} if body else {"User-Agent": "test/1"}
        try:
            self._connection.request(method, path, body or None, headers)
            answer = self._connection.getresponse()
        except (http.client.HTTPException, OSError) as error:  # the real one may panic: an answer too
            self._connection = self._connect()
            return Answer(0, repr(error), ())
        raw = answer.read()
        return Answer(answer.status, _parsed(raw), tuple(_warnings(answer.headers.get_all("warning") or [])))


def _file(section: dict[str, str], name: str) -> str:
    if name in section:
        return section[name]
    with tempfile.NamedTemporaryFile(delete=False) as made:
        made.write(base64.b64decode(section[name + "-data"]))
    return made.name


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return raw.decode("utf-8", "replace")


def _warnings(headers: list[str]) -> list[str]:
    return [json.loads(m) for header in headers for m in re.findall(r'299 - ("(?:[^"\\]|\\.)*")', header)]


class Ours:
    """In this process, on memory."""

    def __init__(self) -> None:
        self._life = contextlib.AsyncExitStack()

    async def start(self) -> None:
        self._caller = caller(await self._life.enter_async_context(running()))

    async def stop(self) -> None:
        await self._life.aclose()

    async def call(self, method: str, path: str, body: bytes, content_type: str) -> Answer:
        answer = await self._caller(method, path, body or None, content_type)
        header = answer.headers.get("warning", "")
        return Answer(answer.status, _parsed(answer.body), tuple(_warnings([header])))
