"""Who waits for what: proposals until they are applied, readers until a read is linearizable.

Upstream: `pkg/wait`, `server/etcdserver/v3_server.go` (`processInternalRaftRequestOnce`, `linearizableReadLoop`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from workshop.clock import Clock
from workshop.etcd import errors, state
from workshop.etcd.auth.store import Identity
from workshop.etcd.mvcc.operations import Message
from workshop.etcd.raft import Raft
from workshop.etcd.replica import Answer

#: Proposals that may wait; more are refused.
MAX_PENDING = 20_000


class Waiting:
    """Proposals by request id, in the order in which they came. `messages` are theirs, so that applying them need not
    parse them again.

    A leader's first entry settles what became of the proposals of earlier terms: those that it does not follow in the
    log will never be in it. They are proposed again, so that a client hardly feels that the leader was lost, and none
    is done twice. (Upstream lets them time out.)
    """

    def __init__(self, member_id: int, clock: Clock, patience: float) -> None:
        self.messages: dict[int, Message] = {}
        self._futures: dict[int, tuple[asyncio.Future[state.Applied], float]] = {}
        self._unsent: list[tuple[int, bytes]] = []
        self._sent: dict[int, tuple[int, bytes]] = {}  # with the term in which it was proposed
        self._changes: dict[int, bytes] = {}
        self._sent_changes: set[int] = set()
        self._clock, self._patience = clock, patience
        self.failed = 0  # proposals of which nobody knows what became
        # Unique among members and restarts, as upstream's idutil makes them: an old entry that is replayed must
        # not answer a new request.
        self._last_id = (member_id & 0xFFFF) << 48 | (int(clock.now() * 1000) & 0xFFFFFFFFFF) << 8

    def __len__(self) -> int:
        return len(self._futures)

    def add(
        self, kind: int, message: Message, payload: bytes, change: bool, who: Identity
    ) -> asyncio.Future[state.Applied]:
        if len(self._futures) >= MAX_PENDING:
            raise errors.TooManyRequests
        self._last_id += 1
        future: asyncio.Future[state.Applied] = asyncio.get_running_loop().create_future()
        self._futures[self._last_id] = (future, self._clock.monotonic())
        self.messages[self._last_id] = message
        command = state.encode_command(kind, self._last_id, payload, who)
        if change:
            self._changes[self._last_id] = command
        else:
            self._unsent.append((self._last_id, command))
        return future

    def unsent(self, raft: Raft) -> bool:
        """Is there something that could be proposed now?"""
        return bool(self._unsent) and raft.takes_proposals()

    def send(self, raft: Raft, again: bool) -> None:
        """Propose what gathered, if somebody leads. Changes of membership go one at a time; as their order is
        checked when they are applied, they may be proposed again where an answer may have been lost."""
        if self._unsent and raft.takes_proposals():
            unsent = [(id, command) for id, command in self._unsent if id in self._futures]
            self._unsent = []
            raft.propose([command for _, command in unsent])
            self._sent.update((id, (raft.term, command)) for id, command in unsent)
        if again:
            self._sent_changes.clear()
        for id, command in self._changes.items():
            if id not in self._sent_changes and raft.propose_change(command):
                self._sent_changes.add(id)

    def settle(self, term: int) -> None:
        """A leader's first entry of `term` was applied: what was proposed before, and not applied, is lost."""
        lost = [(id, command) for id, (proposed, command) in self._sent.items() if proposed < term]
        for id, _ in lost:
            del self._sent[id]
        self._unsent = lost + self._unsent

    def unsettled(self) -> None:
        """A snapshot took the place of entries: what they did to the proposals so far, nobody here knows."""
        self._sent.clear()

    def answer(self, id: int, answer: Answer) -> bool:
        """Tell who waits here for `id`; False if nobody does."""
        self._sent.pop(id, None)
        self.messages.pop(id, None)
        self._changes.pop(id, None)
        future, _ = self._futures.pop(id, (None, 0.0))
        if future is None or future.done():
            return False
        if isinstance(answer, errors.EtcdError):
            future.set_exception(answer)
        else:
            future.set_result(answer)
        return True

    def expired(self, now: float) -> Iterator[float]:
        """When the oldest request began, as long as it has waited too long."""
        while self._futures:
            _, begun = next(iter(self._futures.values()))
            if now - begun < self._patience:
                return
            yield begun

    def expire(self, error: type[errors.EtcdError]) -> None:
        """Give the oldest request up."""
        self.failed += 1
        self.answer(next(iter(self._futures)), error())

    def fail(self, error: type[errors.EtcdError]) -> None:
        for id in list(self._futures):
            future = self._futures[id][0]
            self.answer(id, error())
            if future.done() and not future.cancelled():
                future.exception()  # whoever waited may be gone


class Readers:
    """Readers share rounds: those who come while one is under way wait for the next.

    coming ──next──> asking ──confirmed──> known index ──applied──> answered
    """

    def __init__(self) -> None:
        self._coming: list[tuple[asyncio.Future[None], float]] = []
        self._asking: list[tuple[asyncio.Future[None], float]] = []
        self._known: list[tuple[int, list[tuple[asyncio.Future[None], float]]]] = []
        self._request = 0
        self._asked = False

    async def join(self, deadline: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._coming.append((future, deadline))
        await future

    def wants_round(self) -> bool:
        return bool(self._coming) and not self._asking

    def next(self) -> int:
        """The number of a round to ask for now, 0 if there is nothing to ask."""
        if not self._asking:
            self._asking, self._coming = self._coming, []
            self._asked = False
        if not self._asking or self._asked:
            return 0
        self._request += 1
        self._asked = True
        return self._request

    def again(self) -> None:
        """The question may be lost: ask anew."""
        self._asked = False

    def confirmed(self, request: int, index: int) -> None:
        """Reads of round `request` may be served once `index` is applied. Readers only joined before it was asked."""
        if self._asking and request == self._request:
            self._known.append((index, self._asking))
            self._asking = []

    def applied(self, index: int) -> None:
        """Serve those whose index is applied."""
        while self._known and self._known[0][0] <= index:
            for future, _ in self._known.pop(0)[1]:
                if not future.done():
                    future.set_result(None)

    def expire(self, now: float) -> None:
        for group in (self._coming, self._asking, *(readers for _, readers in self._known)):
            for future, deadline in group:
                if now >= deadline and not future.done():
                    future.set_exception(errors.Timeout())
        self._asking = [reader for reader in self._asking if not reader[0].done()]

    def fail(self, error: type[errors.EtcdError]) -> None:
        """The leader that was asked is gone, or this member ends."""
        for group in (self._asking, *([self._coming] if error is errors.Stopped else [])):
            for future, _ in group:
                if not future.done():
                    future.set_exception(error())
        self._asking = []
