"""Writing: create, update and patch. One path for all kinds; a `Strategy` says what a kind does differently.

    default → managed fields → mutating admission → strategy → validate → validating admission → store

An update reads the object (from the cache: a stale one only costs another round), changes it and writes under the
condition that nobody was faster; if somebody was, it begins again with what he left: upstream's GuaranteedUpdate.

Upstream: apiserver/pkg/registry/generic/registry/store.go, apiserver/pkg/endpoints/handlers/{create,update,patch}.go.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random

from workshop import trace
from workshop.api import defaults, dropped, errors, validation
from workshop.api.meta import Obj, copy
from workshop.api.patch import managed_fields, resets, typed
from workshop.api.resources import Resource
from workshop.api.validation.field import ErrorList
from workshop.apiserver.cacher import Cacher
from workshop.apiserver.glass import changed
from workshop.apiserver.interfaces import AdmissionChain, AdmissionRequest
from workshop.apiserver.patience import unhurried
from workshop.apiserver.shelf import Stored
from workshop.apiserver.storage.interface import Conflict, KeyExists, Storage
from workshop.clock import Clock

from . import object_meta
from .encoding import key_of, to_storage
from .options import WriteOptions
from .preconditions import Stale, check_uid, check_version, failed
from .reader import Presenter, served_obj
from .strategies import Strategies
from .strategy import Pool, Strategy, Write
from .written import Written, tell, versioned

Change = Callable[[Obj | None], Awaitable[Obj]]
"""From the object as it stands (None: there is none) to the object as it shall be, both as served."""
NAME_TRIES = 8
CONFLICT_TRIES = 50


@dataclass(frozen=True, slots=True)
class _Update:
    """What an update asks for: the same in each of its rounds."""

    resource: Resource
    strategy: Strategy
    key: str
    change: Change
    options: WriteOptions
    subresource: str
    applying: bool
    uid: str | None


@dataclass(frozen=True, slots=True)
class _Found:
    """The object that one round of an update begins with. `fresh`: etcd said so just now, not the cache."""

    stored: Stored
    obj: Obj
    fresh: bool


class Writer:
    def __init__(
        self,
        storage: Storage,
        cacher: Cacher,
        admission: AdmissionChain,
        strategies: Strategies,
        presenter: Presenter,
        clock: Clock,
        random: Random,
        event_ttl: int = 3600,
        allow_loopback: bool = False,
    ) -> None:
        self._storage, self._cacher, self.admission, self.strategies = storage, cacher, admission, strategies
        self._presenter = presenter
        self._clock, self._random, self._event_ttl = clock, random, event_ttl
        self._allow_loopback = allow_loopback

    async def admit(self, request: AdmissionRequest) -> None:
        """The whole admission chain, for what is not stored: an eviction, a connection."""
        await self.admission.admit(request)
        await self.admission.validate(request)

    # --- create

    async def create(self, resource: Resource, namespace: str, obj: Obj, options: WriteOptions) -> Written:
        """Store a new object. Raises ApiError 400, 403, 409, 422."""
        object_meta.place(resource, namespace, obj.setdefault("metadata", {}))
        try:
            return await self._create(resource, namespace, obj, options)
        except KeyExists as taken:
            raise await self._taken(resource, taken.key) from None

    async def _taken(self, resource: Resource, key: str) -> errors.ApiError:
        """The 409 of a name that is in use; it says so where its owner is only waiting for its finalizers."""
        found = await self._read(key)
        error = errors.already_exists(resource, key.rpartition("/")[2])
        if found is not None and "deletionTimestamp" in found.obj["metadata"]:
            error.status["message"] = f"object is being deleted: {error.message}"
        return error

    @staticmethod
    async def _judged(resource: Resource, judge: Callable[[], ErrorList]) -> ErrorList:
        """A definition's rules may be dear."""
        if resource.definition is None or not resource.definition.has_rules:
            return judge()
        return await unhurried(judge)

    async def _create(
        self, resource: Resource, namespace: str, obj: Obj, options: WriteOptions, applying: bool = False
    ) -> Written:
        """Up to the name, made up behind the plugins that change. Raises KeyExists, and what `create` raises."""
        object_meta.wipe(obj["metadata"])
        object_meta.own_once(obj["metadata"], options.warnings)
        obj = _defaulted(resource, obj)
        if not applying:  # what admission and the server add is managed by nobody
            obj = self._tracked(resource, None, obj, options, "")
        request = AdmissionRequest(
            "CREATE", resource, "", namespace, obj["metadata"].get("name", ""), obj, None, options.user,
            options.dry_run, warnings=options.warnings, annotations=options.annotations,
        )  # fmt: skip
        await self.admission.admit(request)
        metadata = request.object["metadata"]
        if metadata.get("name") or not metadata.get("generateName"):
            return await self._create_with_name(request, options)
        first, name = request.object, ""
        for left in range(NAME_TRIES - 1, -1, -1):
            request.object = copy(first) if left else first
            name = object_meta.generated_name(metadata["generateName"], self._random)
            request.object["metadata"]["name"] = name
            with contextlib.suppress(KeyExists):
                return await self._create_with_name(request, options)
        raise errors.generate_name_conflict(resource, name)

    async def _create_with_name(self, request: AdmissionRequest, options: WriteOptions) -> Written:
        """Raises KeyExists, and what `create` raises."""
        resource, obj, now = request.resource, request.object, self._clock.now()
        strategy, write = self.strategies.of(resource), Write(resource, options, now=now)
        object_meta.begin(obj["metadata"], now, self._random)
        dropped.drop(resource, obj, None)
        strategy.prepare_for_create(obj, write)
        pool = await strategy.allocate(obj, None, write)
        loopback = self._allow_loopback
        try:
            with trace.step("apiserver.link", link="validation"):
                problems = await strategy.problems(obj, None, write)
                problems += await self._judged(resource, lambda: validation.validate(resource, obj, loopback))
                _refuse(resource, obj, problems)
            strategy.settle(obj)
            options.warnings.extend(strategy.warnings(obj, None))
            await self.admission.validate(request)
            created = await self._store_new(resource, obj, options)
        except BaseException:
            await _rollback(pool)
            raise
        await _commit(pool)
        if not options.dry_run:
            tell("create", created.obj, "", options.user, options.manager)
        return created

    async def _store_new(self, resource: Resource, obj: Obj, options: WriteOptions) -> Written:
        key = key_of(resource, obj)
        object_meta.check_new(obj["metadata"], options.dry_run)
        if options.dry_run:
            if await self._read(key) is not None:
                raise KeyExists(key)
            return Written(obj, created=True)
        raw = to_storage(resource, await self._presenter.stored(resource, obj))
        with trace.step("apiserver.link", link="etcd", key=key, bytes=len(raw)) as told:
            told["revision"] = revision = await self._storage.create(key, raw, self._ttl(resource))
        return Written(versioned(obj, revision), created=True)

    # --- update

    async def update(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        change: Change,
        options: WriteOptions,
        subresource: str = "",
        create_if_missing: bool = False,
        applying: bool = False,
        uid: str | None = None,
    ) -> Written:
        """Read, change, write; again from the start when somebody else wrote in between.

        `change` says what the object shall be; a resourceVersion that it leaves in is a condition (409). With
        `applying` it has kept the managed fields itself. Raises ApiError 403, 404, 409, 422.
        """
        key = resource.storage_key(namespace or None, name)
        asked = _Update(resource, self.strategies.of(resource), key, change, options, subresource, applying, uid)
        known = {} if options.dry_run else self._cacher.shelf(resource.storage_key()).items
        current: Stored | None = known.get(key)  # a dry run writes nothing, which would tell that the cache is behind
        fresh = False
        for _ in range(CONFLICT_TRIES):
            if current is None and not fresh:
                current, fresh = await self._read(key), True
            if current is None:
                if not create_if_missing or (subresource and not asked.strategy.allows_create_on_update):
                    raise errors.not_found(resource, name)
                try:
                    return await self._create_named(asked, namespace, name)
                except KeyExists:
                    fresh = False
                    continue
            shown = await self._presenter.one(resource, current)
            found = _Found(shown, served_obj(resource, shown), fresh)
            try:
                return await self._update_once(asked, found)
            except Stale as stale:
                if fresh:
                    raise errors.conflict(resource, name) from stale
                current, fresh = await self._read(key), True
            except errors.ApiError:
                if fresh:
                    raise
                newer = await self._read(key)  # the cache may be behind: only what etcd says now is a reason to refuse
                if newer is not None and newer.revision == current.revision:
                    raise
                current, fresh = newer, True
            except Conflict as conflict:
                kv = conflict.current
                current, fresh = (Stored(kv.key, kv.value, kv.mod_revision) if kv else None), True
        raise errors.conflict(resource, name)

    async def _create_named(self, asked: _Update, namespace: str, name: str) -> Written:
        """An update of what is not there, where a kind or a patch may make it. Raises KeyExists if it is there now."""
        obj = await asked.change(None)
        if asked.uid:
            named = {"metadata": {"name": name, "namespace": namespace}}
            raise failed(asked.resource, named, "UID", asked.uid, "", asked.options.dry_run)
        obj["metadata"]["name"] = obj["metadata"].get("name") or name
        object_meta.place(asked.resource, namespace, obj["metadata"])
        return await self._create(asked.resource, namespace, obj, asked.options, asked.applying)

    async def _update_once(self, asked: _Update, found: _Found) -> Written:
        """One round. Raises Stale and Conflict when another is due, and what `update` raises."""
        resource, strategy, options, subresource = asked.resource, asked.strategy, asked.options, asked.subresource
        old = found.obj
        new = await asked.change(served_obj(resource, found.stored))  # decoding anew is quicker than a copy
        metadata, before = new.setdefault("metadata", {}), old["metadata"]
        object_meta.check_identity(resource, metadata, before)
        check_uid(resource, old, asked.uid, options.dry_run)
        object_meta.own_once(metadata, options.warnings)
        check_version(strategy, metadata, before)
        object_meta.keep(resource, metadata, before)
        write = Write(resource, options, subresource, self._clock.now())
        new = _defaulted(resource, new)
        if not asked.applying:
            new = self._tracked(resource, old, new, options, subresource)
        request = AdmissionRequest(
            "UPDATE", resource, subresource, before.get("namespace", ""), before["name"], new, old, options.user,
            options.dry_run, warnings=options.warnings, annotations=options.annotations,
        )  # fmt: skip
        await self.admission.admit(request)
        new = request.object
        dropped.drop(resource, new, old)
        strategy.prepare_for_update(new, old, write)
        pool = await strategy.allocate(new, old, write) if not subresource else None
        loopback = self._allow_loopback
        try:
            with trace.step("apiserver.link", link="validation"):
                problems = await strategy.problems(new, old, write)
                problems += await self._judged(
                    resource, lambda: validation.validate_update(resource, new, old, subresource, loopback)
                )
                _refuse(resource, new, problems)
            strategy.settle(new)
            warned = strategy.warnings(new, old, subresource)
            options.warnings.extend(each for each in warned if each not in options.warnings)
            await self.admission.validate(request)
            written = await self._store(asked, found, new)
        except BaseException:
            await _rollback(pool)
            raise
        await _commit(pool)
        if written.obj["metadata"].get("resourceVersion") != before["resourceVersion"]:
            tell("update", written.obj, subresource, options.user, options.manager)
        return written

    async def _store(self, asked: _Update, found: _Found, new: Obj) -> Written:
        """Write if anything changed; an object that only waited for its last finalizer goes."""
        resource, key, revision = asked.resource, asked.key, found.stored.revision
        if asked.options.dry_run:
            return Written(new)
        if object_meta.only_waited_for_finalizers(new):
            gone = await self._storage.delete(key, revision)
            await asked.strategy.release(new)
            return Written(versioned(new, gone.mod_revision))
        # as values: another order of fields is no change
        if new == found.obj and not self._storage.stale(key, revision):
            if not found.fresh:  # nothing to do for what the cache knows; somebody may have written since
                raise Stale
            return Written(new)
        raw = to_storage(resource, await self._presenter.stored(resource, new))
        with trace.step("apiserver.link", link="etcd", key=key, bytes=len(raw)) as told:
            told["revision"] = made = await self._storage.update(key, raw, revision, self._ttl(resource))
        return Written(versioned(new, made))

    # --- what both share

    async def _read(self, key: str) -> Stored | None:
        kv = await self._storage.get(key)
        return Stored(kv.key, kv.value, kv.mod_revision) if kv else None

    def _tracked(self, resource: Resource, old: Obj | None, new: Obj, options: WriteOptions, subresource: str) -> Obj:
        entries = managed_fields.track_update(
            old, new, options.manager, typed.types_of(resource), self._clock.now(), subresource,
            resets.of_resource(resource, subresource),
        )  # fmt: skip
        return managed_fields.with_entries(new, entries)

    def _ttl(self, resource: Resource) -> int:
        return self._event_ttl if resource.plural == "events" and resource.kind == "Event" else 0


def _defaulted(resource: Resource, obj: Obj) -> Obj:
    with trace.step("apiserver.link", link="defaulting") as told:
        before = copy(obj) if trace.enabled() else None
        obj = defaults.apply(resource, obj)
        if before is not None:
            told["changed"] = changed(before, obj)
        return obj


def _refuse(resource: Resource, obj: Obj, problems: ErrorList) -> None:
    """Raises ApiError 422 if there are any."""
    if problems:
        raise errors.invalid(_qualified_kind(resource, obj), obj["metadata"].get("name", ""), problems.causes())


def _qualified_kind(resource: Resource, obj: Obj) -> str:
    """A custom resource is named as it names itself."""
    kind = obj.get("kind", resource.kind) if resource.custom else resource.kind
    if kind == "Event" and resource.group == "events.k8s.io":  # both groups' events are one kind inside
        return "Event"
    return f"{kind}.{resource.group}" if resource.group else kind


async def _commit(pool: Pool | None) -> None:
    if pool is not None:
        await pool.commit()


async def _rollback(pool: Pool | None) -> None:
    if pool is not None:
        await pool.rollback()
