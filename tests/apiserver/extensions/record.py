"""Asks a real kube-apiserver the questions of `cases.py` and writes its answers: `facts.json`."""

from __future__ import annotations

import http.client
import json
import ssl
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.apiserver.extensions import cases

FACTS = Path(__file__).with_name("facts.json")
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
OBJECTS = "/apis/example.com/v1/namespaces/default/widgets"
JUDGED = "/apis/example.com/v1/namespaces/default/judged"
KINDS = {"PATCH": "application/json-patch+json"}


def told(status: int, body: Any, warning: str) -> list[Any]:
    """What is compared: status, causes (or the message, or the spec of what was made), warnings."""
    details = body.get("details") or {}
    causes = [[c.get("field", ""), c.get("reason", ""), c["message"]] for c in details.get("causes") or ()]
    made = body.get("spec") if body.get("kind") in ("Widget", "Judged") else "made"
    return [status, causes or (body.get("message") if status >= 300 else made), *([warning] if warning else [])]


def judged_object(spec: Any, version: str = "") -> dict[str, Any]:
    metadata = {"name": "j", **({"resourceVersion": version} if version else {})}
    return {"apiVersion": "example.com/v1", "kind": "Judged", "metadata": metadata, "spec": spec}


def last(ask: Any, specs: list[Any]) -> Any:
    """The answer to the last of several writes of one object, which is deleted afterwards."""
    answer = ask("POST", JUDGED, judged_object(specs[0]))
    for spec in specs[1:]:
        answer = ask("PATCH", f"{JUDGED}/j", [{"op": "replace", "path": "/spec", "value": spec}])
    ask("DELETE", f"{JUDGED}/j")
    return answer


def main(server: str, folder: str) -> None:
    context = ssl.create_default_context(cafile=f"{folder}/ca.crt")
    context.load_cert_chain(f"{folder}/admin.crt", f"{folder}/admin.key")
    address = urlsplit(server)

    def ask(method: str, target: str, body: Any = None) -> list[Any]:
        connection = http.client.HTTPSConnection(address.hostname or "", address.port, context=context)
        connection.request(method, target, json.dumps(body), {"Content-Type": KINDS.get(method, "application/json")})
        answer = connection.getresponse()
        return told(answer.status, json.loads(answer.read()), answer.getheader("Warning") or "")

    facts = {name: ask("POST", f"{CRDS}?dryRun=All", crd) for name, crd in cases.definitions().items()}
    ask("POST", CRDS, cases.WIDGETS)
    time.sleep(3)
    objects = {
        name: ask("POST", f"{OBJECTS}?dryRun=All&{query}", obj) for name, (query, obj) in cases.widgets().items()
    }
    ask("POST", CRDS, cases.JUDGED)
    time.sleep(3)
    judged = {name: last(ask, specs) for name, specs in cases.judged().items()}
    for name in ("widgets", "judged"):
        ask("DELETE", f"{CRDS}/{name}.example.com")
    header = "answers of kube-apiserver v1.36.2 to tests/apiserver/extensions/cases.py, made by record.py"
    lines = ["{", f'"#": {json.dumps(header)},']
    for part, found in (("definitions", facts), ("widgets", objects), ("judged", judged)):
        rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(answer)}" for name, answer in found.items())
        lines.append(f'"{part}": {{\n{rows}\n}}' + ("," if part != "judged" else ""))
    FACTS.write_text("\n".join([*lines, "}", ""]))


if __name__ == "__main__":
    main(*sys.argv[1:])
