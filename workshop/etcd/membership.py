"""Who belongs to the cluster: part of the state that the log makes, so all members agree on it.

A member's id is made from its peer URLs, the cluster's token and, for one that is added later, the time; the
cluster's id from the ids of its first members. So the flags of a new cluster give every member the same ids.

Pure. Upstream: `server/etcdserver/api/membership/{cluster,member}.go`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from workshop.etcd import errors
from workshop.etcd.raft import Configuration

#: Learners that a cluster may have at a time (`--max-learners`).
MAX_LEARNERS = 1


@dataclass(frozen=True)
class Member:
    """`name` is empty until the member has started and told it."""

    id: int
    peer_urls: tuple[str, ...]
    name: str = ""
    client_urls: tuple[str, ...] = ()
    is_learner: bool = False

    @property
    def started(self) -> bool:
        return bool(self.name)


def member_id(peer_urls: Iterable[str], token: str, now: float | None = None) -> int:
    """A member's id; `now` (seconds since 1970) for one that is added to a running cluster."""
    text = "".join(sorted(peer_urls)) + token + (str(int(now)) if now is not None else "")
    return int.from_bytes(hashlib.sha1(text.encode(), usedforsecurity=False).digest()[:8], "big")


def cluster_id(ids: Iterable[int]) -> int:
    joined = b"".join(id.to_bytes(8, "big") for id in sorted(ids))
    return int.from_bytes(hashlib.sha1(joined, usedforsecurity=False).digest()[:8], "big")


def founders(initial_cluster: Mapping[str, Sequence[str]], token: str) -> list[Member]:
    """The first members, as the flags of a new cluster name them (name -> peer URLs), by id."""
    return sorted(
        (Member(member_id(urls, token), tuple(urls), name) for name, urls in initial_cluster.items()),
        key=lambda member: member.id,
    )


@dataclass
class Cluster:
    """The members, and the ids of those that were removed: they never come back."""

    members: dict[int, Member] = field(default_factory=dict)
    removed: set[int] = field(default_factory=set)
    #: The version to which the cluster is being taken back; "" as nearly always.
    downgrade: str = ""
    max_learners: int = MAX_LEARNERS

    def configuration(self) -> Configuration:
        return Configuration(
            frozenset(m.id for m in self.members.values() if not m.is_learner),
            frozenset(m.id for m in self.members.values() if m.is_learner),
        )

    def voters(self) -> list[Member]:
        return [member for member in self.members.values() if not member.is_learner]

    # Changes, each as the log orders it. They raise EtcdError, having changed nothing.

    def check_add(self, member: Member) -> None:
        if member.id in self.removed:
            raise errors.MemberNotFound
        if member.id in self.members:
            raise errors.MemberExists
        self._check_urls(member.peer_urls, 0)
        if member.is_learner and sum(m.is_learner for m in self.members.values()) >= self.max_learners:
            raise errors.TooManyLearners

    def add(self, member: Member) -> None:
        self.check_add(member)
        self.members[member.id] = member

    def check_remove(self, id: int) -> None:
        if id in self.removed:
            raise errors.MemberNotFound
        self.get(id)

    def remove(self, id: int) -> None:
        self.check_remove(id)
        del self.members[id]
        self.removed.add(id)

    def check_promote(self, id: int) -> None:
        if not self.get(id).is_learner:
            raise errors.MemberNotLearner

    def promote(self, id: int) -> None:
        self.check_promote(id)
        self.members[id] = replace(self.members[id], is_learner=False)

    def check_update(self, id: int, peer_urls: Iterable[str]) -> None:
        self.get(id)
        self._check_urls(peer_urls, id)

    def update(self, id: int, peer_urls: Iterable[str]) -> None:
        peer_urls = tuple(peer_urls)
        self.check_update(id, peer_urls)
        self.members[id] = replace(self.members[id], peer_urls=peer_urls)

    def publish(self, id: int, name: str, client_urls: Iterable[str]) -> None:
        """A member has started and says what it is called and where clients reach it."""
        if id in self.members:
            self.members[id] = replace(self.members[id], name=name, client_urls=tuple(client_urls))

    def get(self, id: int) -> Member:
        """Raises MemberNotFound."""
        if id not in self.members:
            raise errors.MemberNotFound
        return self.members[id]

    def _check_urls(self, peer_urls: Iterable[str], own: int) -> None:
        taken = {url for member in self.members.values() if member.id != own for url in member.peer_urls}
        if taken.intersection(peer_urls):
            raise errors.PeerUrlExists

    # `--strict-reconfig-check`: would the new cluster have a majority of members that ever started?

    def ready_to_add_voter(self) -> bool:
        started, size = sum(m.started for m in self.voters()), len(self.voters()) + 1
        return (started, size) == (1, 2) or started >= size // 2 + 1

    def ready_to_remove_voter(self, id: int) -> bool:
        left = [member for member in self.voters() if member.id != id]
        return sum(member.started for member in left) >= len(left) // 2 + 1

    def ready_to_promote(self) -> bool:
        return sum(m.started for m in self.voters()) + 1 >= (len(self.voters()) + 1) // 2 + 1

    # As a whole

    def to_json(self) -> dict[str, Any]:
        members = [asdict(member) for member in self.members.values()]
        return {"members": members, "removed": sorted(self.removed), "downgrade": self.downgrade}

    def encode(self) -> bytes:
        return json.dumps(self.to_json()).encode()

    def restore(self, data: bytes) -> None:
        """Take over what `encode` said."""
        found = json.loads(data or b'{"members": [], "removed": []}')
        self.members = {m["id"]: from_json(m) for m in found["members"]}
        self.removed, self.downgrade = set(found["removed"]), found.get("downgrade", "")


def from_json(data: Mapping[str, Any]) -> Member:
    """A member as `asdict` shows it. Raises KeyError, TypeError."""
    return Member(
        int(data["id"]),
        tuple(map(str, data["peer_urls"])),
        str(data["name"]),
        tuple(map(str, data["client_urls"])),
        bool(data["is_learner"]),
    )
