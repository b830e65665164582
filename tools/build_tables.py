"""Makes the committed tables of `workshop/api/tables` from upstream's sources and a running kube-apiserver.

    python tools/build_tables.py --source ~/kubernetes --kubeconfig admin.conf

`--source` is a checkout of kubernetes/kubernetes at the version that `--kubeconfig`'s server runs with its shipped
defaults. Only facts are taken (names, numbers, tags), no prose. Two tables come out:

resources.json      what discovery answers, in discovery's order, with storage prefixes and versions
types/PACKAGE.json  one file a Go package: its structs, read off the Go sources (field names, Go types, protobuf
                    numbers, patch strategies) and off OpenAPI (required, list types, enums, defaults)
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import go_structs

TABLES = Path(__file__).parent.parent / "workshop" / "api" / "tables"

# pkg/kubeapiserver/default_storage_factory_builder.go: SpecialDefaultResourcePrefixes, cohabitating resources and
# versions that are stored older than the newest one; the prefixes of aggregator and extensions carry their group.
IRREGULAR_PREFIXES = {
    ("", "replicationcontrollers"): "controllers",
    ("", "endpoints"): "services/endpoints",
    ("", "nodes"): "minions",
    ("", "services"): "services/specs",
    ("networking.k8s.io", "ingresses"): "ingress",
    ("apiregistration.k8s.io", "apiservices"): "apiregistration.k8s.io/apiservices",
    ("apiextensions.k8s.io", "customresourcedefinitions"): "apiextensions.k8s.io/customresourcedefinitions",
}
STORED_ELSEWHERE = {("events.k8s.io", "events"): ("", "v1")}
STORED_OLDER = {
    ("coordination.k8s.io", "leasecandidates"): "v1beta1",
    ("admissionregistration.k8s.io", "mutatingadmissionpolicies"): "v1beta1",
    ("admissionregistration.k8s.io", "mutatingadmissionpolicybindings"): "v1beta1",
    ("certificates.k8s.io", "clustertrustbundles"): "v1beta1",
    ("certificates.k8s.io", "podcertificaterequests"): "v1beta1",
    ("storagemigration.k8s.io", "storageversionmigrations"): "v1beta1",
    ("resource.k8s.io", "devicetaintrules"): "v1alpha3",
    ("resource.k8s.io", "resourcepoolstatusrequests"): "v1alpha3",
    ("scheduling.k8s.io", "workloads"): "v1alpha2",
    ("scheduling.k8s.io", "podgroups"): "v1alpha2",
}
# Upstream still stores definitions in their first version, which is no longer served; ours go by the served one.
HASH_TELLS = {("apiextensions.k8s.io", "customresourcedefinitions"): ("apiextensions.k8s.io", "v1beta1")}


class Server:
    """Reads raw paths of a running server with kubectl."""

    def __init__(self, kubeconfig: str) -> None:
        self.kubeconfig = kubeconfig

    def get(self, path: str) -> Any:
        command = ["kubectl", "--kubeconfig", self.kubeconfig, "get", "--raw", path]
        return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def group_version_path(group: str, version: str) -> str:
    return f"/apis/{group}/{version}" if group else f"/api/{version}"


def discovery(read: Any) -> dict[tuple[str, str], dict[str, Any]]:
    """(group, version) → APIResourceList in the order of `/apis`; the core group comes first."""
    lists = {("", "v1"): read("/api/v1")}
    for group in read("/apis")["groups"]:
        for version in group["versions"]:
            key = (group["name"], version["version"])
            lists[key] = read(group_version_path(*key))
    return lists


def storage_hash(group: str, version: str, kind: str) -> str:
    """Upstream's StorageVersionHash (apiserver/pkg/endpoints/discovery/storageversionhash.go)."""
    return base64.b64encode(hashlib.sha256(f"{group}/{version}/{kind}".encode()).digest()[:8]).decode()


def resource_rows(group: str, version: str, listing: dict[str, Any], newest: str, on: bool) -> Iterator[dict[str, Any]]:
    for entry in listing["resources"]:
        plural, _, sub = entry["name"].partition("/")
        if sub:
            continue
        stored = STORED_ELSEWHERE.get((group, plural)) or (group, STORED_OLDER.get((group, plural), newest))
        seen = entry.get("storageVersionHash")
        told = HASH_TELLS.get((group, plural), stored)
        if seen and seen != storage_hash(*told, entry["kind"]):
            raise SystemExit(f"{plural}.{group} is not stored as {stored}")
        row = {
            "group": group,
            "version": version,
            "kind": entry["kind"],
            "plural": plural,
            "singular": entry["singularName"],
            "namespaced": entry["namespaced"],
            "verbs": entry["verbs"],
            "short_names": entry.get("shortNames"),
            "categories": entry.get("categories"),
            "prefix": IRREGULAR_PREFIXES.get((group, plural)),
            "hash": seen if told != stored else None,
            "stored": list(stored) if seen and stored != (group, version) else None,
            "persisted": None if seen else False,
            "default": None if on else False,
            "subresources": [
                [e["name"].partition("/")[2], e.get("group", group), e.get("version", version), e["kind"], e["verbs"]]
                for e in listing["resources"]
                if e["name"].startswith(plural + "/")
            ]
            or None,
        }
        yield {key: value for key, value in row.items() if value is not None}


def build_resources(source: Path, server: Server) -> list[dict[str, Any]]:
    def from_source(path: str) -> Any:
        name = path.strip("/").replace("/", "__")
        return json.loads((source / "api" / "discovery" / f"{name}.json").read_text())

    served, known = discovery(server.get), discovery(from_source)
    newest: dict[str, str] = {}
    for group, version in served | known:
        newest.setdefault(group, version)
    rows = []
    for group, version in known | served:
        listing = served.get((group, version), {"resources": []})
        rows += resource_rows(group, version, listing, newest[group], True)
        names = {entry["name"] for entry in listing["resources"]}
        extra = known.get((group, version), {"resources": []})["resources"]
        unserved = {"resources": [e for e in extra if e["name"].partition("/")[0] not in names]}
        rows += resource_rows(group, version, unserved, newest[group], False)
    return rows


def write(path: Path, header: dict[str, Any], key: str, rows: list[Any] | dict[str, Any]) -> None:
    """One row a line, so that a new version of Kubernetes reads well as a diff."""

    def dump(value: Any) -> str:
        return json.dumps(value, separators=(",", ":"))

    lines = [f"{dump(name)}:{dump(row)}" for name, row in rows.items()] if isinstance(rows, dict) else map(dump, rows)
    brackets = "{}" if isinstance(rows, dict) else "[]"
    head = "".join(f"{dump(name)}:{dump(value)},\n" for name, value in header.items())
    path.write_text("{" + head + f"{dump(key)}:{brackets[0]}\n" + ",\n".join(lines) + f"\n{brackets[1]}" + "}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, required=True, help="a checkout of kubernetes/kubernetes")
    parser.add_argument("--kubeconfig", required=True, help="of a running kube-apiserver of the same version")
    options = parser.parse_args()
    server = Server(options.kubeconfig)
    version = server.get("/version")["gitVersion"].partition("-")[0]
    facts = f"Facts of kubernetes/kubernetes {version}, made by tools/build_tables.py."

    rows = build_resources(options.source, server)
    header = {"source": facts + " api/discovery and a server's own discovery; storage: pkg/kubeapiserver"}
    write(TABLES / "resources.json", header, "resources", rows)

    documents = [
        json.loads(path.read_text()) for path in (options.source / "api/openapi-spec/v3").glob("*_openapi.json")
    ]
    documents += [server.get(f"/openapi/v3/{path}") for path in server.get("/openapi/v3")["paths"] if path.count("/")]
    (TABLES / "types").mkdir(exist_ok=True)
    for package, table in go_structs.build(options.source, documents).items():
        header = {"source": f"{facts} {table.path}", "prefix": table.prefix, "names": table.names}
        write(TABLES / "types" / f"{package}.json", header, "structs", table.structs)


if __name__ == "__main__":
    main()
