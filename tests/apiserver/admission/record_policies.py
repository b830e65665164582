"""Asks a real kube-apiserver the questions of `policy_cases.py` and writes its answers: `policy_facts.json`."""

from __future__ import annotations

import http.client
import json
import ssl
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.apiserver.admission import policy_cases as cases

FACTS = Path(__file__).with_name("policy_facts.json")
OBJECTS = "/api/v1/namespaces/default/configmaps"
LIMITS = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "limits"}, "data": {"a": "5"}}


def told(status: int, body: Any, warning: str) -> list[Any]:
    """What is compared: status, reason, causes or message; of what was made its labels and data; warnings."""
    details = body.get("details") or {}
    causes = [[c.get("field", ""), c.get("reason", ""), c["message"]] for c in details.get("causes") or ()]
    if status >= 300:
        found = [status, body.get("reason"), causes or body.get("message")]
    elif body["kind"] == "ConfigMap":
        found = [status, body["metadata"].get("labels"), body.get("data")]
    else:
        found = [status, "made"]
    return [*found, *([warning] if warning else [])]


def main(server: str, folder: str) -> None:
    context = ssl.create_default_context(cafile=f"{folder}/ca.crt")
    context.load_cert_chain(f"{folder}/admin.crt", f"{folder}/admin.key")
    address = urlsplit(server)

    def ask(method: str, target: str, body: Any = None) -> list[Any]:
        connection = http.client.HTTPSConnection(address.hostname or "", address.port, context=context)
        connection.request(method, target, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return told(answer.status, json.loads(answer.read()), answer.getheader("Warning") or "")

    ask("POST", OBJECTS, LIMITS)
    refused = {name: ask("POST", f"{cases.path(obj)}?dryRun=All", obj) for name, obj in cases.refused().items()}
    judged = {}
    for name, (policy, binding, obj) in cases.judged().items():
        ask("POST", cases.path(policy), policy)
        ask("POST", cases.path(binding), binding)
        time.sleep(2.5)
        judged[name] = ask("POST", f"{OBJECTS}?dryRun=All", obj)
        for made in (binding, policy):
            ask("DELETE", f"{cases.path(made)}/{made['metadata']['name']}")
        time.sleep(0.5)
    header = (
        "answers of kube-apiserver v1.36.2 to tests/apiserver/admission/policy_cases.py, made by record_policies.py"
    )
    lines = ["{", f'"#": {json.dumps(header)},']
    for part, found in (("refused", refused), ("judged", judged)):
        rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(answer)}" for name, answer in found.items())
        lines.append(f'"{part}": {{\n{rows}\n}}' + ("," if part == "refused" else ""))
    FACTS.write_text("\n".join([*lines, "}", ""]))


if __name__ == "__main__":
    main(*sys.argv[1:])
