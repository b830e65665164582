"""Make `workshop/apiserver/bootstrap/table.json` from the answers of a real kube-apiserver that was just started.

    python tools/bootstrap_table.py --kubectl kubectl --kubeconfig admin.conf --version v1.36.2

The table holds what the server creates by itself and does not depend on the cluster's flags: RBAC roles and
bindings, flow schemas, priority levels, priority classes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parent.parent / "workshop/apiserver/bootstrap/table.json"
RESOURCES = (
    "clusterroles",
    "clusterrolebindings",
    "roles",
    "rolebindings",
    "prioritylevelconfigurations",
    "flowschemas",
    "priorityclasses",
)
SOURCES = (
    "plugin/pkg/auth/authorizer/rbac/bootstrappolicy/*.go",
    "staging/src/k8s.io/apiserver/pkg/apis/flowcontrol/bootstrap/default.go",
    "pkg/apis/scheduling/v1/helpers.go",
)
#: Left out: what a downstream build of the server adds.
FOREIGN = ("openshift", "service-ca-cert-publisher")


def plain(item: dict[str, Any]) -> dict[str, Any]:
    """The object as it was before the server gave it an identity."""
    metadata = {k: v for k, v in item["metadata"].items() if k in ("name", "namespace", "labels", "annotations")}
    rest = {k: v for k, v in item.items() if k not in ("apiVersion", "kind", "metadata", "status")}
    return {"metadata": metadata, **rest}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubectl", default="kubectl")
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--version", required=True)
    options = parser.parse_args()
    table: dict[str, Any] = {}
    for resource in RESOURCES:
        command = [options.kubectl, "--kubeconfig", options.kubeconfig, "get", resource, "-A", "-o", "json"]
        items = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["items"]
        table[resource] = [plain(i) for i in items if not any(f in i["metadata"]["name"] for f in FOREIGN)]
    header = {
        "_upstream": f"kubernetes {options.version}: {', '.join(SOURCES)}",
        "_made_by": "tools/bootstrap_table.py",
    }
    lines = [f'"{k}": {json.dumps(v)}' for k, v in header.items()]
    for resource, items in table.items():
        rows = ",\n".join(json.dumps(i, separators=(",", ":"), sort_keys=True) for i in items)
        lines.append(f'"{resource}": [\n{rows}\n]')
    TARGET.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{TARGET}: {TARGET.stat().st_size} bytes, {', '.join(f'{len(v)} {k}' for k, v in table.items())}")


if __name__ == "__main__":
    main()
