"""What the registry may ask of storage: keys, bytes and revisions; nothing here knows what an object is.

Keys are whole keys (`/registry/pods/default/web-0`); a prefix normally ends in `/`. A revision is etcd's: one
number for the whole store that grows with each write; it is what clients see as `resourceVersion`.

Upstream: `staging/src/k8s.io/apiserver/pkg/storage/interfaces.go`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol


class KeyValue(NamedTuple):
    """A stored object. For a deleted one (`Storage.delete`) `mod_revision` is the deletion's revision."""

    key: str
    value: bytes
    mod_revision: int


class ListResult(NamedTuple):
    """A page of a prefix in key order, at one revision.

    `remaining` counts the keys after the last item (0 when `more` is false).
    """

    items: list[KeyValue]
    revision: int
    more: bool
    remaining: int


class Event(NamedTuple):
    """One change of one key. `value` is the new value, b"" for a deletion; `prev_value` is None for a creation."""

    type: Literal["put", "delete"]
    key: str
    value: bytes
    prev_value: bytes | None
    revision: int
    created: bool


class Progress(NamedTuple):
    """Every event up to and including `revision` has been delivered on this watch."""

    revision: int


Batch = list[Event] | Progress


class StorageError(Exception):
    """Base of all that storage raises."""


class KeyExists(StorageError):
    """`create` found the key."""

    def __init__(self, key: str, revision: int = 0) -> None:
        super().__init__(f"key exists: {key}")
        self.key = key
        self.revision = revision


class NotFound(StorageError):
    """`delete` did not find the key."""

    def __init__(self, key: str, revision: int = 0) -> None:
        super().__init__(f"key not found: {key}")
        self.key = key
        self.revision = revision


class Conflict(StorageError):
    """The key is not at the expected revision. `current` is what stands there now; None if nothing does."""

    def __init__(self, key: str, current: KeyValue | None) -> None:
        super().__init__(f"key changed: {key}")
        self.key = key
        self.current = current


class Compacted(StorageError):
    """The revision asked for is forgotten. `revision`: the oldest one that can still be read, 0 if unknown."""

    def __init__(self, revision: int = 0) -> None:
        super().__init__("etcdserver: mvcc: required revision has been compacted")
        self.revision = revision


class FutureRevision(StorageError):
    """The revision asked for has not happened yet."""

    def __init__(self, revision: int = 0) -> None:
        super().__init__("etcdserver: mvcc: required revision is a future revision")
        self.revision = revision


class TooLarge(StorageError):
    """The store refuses a request of this size."""


MAX_MESSAGE = 2 << 20
"""Bytes of a request that upstream's etcd client sends at all; etcd itself takes 1.5 MiB."""


def check_message(size: int) -> None:
    """Raises TooLarge in the words of upstream's client."""
    if size > MAX_MESSAGE:
        sent = f"trying to send message larger than max ({size} vs. {MAX_MESSAGE})"
        raise TooLarge(f"rpc error: code = ResourceExhausted desc = {sent}")


class Unavailable(StorageError):
    """No endpoint answers, or the store cannot serve. A write may or may not have happened."""


class Timeout(Unavailable):
    """No answer within the time allowed. A write may or may not have happened."""


class Storage(Protocol):
    """Every method may raise Unavailable or Timeout."""

    async def create(self, key: str, value: bytes, lease_ttl: int = 0) -> int:
        """Write `key` if it is not there; its revision. `lease_ttl` seconds later it is deleted (0: never).

        Raises KeyExists.
        """
        ...

    async def get(self, key: str, revision: int = 0, serializable: bool = False) -> KeyValue | None:
        """The key now (or at `revision`). A serializable read may be stale. Raises Compacted, FutureRevision."""
        ...

    async def list(self, prefix: str, revision: int = 0, limit: int = 0, start_after: str | None = None) -> ListResult:
        """The keys under `prefix` that sort after `start_after`. Raises Compacted, FutureRevision."""
        ...

    async def count(self, prefix: str) -> int:
        """How many keys are under `prefix`."""
        ...

    async def update(self, key: str, value: bytes, expected_revision: int, lease_ttl: int = 0) -> int:
        """Write `key` if it is still at `expected_revision` (0: if it does not exist). Raises Conflict."""
        ...

    async def delete(self, key: str, expected_revision: int) -> KeyValue:
        """Delete `key` if it is still at `expected_revision`; the deleted value with the deletion's revision.

        Raises NotFound, Conflict.
        """
        ...

    def watch(self, prefix: str, start_revision: int) -> AsyncGenerator[Batch, None]:
        """Every event of keys under `prefix` from `start_revision` on (0: from now on), in order, none twice.

        A batch holds whole revisions: two events of one revision never come in two batches. After the first
        answer of the server a `Progress` says that the watch stands. Ends only by raising: Compacted,
        Unavailable. Close it with `aclose()`.
        """
        ...

    def stale(self, key: str, revision: int) -> bool:
        """Whether the value of `key` at `revision` should be written anew though nothing changed (encryption)."""
        return False

    async def request_progress(self) -> None:
        """Make every open watch yield a `Progress` soon: with a revision that is now current, or later."""
        ...

    async def current_revision(self) -> int:
        """The store's revision now (a linearizable read)."""
        ...

    async def compact(self, revision: int) -> None:
        """Forget what was overwritten or deleted before `revision`. Raises Compacted if it already was."""
        ...

    async def status(self) -> StorageStatus:
        """Size and version of the store."""
        ...

    async def close(self) -> None:
        """Release connections. Open watches end."""
        ...


@dataclass(frozen=True)
class StorageStatus:
    """`version` is the server's (`3.6.5`), `revision` its current one."""

    version: str
    revision: int
    #: False for servers before 3.4.31 (and 3.5.0 to 3.5.12), whose progress notifications may overtake events.
    consistent_progress: bool
    size: int = 0
    """Bytes of its database."""
