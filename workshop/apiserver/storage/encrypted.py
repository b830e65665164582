"""A storage whose values of some keys are encrypted on their way into etcd and decrypted on their way out.

It stands between the registry and `etcd3.py`; without an EncryptionConfiguration it is not there at all. A value that
no provider can open is handed on as the reason for that: whoever asks for that object is told, the others are served.

Upstream: `staging/src/k8s.io/apiserver/pkg/storage/etcd3/store.go`, where each read and write passes a transformer.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

from workshop.api import errors

from .ciphers import Unreadable
from .encryption import Encryption, Providers
from .interface import Batch, Compacted, Conflict, Event, KeyValue, ListResult, Storage, StorageError, StorageStatus
from .kms import Kms, Unwell

logger = logging.getLogger(__name__)


class EncryptedStorage:
    """`Storage` around `inner`."""

    def __init__(self, inner: Storage, encryption: Encryption) -> None:
        self._inner = inner
        self.reload(encryption)

    @property
    def encryption(self) -> Encryption:
        return self._encryption

    async def replace(self, encryption: Encryption) -> None:
        """Read and write by another configuration from now on. All is read anew, so that it is known what is stale."""
        self.reload(encryption)
        self._read_again = True
        await self._inner.request_progress()  # so that the watch hears of it

    def reload(self, encryption: Encryption) -> None:
        self._encryption = encryption
        self._by_prefix = encryption.by_prefix()
        #: etcd key → revision of values that would be written otherwise now; a write that changes nothing renews them.
        self._stale: dict[str, int] = {}
        #: etcd key → revision, plugin and its key where a plugin keeps the key: it may take another one at any time.
        self._kept: dict[str, tuple[int, Kms, tuple[str, int]]] = {}
        #: etcd keys whose plugin did not answer.
        self._closed: set[str] = set()
        self._read_again = False

    def stale(self, key: str, revision: int) -> bool:
        kept = self._kept.get(key)
        return self._stale.get(key) == revision or (kept is not None and kept[0] == revision and kept[1].stale(kept[2]))

    async def plugins_well(self) -> str:
        """The check `kms-providers` of health."""
        problems = [problem for each in self._encryption.plugins if (problem := await each.health())]
        return problems[0] if len(problems) < 2 and problems else f"[{', '.join(problems)}]" if problems else ""

    async def recovered(self) -> None:
        """A plugin answers again: what it could not open meanwhile is read anew, and whoever watches begins anew."""
        if self._closed:
            self._closed.clear()
            self._read_again = True
            await self._inner.request_progress()  # so that the watch hears of it

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
        try:
            return providers.seal(value, key.encode()) if providers else value
        except Unwell as error:
            raise StorageError(str(error)) from None

    async def _fetch(self, key: str, value: bytes | None) -> None:
        """Ask the plugin that keeps a value's key, if there is one that has not told it yet."""
        providers = self._providers(key) if value is not None else None
        found = providers.plugin(value) if providers is not None and value is not None else None
        if found is None or not found[0].lacks(found[1]):
            return
        try:
            await found[0].fetch(found[1])
        except Unwell as error:
            self._closed.add(key)
            logger.error("unable to transform key %s: failed to decrypt DEK, error: %s", errors.quote(key), error)
        except Unreadable as error:
            logger.error("unable to transform key %s: %s", errors.quote(key), error)

    def _plain(self, key: str, value: bytes) -> tuple[bytes, bool]:
        """The value, and whether it is stale."""
        providers = self._providers(key)
        if providers is None:
            return value, False
        try:
            return providers.open(value, key.encode())
        except Unreadable as unreadable:
            logger.error("unable to transform key %s: %s", errors.quote(key), unreadable)
            return unreadable.stand_in, False

    def _open(self, key: str, value: bytes, revision: int) -> bytes:
        plain, stale = self._plain(key, value)
        self._forget(key)
        if stale:
            self._stale[key] = revision
        elif (providers := self._providers(key)) and (found := providers.plugin(value)):
            self._kept[key] = (revision, found[0], found[0].told(found[1]))
        return plain

    def _forget(self, key: str) -> None:
        self._stale.pop(key, None)
        self._kept.pop(key, None)

    async def _opened(self, kv: KeyValue) -> KeyValue:
        await self._fetch(kv.key, kv.value)
        return KeyValue(kv.key, self._open(kv.key, kv.value, kv.mod_revision), kv.mod_revision)

    async def create(self, key: str, value: bytes, lease_ttl: int = 0) -> int:
        return await self._inner.create(key, self._seal(key, value), lease_ttl)

    async def get(self, key: str, revision: int = 0, serializable: bool = False) -> KeyValue | None:
        found = await self._inner.get(key, revision, serializable)
        return await self._opened(found) if found else None

    async def list(self, prefix: str, revision: int = 0, limit: int = 0, start_after: str | None = None) -> ListResult:
        page = await self._inner.list(prefix, revision, limit, start_after)
        return page._replace(items=[await self._opened(kv) for kv in page.items])

    async def count(self, prefix: str) -> int:
        return await self._inner.count(prefix)

    async def update(self, key: str, value: bytes, expected_revision: int, lease_ttl: int = 0) -> int:
        try:
            return await self._inner.update(key, self._seal(key, value), expected_revision, lease_ttl)
        except Conflict as conflict:
            raise await self._conflict(conflict) from conflict

    async def delete(self, key: str, expected_revision: int) -> KeyValue:
        try:
            gone = await self._inner.delete(key, expected_revision)
        except Conflict as conflict:
            raise await self._conflict(conflict) from conflict
        opened = await self._opened(gone)
        self._forget(key)
        return opened

    async def _conflict(self, conflict: Conflict) -> Conflict:
        return Conflict(conflict.key, await self._opened(conflict.current) if conflict.current else None)

    async def watch(self, prefix: str, start_revision: int) -> AsyncGenerator[Batch, None]:
        async with aclosing(self._inner.watch(prefix, start_revision)) as batches:
            async for batch in batches:
                if self._read_again:
                    self._read_again = False
                    raise Compacted
                yield [await self._event(event) for event in batch] if isinstance(batch, list) else batch

    async def _event(self, event: Event) -> Event:
        if self._providers(event.key) is None:
            return event
        if event.type == "delete":
            self._forget(event.key)
            value = event.value
        else:
            await self._fetch(event.key, event.value)
            value = self._open(event.key, event.value, event.revision)
        before = event.prev_value
        if before is not None:
            await self._fetch(event.key, before)
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
        for plugin in self._encryption.plugins:
            await plugin.plugin.close()
        await self._inner.close()
