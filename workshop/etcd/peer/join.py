"""What a member asks the others before it starts: who belongs to the cluster, and whether it was here before.

Blocking: there is nothing else to do yet. Upstream: `server/etcdserver/cluster_util.go`.
"""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

from workshop.etcd.membership import Member

#: Seconds for one member's answer.
TIMEOUT = 2.0


class Unknown(Exception):
    """Nobody could say."""


def to_json(member: Member) -> dict[str, Any]:
    """A member as upstream's `/members` shows it."""
    shown: dict[str, Any] = {"id": member.id, "peerURLs": list(member.peer_urls)}
    if member.is_learner:
        shown["isLearner"] = True
    if member.name:
        shown["name"] = member.name
    if member.client_urls:
        shown["clientURLs"] = list(member.client_urls)
    return shown


def from_json(shown: dict[str, Any]) -> Member:
    """A member as `/members` tells of it."""
    return Member(
        int(shown["id"]),
        tuple(shown["peerURLs"]),
        shown.get("name", ""),
        tuple(shown.get("clientURLs", ())),
        bool(shown.get("isLearner")),
    )


def members(urls: Iterable[str], tls: ssl.SSLContext | None) -> tuple[int, list[Member]]:
    """(cluster id, members) as the first of `urls` that answers says. Raises Unknown."""
    problems = []
    for url in urls:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 0
        connection: http.client.HTTPConnection
        if parts.scheme == "https":
            connection = http.client.HTTPSConnection(host, port, timeout=TIMEOUT, context=tls)
        else:
            connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT)
        try:
            connection.request("GET", "/members")
            answer = connection.getresponse()
            if answer.status == 200:
                found = [from_json(shown) for shown in json.load(answer)]
                return int(answer.headers["X-Etcd-Cluster-ID"], 16), found
            problems.append(f"{url}: status {answer.status}")
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
            problems.append(f"{url}: {error}")
        finally:
            connection.close()
    raise Unknown("; ".join(problems) or "no other member is named")


def match(initial: dict[str, Sequence[str]], existing: Sequence[Member], name: str) -> int:
    """The id of member `name` in a running cluster whose members the flag `--initial-cluster` names by other ids.
    Raises ValueError in upstream's words."""
    if len(initial) != len(existing):
        raise ValueError("member count is unequal")
    ids = {frozenset(member.peer_urls): member.id for member in existing}
    for member in existing:
        if frozenset(member.peer_urls) not in map(frozenset, initial.values()):
            urls = " ".join(member.peer_urls)
            raise ValueError(f"PeerURLs: no match found for existing member ({member.id:x}, [{urls}])")
    return ids[frozenset(initial[name])]
