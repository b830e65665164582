"""Makes workshop/apiserver/printers/columns.json: the Table columns that a running kube-apiserver answers.

python tools/build_columns.py --kubeconfig admin.conf
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from kubernetes import client, config

sys.path.insert(0, str(Path(__file__).parent.parent))
from workshop.api import resources

OUT = Path(__file__).parent.parent / "workshop" / "apiserver" / "printers" / "columns.json"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubeconfig", required=True)
    api = config.new_client_from_config(parser.parse_args().kubeconfig)
    rows: dict[str, list[list[str | int]]] = {}
    texts: list[str] = []
    for each in resources.all_resources():
        if "list" not in each.verbs:
            continue
        try:
            answer = api.call_api(
                each.path(), "GET", header_params={"Accept": TABLE}, _preload_content=False, _request_timeout=10
            )
        except client.ApiException as error:
            print(each.group_resource, error.status, file=sys.stderr)
            continue
        columns = json.loads(answer.data).get("columnDefinitions", [])
        for column in columns:
            if column["description"] not in texts:
                texts.append(column["description"])
            column["description"] = texts.index(column["description"])
        keys = ("name", "type", "format", "description", "priority")
        rows[f"{each.group_resource}/{each.version}"] = [[column[key] for key in keys] for column in columns]
    lines = ",\n".join(f"{json.dumps(name)}:{json.dumps(row, separators=(',', ':'))}" for name, row in rows.items())
    source = "Facts of kubernetes v1.36.2 (pkg/printers/internalversion/printers.go), made by tools/build_columns.py"
    told = ",\n".join(map(json.dumps, texts))
    head = f'"source":{json.dumps(source)},\n"descriptions":[\n{told}\n]'
    OUT.write_text(f'{{{head},\n"columns":{{\n{lines}\n}}}}\n')


if __name__ == "__main__":
    main()
