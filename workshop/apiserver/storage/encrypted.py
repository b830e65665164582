"""A storage whose values of some keys are encrypted on their way into etcd and decrypted on their way out.

It stands between the registry and `etcd3.py`; without an EncryptionConfiguration it is not there at all. A value that
no provider can open is handed on as it is stored: whoever asks for that object is told, the others are served.

Upstream: `staging/src/k8s.io/apiserver/pkg/storage/etcd3/store.go`, where each read and write passes a transformer.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import aclosing

from workshop.api import errors

from .encryption import Encryption, Providers, Unreadable
from .interface import Batch, Conflict, Event, KeyValue, ListResult, Storage, StorageStatus

logger = logging.getLogger(__name__)


class EncryptedStorage:
    """`Storage` around `inner`."""

    def __init__(self, inner: Storage, encryption: Encryption) -> None:
        self._inner = inner
        self.reload(encryption)

    def reload(self, encryption: Encryption) -> None:
        """Read and write by another configuration from now on."""
        self._encryption = encryption
        self._by_prefix = encryption.by_prefix()
        #: etcd key → revision of values that would be written otherwise now; a write that changes nothing renews them.
        self._stale: dict[str, int] = {}

    def stale(self, key: str, revision: int) -> bool:
        return self._stale.get(key) == revision

    def _providers(self, key: str) -> Providers | None:
        """By the longest prefix of the key that some resource has; custom resources by group and plural."""
        end = key.rfind("/")
        while end > len("/registry"):
            found = self._by_prefix.get(key[: end + 1])
            if found is not None:
                return found
            end = key.rfind("/", 0, end)
        parts = key.split("/", 4)
        return self._encryption.of(parts[2], parts[3]) if len(parts) > 4 and "." in parts[2] else None

    def _seal(self, key: str, value: bytes) -> bytes:
        providers = self._providers(key)
        return providers.seal(value, key.encode()) if providers else value

    def _plain(self, key: str, value: bytes) -> tuple[bytes, bool]:
        """The value, and whether it is stale."""
        providers = self._providers(key)
        if providers is None:
            return value, False
        try:
            return providers.open(value, key.encode())
        except Unreadable as unreadable:
            logger.error("unable to transform key %s: %s", errors.quote(key), unreadable)
            return value, False

    def _open(self, key: str, value: bytes, revision: int) -> bytes:
        plain, stale = self._plain(key, value)
        if stale:
            self._stale[key] = revision
        else:
            self._stale.pop(key, None)
        return plain

    def _opened(self, kv: KeyValue) -> KeyValue:
        return KeyValue(kv.key, self._open(kv.key, kv.value, kv.mod_revision), kv.mod_revision)

    async def create(self, key: str, value: bytes, lease_ttl: int = 0) -> int:
        return await self._inner.create(key, self._seal(key, value), lease_ttl)

    async def get(self, key: str, revision: int = 0, serializable: bool = False) -> KeyValue | None:
        found = await self._inner.get(key, revision, serializable)
        return self._opened(found) if found else None

    async def list(self, prefix: str, revision: int = 0, limit: int = 0, start_after: str | None = None) -> ListResult:
        page = await self._inner.list(prefix, revision, limit, start_after)
        return page._replace(items=[self._opened(kv) for kv in page.items])

    async def count(self, prefix: str) -> int:
        return await self._inner.count(prefix)

    async def update(self, key: str, value: bytes, expected_revision: int, lease_ttl: int = 0) -> int:
        try:
            return await self._inner.update(key, self._seal(key, value), expected_revision, lease_ttl)
        except Conflict as conflict:
            raise self._conflict(conflict) from conflict

    async def delete(self, key: str, expected_revision: int) -> KeyValue:
        try:
            gone = await self._inner.delete(key, expected_revision)
        except Conflict as conflict:
            raise self._conflict(conflict) from conflict
        opened = self._opened(gone)
        self._stale.pop(key, None)
        return opened

    def _conflict(self, conflict: Conflict) -> Conflict:
        return Conflict(conflict.key, self._opened(conflict.current) if conflict.current else None)

    async def watch(self, prefix: str, start_revision: int) -> AsyncIterator[Batch]:
        async with aclosing(self._inner.watch(prefix, start_revision)) as batches:  # type: ignore[type-var]
            async for batch in batches:
                yield [self._event(event) for event in batch] if isinstance(batch, list) else batch

    def _event(self, event: Event) -> Event:
        if self._providers(event.key) is None:
            return event
        if event.type == "delete":
            self._stale.pop(event.key, None)
            value = event.value
        else:
            value = self._open(event.key, event.value, event.revision)
        before = event.prev_value
        if before is not None:
            before, _ = self._plain(event.key, before)
        return event._replace(value=value, prev_value=before)

    async def request_progress(self) -> None:
        await self._inner.request_progress()

    async def current_revision(self) -> int:
        return await self._inner.current_revision()

    async def compact(self, revision: int) -> None:
        await self._inner.compact(revision)

    async def status(self) -> StorageStatus:
        return await self._inner.status()

    async def close(self) -> None:
        await self._inner.close()
