"""An API server in a process of its own, with the stack of the real program's process, is asked for deep nesting.

Prints what it answers, by name; `test_deep.py` knows what a real one says."""

from __future__ import annotations

import asyncio
import json

from tests.api_server import answers, caller, running
from workshop import component

GROUP = "wire.example.com"
DEEPS = f"/apis/{GROUP}/v1/namespaces/default/deeps"
MAPS = "/api/v1/namespaces/default/configmaps"
REVISIONS = "/apis/apps/v1/namespaces/default/controllerrevisions"
YAML, APPLY, MERGE = "application/yaml", "application/apply-patch+yaml", "application/merge-patch+json"
LIMIT = 9_998
"""Levels that go into an object's field: it stands in two more."""
KEPT = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"deeps.{GROUP}"},
    "spec": {
        "group": GROUP,
        "scope": "Namespaced",
        "names": {"plural": "deeps", "singular": "deep", "kind": "Deep", "listKind": "DeepList"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": KEPT}}},
            }
        ],
    },
}


def nested(levels: int, begin: str = '{"a":', end: str = "}") -> str:
    return begin * levels + "1" + end * levels


def deep(name: str, levels: int) -> str:
    head = f'{{"apiVersion":"{GROUP}/v1","kind":"Deep","metadata":{{"name":"{name}"}}'
    return f'{head},"spec":{{"x":{nested(levels)}}}}}'


def block(levels: int) -> str:
    return f"apiVersion: {GROUP}/v1\nkind: Deep\nmetadata: {{name: block}}\nspec:\n  x:\n  {'- ' * levels}1\n"


def revision(levels: int) -> str:
    head = '{"apiVersion":"apps/v1","kind":"ControllerRevision","metadata":{"name":"deep"},"revision":1'
    return f'{head},"data":{nested(levels)}}}'


def unknown(levels: int) -> str:
    head = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"deep"}'
    return f'{head},"foo":{nested(levels, "[", "]")}}}'


ASKED = [
    ("object", "POST", DEEPS, deep("whole", LIMIT), "application/json"),
    ("object, a level more", "POST", DEEPS, deep("more", LIMIT + 1), "application/json"),
    ("object again", "GET", f"{DEEPS}/whole", None, ""),
    ("list", "GET", DEEPS, None, ""),
    ("merge patch", "PATCH", f"{DEEPS}/whole", f'{{"spec":{{"y":{nested(3000)}}}}}', MERGE),
    ("merge patch, too deep", "PATCH", f"{DEEPS}/whole", f'{{"spec":{{"y":{nested(9_999)}}}}}', MERGE),
    ("flow in YAML", "POST", f"{DEEPS}?dryRun=All", deep("flow", 3000), YAML),
    ("flow in YAML, too deep", "POST", f"{DEEPS}?dryRun=All", deep("flow", LIMIT + 1), YAML),
    ("block in YAML", "POST", f"{DEEPS}?dryRun=All", block(3000), YAML),
    ("apply", "PATCH", f"{DEEPS}/applied?fieldManager=me", deep("applied", 1500), APPLY),
    ("apply, too deep", "PATCH", f"{DEEPS}/more?fieldManager=me", deep("more", LIMIT + 1), APPLY),
    ("raw extension", "POST", REVISIONS, revision(9_999), "application/json"),
    ("unknown field", "POST", MAPS, unknown(9_999), "application/json"),
    ("unknown field, too deep", "POST", MAPS, unknown(10_000), "application/json"),
    ("delete", "DELETE", f"{DEEPS}/whole", None, ""),
]


async def main() -> None:
    found = {}
    async with running() as server:
        api = caller(server)
        await api("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", DEFINITION)
        await answers(api, DEEPS, 200)
        for name, method, path, body, media in ASKED:
            answer = await api(method, path, body, media)
            said = answer.body if answer.status < 400 else answer.json["message"].encode()
            found[name] = [answer.status, "" if answer.status < 400 else said.decode()]
    print(json.dumps(found))


if __name__ == "__main__":
    component.deep_stack()
    asyncio.run(main())
