"""`RaftRing(members=3)`: a cluster of etcd in simulation, to be played with. `LiveRing(cluster)`: real members.

ring = RaftRing(5)
ring                       # in a notebook: the ring with its controls; as text: a line a member
ring.do("crash", 1)        # what the controls do can be said in a cell too
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from workshop.cluster.facade import Cluster
from workshop.cluster.layout import ClusterError
from workshop.etcd.raft import Rules
from workshop.etcd.raft.election import may_vote as stock_vote
from workshop.etcd.raft.replication import commit_index as stock_commit

from .ring import Picture, Ring, text
from .store import MemberStatus, Store


class RaftRing:
    """`may_vote` and `commit_index`: your own rules, tried out without a cluster."""

    live = False

    def __init__(
        self,
        members: int = 3,
        seed: int = 1,
        *,
        may_vote: Callable[..., bool] = stock_vote,
        commit_index: Callable[..., int] = stock_commit,
    ) -> None:
        self.ring = Ring(members, seed, Rules(may_vote, commit_index))
        self._widgets: list[Any] = []

    def do(self, act: str, *what: Any) -> str:
        """Step, run, rewind, fork, drop, delay, time out, stop, crash, …: an act of `ring.ACTS`; what came of it."""
        said = self.ring.do(act, *what)
        for widget in self._widgets:
            widget.send(self.picture())
        return said

    def picture(self) -> Picture:
        return self.ring.picture()

    def answer(self, question: dict[str, Any]) -> Picture:
        """What a front end asked for: never raises for what it asks."""
        try:
            if question.get("do"):
                self.ring.do(str(question["do"]), *question.get("with", ()))
        except (ValueError, TypeError, LookupError) as error:
            return {**self.picture(), "said": str(error)}
        return self.picture()

    def __repr__(self) -> str:
        return text(self.picture())

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        from .ring_widget import widget

        made = widget(self)
        self._widgets.append(made)
        return bundle(made, repr(self))


class LiveRing:
    """What real members say of themselves. Messages and logs cannot be seen from outside: only how long the log is."""

    live = True

    def __init__(self, cluster: Cluster) -> None:
        self.store = Store(cluster)
        self._names: list[str] = []

    def close(self) -> None:
        self.store.close()

    def picture(self) -> Picture:
        try:
            status = self.store.status()
        except ClusterError:
            status = [MemberStatus(name, "away") for name in self._names]
            return self._picture(status, "the cluster is gone")
        self._names = [s.name for s in status]
        there = sum(s.role in ("leader", "follower") for s in status)
        voters = sum(s.role != "learner" for s in status)
        return self._picture(status, f"{there} of {voters} follow a leader, {voters // 2 + 1} are a majority")

    def _picture(self, status: list[MemberStatus], said: str) -> Picture:
        members = [
            {"id": s.name.removeprefix("etcd-"), "role": s.role, "term": s.term or None, "index": s.index,
             "applied": s.applied, "revision": s.revision, "why": "does not answer" if s.role == "away" else ""}
            for s in status
        ]  # fmt: skip
        return {"live": True, "members": members, "messages": [], "cut": [], "quorum": said, "said": "", "now": ""}

    def answer(self, question: dict[str, Any]) -> Picture:
        return self.picture()

    def __repr__(self) -> str:
        return text(self.picture())

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        from .ring_widget import widget

        return bundle(widget(self), repr(self))


def bundle(widget: Any, said: str) -> Any:
    shown = widget._repr_mimebundle_()
    data, metadata = shown if isinstance(shown, tuple) else (shown or {}, {})
    return {**data, "text/plain": said}, metadata
