"""The graph of owners and what they own: pure. Upstream: `pkg/controller/garbagecollector/graph*.go`.

A node is an object, known by its uid. An edge is an ownerReference. An owner that is named and was never seen is a
*virtual* node: perhaps our watches are behind, perhaps it is gone; only a live look at the server can tell. An
object whose owners are all known costs no request.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from workshop.api import meta
from workshop.api.meta import Obj

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"


@dataclass(frozen=True)
class Ref:
    """Names an object: enough to ask the server for it."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        return f"{self.api_version}/{self.kind} {self.namespace}/{self.name}"


@dataclass(eq=False)
class Node:
    ref: Ref
    owners: list[dict[str, Any]] = field(default_factory=list)
    dependents: dict[str, Node] = field(default_factory=dict)
    deleting: bool = False
    foreground: bool = False
    orphaning: bool = False
    virtual: bool = False

    def blocking_dependents(self) -> list[Node]:
        """Those that say they hold up this owner's foreground deletion."""
        return [
            d
            for d in self.dependents.values()
            if any(o["uid"] == self.ref.uid and o.get("blockOwnerDeletion") for o in d.owners)
        ]


class Graph:
    """`put` and `remove` answer the nodes that need a look now."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.absent: dict[tuple[str, str], None] = {}
        """(uid, namespace) of owners that the server does not have; uids are never used again"""

    def put(self, obj: Obj) -> list[Node]:
        uid = meta.uid(obj)
        ref = Ref(obj["apiVersion"], obj["kind"], meta.namespace(obj), meta.name(obj), uid)
        node = self.nodes.get(uid)
        misled: list[Node] = []
        if node is None:
            node = self.nodes[uid] = Node(ref)
        elif node.virtual:
            node.virtual = False
            node.ref = ref
            misled = [d for d in node.dependents.values() if not all(_names(o, node, d) for o in d.owners)]
        was = (node.deleting, node.foreground, node.orphaning)
        doubtful = self._set_owners(node, meta.owner_references(obj))
        node.deleting = "deletionTimestamp" in obj["metadata"]
        node.foreground = node.deleting and FOREGROUND in meta.finalizers(obj)
        node.orphaning = node.deleting and ORPHAN in meta.finalizers(obj)
        look = doubtful + misled
        if (node.deleting, node.foreground, node.orphaning) != was:
            look.append(node)
            if node.foreground:
                look += node.dependents.values()
            look += self._owners_in_foreground(node)
        return look

    def remove(self, uid: str) -> list[Node]:
        node = self.nodes.pop(uid, None)
        if node is None:
            return []
        look = list(node.dependents.values())
        if look:
            self.mark_absent(node.ref)
        look += self._owners_in_foreground(node)
        self._detach(node, [o["uid"] for o in node.owners])
        return look

    def mark_absent(self, ref: Ref) -> None:
        self.absent[(ref.uid, ref.namespace)] = None
        while len(self.absent) > 500:
            self.absent.pop(next(iter(self.absent)))

    def _owners_in_foreground(self, node: Node) -> list[Node]:
        """They wait for this dependent to go."""
        owners = (self.nodes.get(o["uid"]) for o in node.owners)
        return [owner for owner in owners if owner is not None and owner.foreground]

    def _set_owners(self, node: Node, owners: list[dict[str, Any]]) -> list[Node]:
        """The nodes that only the server can tell about. An owner that is known and well needs no look."""
        if owners == node.owners:
            return []
        old, new = {o["uid"] for o in node.owners}, {o["uid"] for o in owners}
        self._detach(node, old - new)
        look: list[Node] = []
        for owner in owners:
            there = self.nodes.get(owner["uid"])
            if there is None:
                ref = Ref(owner["apiVersion"], owner["kind"], node.ref.namespace, owner["name"], owner["uid"])
                there = self.nodes[owner["uid"]] = Node(ref, virtual=True)
                look.append(there)
            there.dependents[node.ref.uid] = node
            if there.deleting or self._known_to_be_wrong(owner, there, node):
                look.append(node)
        if old - new and owners:
            look.append(node)
        for uid in _blocked_by(node.owners) - _blocked_by(owners):
            there = self.nodes.get(uid)
            if there is not None and there.foreground:
                look.append(there)  # it waits for this one no longer
        node.owners = list(owners)
        return look

    def _known_to_be_wrong(self, owner: dict[str, Any], there: Node, node: Node) -> bool:
        if there.virtual:
            return not node.ref.namespace or (owner["uid"], node.ref.namespace) in self.absent
        return not _names(owner, there, node)

    def _detach(self, node: Node, uids: Any) -> None:
        for uid in uids:
            owner = self.nodes.get(uid)
            if owner is not None:
                owner.dependents.pop(node.ref.uid, None)
                if owner.virtual and not owner.dependents:
                    del self.nodes[uid]


def _blocked_by(owners: list[dict[str, Any]]) -> set[str]:
    """Uids of the owners whose deletion waits for the one that has these references."""
    return {owner["uid"] for owner in owners if owner.get("blockOwnerDeletion")}


def _names(owner: dict[str, Any], there: Node, dependent: Node) -> bool:
    """Whether the reference tells the truth about the owner with its uid; true of a reference to another."""
    ref = there.ref
    if owner["uid"] != ref.uid:
        return True
    same = (owner["apiVersion"], owner["kind"], owner["name"]) == (ref.api_version, ref.kind, ref.name)
    return same and ref.namespace in ("", dependent.ref.namespace)
