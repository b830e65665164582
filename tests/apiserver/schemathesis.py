"""python -m tests.apiserver.schemathesis [--examples N] [--only TEXT] [--seed N]

Asks our own server, in this process, all that its OpenAPI documents offer, with what schemathesis makes up: paths,
queries and bodies that the schemas allow, and some that they do not. It complains of

- an answer of 500 and above,
- an answer of 200 to 202 that is not what the document promises,
- a refusal that is no Status with the code of the answer,
- a request that takes longer than ten seconds.

Needs the package `schemathesis`, which nothing else here uses: `pip install schemathesis`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from random import Random
from typing import Any
from urllib.parse import urlencode

from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings

from tests.api_server import Answer, Api, assembled, caller, running
from workshop.api import openapi
from workshop.api.resources import all_resources, group_versions

PATIENCE = 10.0
UPSTREAMS = ("target.name: Required value", "target.kind: Unsupported value", "[target.")
"""What kube-apiserver 1.36.2 answers with a 500, too: a binding that names no node."""
WIDGETS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "properties": {
                                    "size": {"type": "integer", "maximum": 9, "default": 1},
                                    "names": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
                                },
                                "x-kubernetes-validations": [{"rule": "!has(self.names) || self.names.size() <= self.size"}],
                            },
                            "status": {"type": "object", "properties": {"size": {"type": "integer"}}},
                        },
                    }
                },
            }
        ],
    },
}  # fmt: skip


class Server:
    """The API server in a thread with a loop of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stop: asyncio.Event
        self._api: Api
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._run()), daemon=True)

    async def _run(self) -> None:
        self._stop = asyncio.Event()
        async with running(assembled()) as server:
            self._api = caller(server)
            self._ready.set()
            await self._stop.wait()

    def __enter__(self) -> Server:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *failure: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def ask(self, method: str, target: str, body: bytes | None, content_type: str) -> Answer:
        """Raises TimeoutError."""

        async def within() -> Answer:
            async with asyncio.timeout(PATIENCE):
                return await self._api(method, target, body, content_type)

        return asyncio.run_coroutine_threadsafe(within(), self._loop).result()


def problem(operation: Any, answer: Answer) -> str:
    """What is wrong with an answer, "" if nothing is."""
    if answer.status == 404 and answer.body == b"404 page not found\n":
        return ""  # what was made up is no path
    if answer.status >= 500 and not str(answer.json.get("message")).startswith(UPSTREAMS):
        return f"{answer.status}: {answer.body[:300]!r}"
    if 400 <= answer.status < 500:
        body = answer.json
        if body.get("kind") != "Status" or body.get("code") != answer.status or body.get("status") != "Failure":
            return f"{answer.status} with no Status of that code: {answer.body[:300]!r}"
        return ""
    if answer.status >= 500:
        return ""
    documented = operation["responses"].get(str(answer.status))
    if documented is None:
        return f"{answer.status} is not told of"
    if "application/json" in documented["content"]:
        return _unlike(operation, documented["content"]["application/json"]["schema"], answer)
    return ""


def _unlike(operation: Any, schema: Any, answer: Answer) -> str:
    """The kind that is promised is the kind that came."""
    promised = schema.get("$ref", "").rpartition(".")[2]
    kind = answer.json.get("kind")
    if not promised or kind in (promised, "Status"):
        return ""
    if operation["x-kubernetes-action"] == "deletecollection" and kind.endswith("List"):
        return ""  # upstream promises a Status and answers with what it deleted, too
    return f"{kind} where {promised} was promised"


def offered(only: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The documents of all that is served by default."""
    resources = [each for each in all_resources() if each.served_by_default]
    for group, versions in group_versions(resources).items():
        for version in versions:
            document = openapi.document(group, version, resources)
            document["paths"] = {path: item for path, item in document["paths"].items() if only in path}
            yield f"{group or 'core'}/{version}", document


def _asked(operation: Any) -> bool:
    """Streams are not asked, nor what a kubelet would have to answer."""
    return operation.get("x-kubernetes-action") != "connect" and not operation.get("operationId", "").endswith("PodLog")


def main(argv: list[str]) -> int:
    try:
        import schemathesis
    except ImportError:
        print("skipped: the package schemathesis is not installed (pip install schemathesis)")
        return 0
    parser = argparse.ArgumentParser(prog="tests.apiserver.schemathesis")
    parser.add_argument("--examples", type=int, default=20, help="requests an operation")
    parser.add_argument("--only", default="", help="paths that hold this text")
    parser.add_argument("--seed", type=int, default=1)
    flags = parser.parse_args(argv)
    counted: Counter[str] = Counter()
    found: dict[str, str] = {}
    with Server() as server, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _prepare(server)
        documents = [*offered(flags.only), ("example.com/v1", _of_widgets(server, flags.only))]
        for name, document in documents:
            loaded = schemathesis.openapi.from_dict(document)
            for result in loaded.get_all_operations():
                raw = result.ok()
                operation = document["paths"][raw.path][raw.method]
                if _asked(operation):
                    _campaign(server, raw, operation, flags, counted, found)
            print(f"{name}: {counted.total()} requests so far, {len(found)} complaints", flush=True)
    print("answers:", dict(sorted(counted.items())))
    return 1 if found else 0


def _prepare(server: Server) -> None:
    made = server.ask(
        "POST",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        json.dumps(WIDGETS).encode(),
        "application/json",
    )
    assert made.status == 201, made.body


def _of_widgets(server: Server, only: str) -> dict[str, Any]:
    while (answer := server.ask("GET", "/openapi/v3/apis/example.com/v1", None, "")).status == 404:
        pass
    document: dict[str, Any] = answer.json
    document["paths"] = {path: item for path, item in document["paths"].items() if only in path}
    return document


def _campaign(
    server: Server, raw: Any, operation: Any, flags: Any, counted: Counter[str], found: dict[str, str]
) -> None:
    """Ask one operation many times."""

    def once(case: Any) -> None:
        _bring_near(case, operation)
        request = _request(case)
        try:
            answer = server.ask(*request)
        except TimeoutError:
            found.setdefault(f"{raw.method} {raw.path}", f"no answer in {PATIENCE} s: {request!r:.400}")
            return
        counted[str(answer.status)] += 1
        if why := problem(operation, answer):
            key = f"{raw.method.upper()} {raw.path} {answer.status}"
            if key not in found:
                found[key] = f"{why}\n    {request!r:.600}"
                print(f"{key}\n    {found[key]}", flush=True)

    asked: Callable[[], None] = given(case=raw.as_strategy())(once)
    asked = settings(
        max_examples=flags.examples, deadline=None, database=None, phases=[Phase.generate], verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck),
    )(seed(flags.seed)(asked))  # fmt: skip
    asked()


def _bring_near(case: Any, operation: Any) -> None:
    """Most of what is made up names nothing that is there: three of four requests are led to what might be."""
    chance = Random(repr((case.path_parameters, case.query, case.body)))
    parameters = case.path_parameters or {}
    for name, likely in (("namespace", "default"), ("name", f"n{chance.randrange(3)}")):
        if name in parameters and chance.random() < 0.75:
            parameters[name] = likely
    if isinstance(case.body, dict) and operation["x-kubernetes-action"] in ("post", "put") and chance.random() < 0.75:
        about = operation["x-kubernetes-group-version-kind"]
        api_version = f"{about['group']}/{about['version']}" if about["group"] else about["version"]
        metadata = {"name": parameters.get("name", f"n{chance.randrange(3)}")}
        case.body = {**case.body, "apiVersion": api_version, "kind": about["kind"], "metadata": metadata}


def _request(case: Any) -> tuple[str, str, bytes | None, str]:
    query = {key: value for key, value in (case.query or {}).items() if key not in ("watch", "follow")}
    text = urlencode({key: _plain(value) for key, value in query.items()}, doseq=True)
    sent = case.as_transport_kwargs(base_url="http://localhost")
    path = sent["url"].removeprefix("http://localhost")
    body, kind = sent.get("data"), case.media_type or ""
    if "json" in sent:
        body = json.dumps(sent["json"]).encode()
    if isinstance(body, str):
        body = body.encode()
    return case.method.upper(), f"{path}?{text}" if text else path, body, kind


def _plain(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
