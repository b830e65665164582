"""One object three times: as kubectl shows it, as JSON on the wire, as bytes in etcd."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workshop.api import codec
from workshop.api.meta import Obj
from workshop.api.resources import Resource, resource
from workshop.client.rest import Client
from workshop.cluster.facade import Cluster
from workshop.cluster.layout import ClusterError

from . import blocking
from .store import Refused, Store

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


@dataclass(frozen=True)
class Faces:
    """`table` is the server's own Table as text, `wire` the answer to a plain GET, `stored` etcd's bytes."""

    key: str
    table: str
    wire: str
    stored: bytes
    revision: int

    def __str__(self) -> str:
        return "\n".join(
            [
                "as kubectl shows it", self.table, "", f"as JSON on the wire ({len(self.wire)} bytes)", self.wire, "",
                f"as bytes in etcd, under {self.key} since revision {self.revision} ({len(self.stored)} bytes)",
                self.stored.decode("utf-8", "backslashreplace"),
            ]
        )  # fmt: skip


def look(cluster: Cluster, kind: str, name: str, namespace: str = "default") -> Faces:
    """Raises ApiError (404), Unreachable, ClusterError, KeyError for a kind that there is not."""
    what = resource(kind)
    where = namespace if what.namespaced else None
    wire, table = blocking.run(_from_server(cluster, what, where, name))
    key = what.storage_key(where, name)
    stored, revision = _from_etcd(cluster, key)
    return Faces(key, _text(table), codec.dumps_indented(wire), stored, revision)


async def _from_server(cluster: Cluster, kind: Resource, where: str | None, name: str) -> tuple[Obj, Obj]:
    client = Client.from_kubeconfig(str(cluster.kubeconfig()), user_agent="workshop-glass-box")
    try:
        wire = await client.request("GET", kind.path(where, name))
        table = await client.request("GET", kind.path(where, name), headers={"Accept": TABLE})
    finally:
        await client.close()
    return wire, table


def _from_etcd(cluster: Cluster, key: str) -> tuple[bytes, int]:
    store = Store(cluster)
    try:
        found = store.get(key)
    except Refused as error:
        raise ClusterError(f"etcd cannot be asked from here: {error}") from error
    finally:
        store.close()
    return (found.raw, found.mod) if found else (b"", 0)


def _text(table: dict[str, Any]) -> str:
    """A Table as columns, without those that only `-o wide` shows."""
    columns = [c for c in table["columnDefinitions"] if not c.get("priority")]
    shown = [n for n, c in enumerate(table["columnDefinitions"]) if not c.get("priority")]
    rows = [[c["name"].upper() for c in columns]]
    rows += [[str(row["cells"][n]) for n in shown] for row in table["rows"]]
    widths = [max(len(row[n]) for row in rows) for n in range(len(columns))]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
