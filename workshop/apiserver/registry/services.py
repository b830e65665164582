"""Services: addresses and ports are taken before the object is stored, and given back when it is gone."""

from __future__ import annotations

from workshop.api.meta import Obj
from workshop.api.resources import Resource
from workshop.apiserver.allocators import families
from workshop.apiserver.allocators.services import ServiceAllocator, Transaction

from .strategy import Pool, Strategy, Write


class Services(Strategy):
    def __init__(self, resource: Resource, allocator: ServiceAllocator) -> None:
        super().__init__(resource)
        self._allocator = allocator

    def prepare_for_create(self, obj: Obj, write: Write) -> None:
        super().prepare_for_create(obj, write)
        obj["status"] = {"loadBalancer": {}}

    async def allocate(self, new: Obj, old: Obj | None, write: Write) -> Pool:
        dry_run = write.options.dry_run
        families.prepare(new, old)
        transaction: Transaction = (
            await self._allocator.begin_create(new, dry_run)
            if old is None
            else await self._allocator.begin_update(new, old, dry_run)
        )
        return transaction

    async def release(self, obj: Obj) -> None:
        await self._allocator.after_delete(obj)
