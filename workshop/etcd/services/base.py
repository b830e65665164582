"""What the services share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random

from workshop.clock import Clock
from workshop.etcd import encode, errors
from workshop.etcd.auth.store import ANYONE, Identity
from workshop.etcd.compactor import Scrubber
from workshop.etcd.config import Limits
from workshop.etcd.mvcc.operations import Message
from workshop.etcd.mvcc.watch import WatchHub
from workshop.etcd.node import Node
from workshop.etcd.peers import Peers
from workshop.etcd.rpc.call import Call, Method
from workshop.etcd.rpc.connection import Handled
from workshop.etcd.state import StateMachine

#: What `Status` says we are. Clients decide by it which features they may use: this is the level of ours.
VERSION = "3.6.5"

Context = Call
Unary = Callable[[bytes, Call], Awaitable[bytes]]


@dataclass
class Member:
    """This member and the parts its services work with."""

    id: int
    name: str
    node: Node
    peers: Peers
    hub: WatchHub
    scrubber: Scrubber
    header: encode.Header
    limits: Limits
    clock: Clock
    random: Random
    client_cert_auth: bool = False
    bcrypt_cost: int = 10
    host_whitelist: frozenset[str] = frozenset(("*",))
    handled: Handled = field(default_factory=Counter)

    @property
    def machine(self) -> StateMachine:
        return self.node.machine

    @property
    def counts(self) -> Counter[str]:
        return self.machine.counts

    def count(self, name: str) -> None:
        """One more of what Prometheus calls `name`."""
        self.machine.counts[name] += 1

    def head(self, revision: int = 0) -> bytes:
        """A header that says where the store is now, or that a write was at `revision`."""
        self.header.term = self.node.raft.term
        return self.header(revision or self.machine.store.revision)

    def who(self, call: Call) -> Identity:
        """Who calls: by a token, or by the certificate where clients must show one. Raises InvalidAuthToken."""
        auth = self.machine.auth
        if not auth.enabled:
            return ANYONE
        token = call.metadata.get("token") or call.metadata.get("authorization")
        if token:
            found = auth.tokens.find(token, auth.revision, self.clock.monotonic())
            if found is None:
                raise errors.InvalidAuthToken
            return Identity(*found)
        return Identity(call.common_name, auth.revision) if self.client_cert_auth and call.common_name else ANYONE

    async def write(self, kind: int, request: Message, call: Call, data: bytes | None = None) -> bytes:
        """Put a caller's command through the log; the whole answer."""
        applied = await self.node.propose(kind, request, data, self.who(call))
        return self.head(applied.revision) + applied.body


def unary(handler: Unary) -> Method:
    """A gRPC method from `handler(request bytes, call) -> answer bytes`; an EtcdError is the client's status."""
    return Method(unary=handler)


def streaming(handler: Callable[[Call], Awaitable[None]]) -> Method:
    """A gRPC method that reads and writes as long as it likes."""
    return Method(stream=handler)
