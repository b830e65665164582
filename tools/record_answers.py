"""Posts the manifests of tests/api/real to a running kube-apiserver (dry run) and keeps its answers beside them.

    python tools/record_answers.py --kubeconfig admin.conf

Its admission plugins that change objects (ServiceAccount, Priority, DefaultTolerationSeconds, …) must be off.

`good.yaml` → `good.json`: the objects as the server would store them, without what it makes up (uid, timestamps,
managed fields).

"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client, config

sys.path.insert(0, str(Path(__file__).parent.parent))
from workshop.api import resources

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
FOLDER = Path(__file__).parent.parent / "tests" / "api" / "real"
MADE_UP = ("uid", "creationTimestamp", "managedFields", "resourceVersion", "generation", "selfLink")


class Server:
    def __init__(self, kubeconfig: str) -> None:
        self.api = config.new_client_from_config(kubeconfig)

    def call(
        self, method: str, path: str, body: Any = None, dry: bool = True, accept: str = "application/json"
    ) -> dict[str, Any]:
        try:
            answer = self.api.call_api(
                path,
                method,
                query_params=[("fieldValidation", "Strict")] + [("dryRun", "All")] * dry,
                header_params={"Content-Type": "application/json", "Accept": accept},
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _request_timeout=10,
                _return_http_data_only=True,
            )
            return json.loads(answer.data)
        except client.ApiException as error:
            return json.loads(error.body)


def path_of(obj: dict[str, Any], with_name: bool = False) -> str:
    resource = resources.for_kind(obj["apiVersion"], obj["kind"])
    assert resource is not None, obj
    meta = obj.get("metadata") or {}
    return resource.path(meta.get("namespace", "default"), meta.get("name") if with_name else None)


def stripped(obj: dict[str, Any]) -> dict[str, Any]:
    for name in MADE_UP:
        obj["metadata"].pop(name, None)
    return obj


def refusal(answer: dict[str, Any]) -> dict[str, Any]:
    causes = [[c.get("field", ""), c.get("reason", ""), c.get("message", "")] for c in answer["details"]["causes"]]
    return {"code": answer["code"], "message": answer["message"], "causes": causes}


def write(name: str, rows: list[Any]) -> None:
    """One row a line."""
    lines = ",\n".join(json.dumps(row, separators=(",", ":"), ensure_ascii=False) for row in rows)
    (FOLDER / name).write_text(f"[\n{lines}\n]\n")


def read(name: str) -> list[Any]:
    return [each for each in yaml.safe_load_all((FOLDER / name).read_text()) if each]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubeconfig", required=True)
    server = Server(parser.parse_args().kubeconfig)

    accepted, rows = [], []
    for obj in read("good.yaml"):
        answer = server.call("POST", path_of(obj), obj)
        if answer["kind"] == "Status":
            print(f"{obj['kind']} {obj['metadata']['name']}: {answer['message']}", file=sys.stderr)
        else:
            accepted.append(stripped(answer))
            table = server.call("POST", path_of(obj), obj, accept=TABLE)
            rows.append(table["rows"][0]["cells"])
    write("good.json", accepted)
    write("rows.json", rows)

    refused = []
    for obj in read("bad.yaml"):
        answer = server.call("POST", path_of(obj), obj)
        if answer["kind"] != "Status" or answer["code"] != 422:
            print("not refused as invalid:", obj, answer.get("message"), file=sys.stderr)
        else:
            refused.append({"object": obj, **refusal(answer)})
    write("bad.json", refused)


if __name__ == "__main__":
    main()
