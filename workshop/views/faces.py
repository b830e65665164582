"""One object three times: as kubectl shows it, as JSON on the wire, as bytes in etcd."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from workshop.api import codec
from workshop.api.resources import Resource, resource
from workshop.client.rest import Client
from workshop.cluster.facade import Cluster
from workshop.cluster.layout import ClusterError
from workshop.http2.client import Channel, RpcError
from workshop.wire import etcd_pb2 as pb

from . import blocking

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
    return blocking.run(_look(cluster, resource(kind), name, namespace))


async def _look(cluster: Cluster, kind: Resource, name: str, namespace: str) -> Faces:
    where = namespace if kind.namespaced else None
    client = Client.from_kubeconfig(str(cluster.kubeconfig()), user_agent="workshop-glass-box")
    try:
        wire = await client.request("GET", kind.path(where, name))
        table = await client.request("GET", kind.path(where, name), headers={"Accept": TABLE})
    finally:
        await client.close()
    key = kind.storage_key(where, name)
    stored, revision = await _from_etcd(cluster, key)
    return Faces(key, _text(table), codec.dumps_indented(wire), stored, revision)


async def _from_etcd(cluster: Cluster, key: str) -> tuple[bytes, int]:
    pki, address = cluster.layout.pki, cluster.plan().addresses.control_plane
    tls = ssl.create_default_context(cafile=str(pki / "etcd/ca.crt"))
    tls.load_cert_chain(str(pki / "apiserver-etcd-client.crt"), str(pki / "apiserver-etcd-client.key"))
    tls.set_alpn_protocols(["h2"])
    channel = Channel(address, 2379, tls)
    try:
        request = pb.RangeRequest(key=key.encode()).SerializeToString()
        answer = pb.RangeResponse.FromString(await channel.unary("/etcdserverpb.KV/Range", request, timeout=5))
    except RpcError as error:
        raise ClusterError(f"etcd cannot be asked from here: {error}") from error
    finally:
        await channel.close()
    if not answer.kvs:
        return b"", 0
    return answer.kvs[0].value, answer.kvs[0].mod_revision


def _text(table: dict[str, object]) -> str:
    """A Table as columns, without those that only `-o wide` shows."""
    columns = [c for c in table["columnDefinitions"] if not c.get("priority")]  # type: ignore[attr-defined]
    shown = [n for n, c in enumerate(table["columnDefinitions"]) if not c.get("priority")]  # type: ignore[arg-type, var-annotated]
    rows = [[c["name"].upper() for c in columns]]
    rows += [[str(row["cells"][n]) for n in shown] for row in table["rows"]]  # type: ignore[attr-defined]
    widths = [max(len(row[n]) for row in rows) for n in range(len(columns))]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
