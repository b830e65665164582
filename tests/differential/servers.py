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


UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
NOW = re.compile(r"20[2-9]\d-(?!01-01T00)\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
DISTRIBUTION = ', {"configMap": {"name": "openshift-service-ca.crt", "items": [{"key": "service-ca.crt", "path": "service-ca.crt"}]}}'
"""What a build of a distribution adds to each pod."""
OWN_WARNING = "is stored, but"
"""What only ours says: nobody looks after this kind."""
TOKEN_VOLUME = re.compile(r"kube-api-access-[a-z0-9]{5}")
ALLOCATED = re.compile(r"10\.96\.\d+\.\d+")
STRUCTS = re.compile(r"\\n@@(?:[^\"\\\\]|\\\\.)*")
"""The rest of a message that shows Go's own structures, field by field."""
MADE_UP = ("managedFields", "resourceVersion")


def comparable(answer: Answer) -> Any:
    """Without uids, times and versions; causes in the order of their texts (Go walks its maps in any order)."""
    text = TOKEN_VOLUME.sub("kube-api-access-x", json.dumps(answer.body).replace(DISTRIBUTION, ""))
    text = STRUCTS.sub("", NOW.sub("TIME", UUID.sub("UID", text)))
    body = json.loads(text)
    if isinstance(body, dict) and body.get("kind") == "Status":
        causes = body.get("details", {}).get("causes")
        if causes:
            causes.sort(key=lambda c: (c.get("field", ""), c.get("reason", ""), c.get("message", "")))
            if body.get("reason") == "Invalid":
                body.pop("message", None)
    elif isinstance(body, dict) and isinstance(body.get("metadata"), dict):
        for name in MADE_UP:
            body["metadata"].pop(name, None)
        if str(body.get("kind")).endswith(("AccessReview", "RulesReview")):
            body.pop("status", None)
        if body.get("kind") == "Service":
            body = json.loads(ALLOCATED.sub("10.96.x.x", json.dumps(body)))
        if body.get("kind") == "CertificateSigningRequest":
            for name in ("username", "groups", "extra"):
                body["spec"].pop(name, None)
    told = sorted(each for each in answer.warnings if OWN_WARNING not in each)
    return {"code": answer.code, "body": body, "warnings": told}
