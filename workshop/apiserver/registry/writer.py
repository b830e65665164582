"""Writing: create, update and patch. One path for all kinds; a `Strategy` says what a kind does differently.

    decode → default → mutating admission → strategy → validate → validating admission → managed fields → store

An update reads the object (from the cache: a stale one only costs another round), changes it and writes under the
condition that nobody was faster; if somebody was, it begins again with what he left: upstream's GuaranteedUpdate.

Upstream: apiserver/pkg/registry/generic/registry/store.go, apiserver/pkg/endpoints/handlers/{create,update,patch}.go.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Protocol
from uuid import UUID

from workshop import trace
from workshop.api import defaults, dropped, errors, validation
from workshop.api.meta import Obj, copy
from workshop.api.patch import managed_fields, typed
from workshop.api.resources import Resource
from workshop.apiserver.cacher import Cacher
from workshop.apiserver.glass import changed
from workshop.apiserver.interfaces import AdmissionRequest, UserInfo
from workshop.apiserver.shelf import Stored
from workshop.apiserver.storage.interface import Conflict, KeyExists, Storage
from workshop.clock import Clock, rfc3339

from .encoding import to_storage
from .options import WriteOptions
from .reader import Presenter, served_obj
from .strategies import Strategies
from .strategy import Pool, Strategy, Write

Change = Callable[[Obj | None], Awaitable[Obj]]
"""From the object as it stands (None: there is none) to the object as it shall be, both as served."""
NAME_CHARACTERS = "bcdfghjklmnpqrstvwxz2456789"
NAME_TRIES = 8
MAX_NAME = 63
CONFLICT_TRIES = 50
_STATUS_STAYS = ("finalize", "ephemeralcontainers", "resize")
"""Subresources that take the whole object and leave its status alone, as the object's own path does."""


class AdmissionChain(Protocol):
    async def admit(self, request: AdmissionRequest) -> None: ...

    async def validate(self, request: AdmissionRequest) -> None: ...


@dataclass(frozen=True, slots=True)
class Written:
    """What a write left behind, as served. `created` is false for an update."""

    obj: Obj
    created: bool = False


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
        metadata = obj.setdefault("metadata", {})
        self._place(resource, namespace, metadata)
        tries = NAME_TRIES if metadata.get("generateName") and not metadata.get("name") else 1
        for left in range(tries - 1, -1, -1):
            attempt = copy(obj) if left else obj
            if tries > 1:
                attempt["metadata"]["name"] = self._generated(metadata["generateName"])
            try:
                return await self._create(resource, namespace, attempt, options)
            except KeyExists:
                if left:
                    continue
                name = attempt["metadata"]["name"]
                if tries > 1:
                    raise errors.generate_name_conflict(resource, name) from None
                raise await self._taken(resource, namespace, name) from None
        raise AssertionError("unreachable")

    async def _taken(self, resource: Resource, namespace: str, name: str) -> errors.ApiError:
        """The 409 of a name that is in use; it says so where its owner is only waiting for its finalizers."""
        found = await self._read(resource.storage_key(namespace or None, name))
        error = errors.already_exists(resource, name)
        if found is not None and "deletionTimestamp" in found.obj["metadata"]:
            error.status["message"] = f"object is being deleted: {error.message}"
        return error

    def _place(self, resource: Resource, namespace: str, metadata: Obj) -> None:
        given = metadata.get("namespace", "")
        if not resource.namespaced:
            metadata.pop("namespace", None)
        elif given and given != namespace:
            raise errors.bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        else:
            metadata["namespace"] = namespace

    def _generated(self, prefix: str) -> str:
        suffix = "".join(self._random.choice(NAME_CHARACTERS) for _ in range(5))
        return prefix[: MAX_NAME - 5] + suffix

    async def _create(
        self, resource: Resource, namespace: str, obj: Obj, options: WriteOptions, applying: bool = False
    ) -> Written:
        strategy, write = self.strategies.of(resource), Write(resource, options, now=self._clock.now())
        metadata = obj["metadata"]
        for field in ("resourceVersion", "uid", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"):
            given = metadata.pop(field, None)
            if field == "resourceVersion" and given and given.isdigit() and given != "0" and not options.dry_run:
                raise errors.failure(500, "", "resourceVersion should not be set on objects to be created")
        _told_once(metadata, options.warnings)
        metadata["creationTimestamp"] = rfc3339(self._clock.now())
        metadata["uid"] = str(UUID(int=self._random.getrandbits(128), version=4))
        obj = _defaulted(resource, obj)
        if not applying:  # what admission and the server add is managed by nobody
            obj = self._tracked(resource, None, obj, options, "")
        metadata = obj["metadata"]
        request = AdmissionRequest(
            "CREATE", resource, "", namespace, metadata.get("name", ""), obj, None, options.user,
            options.dry_run, warnings=options.warnings, annotations=options.annotations,
        )  # fmt: skip
        await self.admission.admit(request)
        obj = request.object
        dropped.drop(resource, obj, None)
        strategy.prepare_for_create(obj, write)
        pool = await strategy.allocate(obj, None, write)
        try:
            with trace.step("apiserver.link", link="validation"):
                problems = validation.validate(resource, obj, self._allow_loopback)
                if problems:
                    raise errors.invalid(_qualified_kind(resource, obj), _name_of(obj), problems.causes())
            strategy.settle(obj)
            options.warnings.extend(strategy.warnings(obj, None))
            await self.admission.validate(request)
            if options.dry_run:
                if await self._read(self._key(resource, obj)) is not None:
                    raise KeyExists(self._key(resource, obj))
                await _commit(pool)
                return Written(obj, created=True)
            key = self._key(resource, obj)
            raw = to_storage(resource, await self._presenter.stored(resource, obj))
            with trace.step("apiserver.link", link="etcd", key=key, bytes=len(raw)) as told:
                told["revision"] = revision = await self._storage.create(key, raw, self._ttl(resource))
        except BaseException:
            await _rollback(pool)
            raise
        await _commit(pool)
        created = _versioned(obj, revision)
        tell("create", created, "", options.user, options.manager)
        return Written(created, created=True)

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
        strategy = self.strategies.of(resource)
        key = resource.storage_key(namespace or None, name)
        current: Stored | None = self._cacher.shelf(resource.storage_key()).items.get(key)
        fresh = False
        for _ in range(CONFLICT_TRIES):
            if current is None and not fresh:
                current, fresh = await self._read(key), True
            if current is None:
                if not create_if_missing or subresource:
                    raise errors.not_found(resource, name)
                obj = await change(None)
                obj["metadata"]["name"] = obj["metadata"].get("name") or name
                self._place(resource, namespace, obj["metadata"])
                try:
                    return await self._create(resource, namespace, obj, options, applying)
                except KeyExists:
                    fresh = False
                    continue
            shown = await self._presenter.one(resource, current)
            old = served_obj(resource, shown)
            try:
                return await self._update_once(
                    resource, strategy, key, shown, old, change, options, subresource, applying, uid, fresh
                )
            except _Stale as stale:
                if not fresh:  # the cache may be behind: only what etcd says now is a reason to refuse
                    current, fresh = await self._read(key), True
                    continue
                raise errors.conflict(resource, name) from stale
            except errors.ApiError:
                if fresh:
                    raise
                newer = await self._read(key)
                if newer is not None and newer.revision == current.revision:
                    raise
                current, fresh = newer, True
            except Conflict as conflict:
                kv = conflict.current
                current, fresh = (Stored(kv.key, kv.value, kv.mod_revision) if kv else None), True
        raise errors.conflict(resource, name)

    async def _update_once(
        self,
        resource: Resource,
        strategy: Strategy,
        key: str,
        current: Stored,
        old: Obj,
        change: Change,
        options: WriteOptions,
        subresource: str,
        applying: bool,
        uid: str | None,
        fresh: bool,
    ) -> Written:
        new = await change(served_obj(resource, current))  # decoding anew is quicker than a copy
        metadata, before = new.setdefault("metadata", {}), old["metadata"]
        name, namespace = before["name"], before.get("namespace", "")
        _check_identity(resource, name, namespace, metadata, before, uid, options.dry_run)
        _told_once(metadata, options.warnings)
        wanted = metadata.get("resourceVersion") or "0"
        wanted = "" if wanted == "0" else wanted
        if not wanted and not strategy.allows_unconditional_update:
            why = "Invalid value: 0: must be specified for an update"
            raise errors.invalid(
                resource.group_resource, name, [errors.cause("FieldValueInvalid", why, "metadata.resourceVersion")]
            )
        if not (not wanted or (wanted.isascii() and wanted.isdigit())):
            raise errors.failure(500, "", f"strconv.ParseUint: parsing {errors.quote(wanted)}: invalid syntax")
        if wanted and wanted != before["resourceVersion"]:
            raise _Stale
        if not resource.namespaced:
            metadata.pop("namespace", None)
        for field in ("creationTimestamp", "namespace", "name", "selfLink", "resourceVersion"):
            if field in before:
                metadata[field] = before[field]
        for field in ("uid", "deletionTimestamp", "deletionGracePeriodSeconds"):
            if metadata.get(field) in (None, ""):  # another one is for validation to refuse
                _keep(metadata, before, field)
        _keep(metadata, before, "generation")
        write = Write(resource, options, subresource, self._clock.now())
        new = _defaulted(resource, new)
        if not applying:
            new = self._tracked(resource, old, new, options, subresource)
        request = AdmissionRequest(
            "UPDATE", resource, subresource, namespace, name, new, old, options.user, options.dry_run,
            warnings=options.warnings, annotations=options.annotations,
        )  # fmt: skip
        await self.admission.admit(request)
        new = request.object
        dropped.drop(resource, new, old)
        strategy.prepare_for_update(new, old, write)
        pool = await strategy.allocate(new, old, write) if not subresource else None
        try:
            with trace.step("apiserver.link", link="validation"):
                problems = validation.validate_update(resource, new, old, subresource, self._allow_loopback)
                if problems:
                    raise errors.invalid(_qualified_kind(resource, new), name, problems.causes())
            strategy.settle(new)
            if not subresource:
                options.warnings.extend(each for each in strategy.warnings(new, old) if each not in options.warnings)
            await self.admission.validate(request)
            written = await self._store(resource, strategy, key, current, old, new, options, fresh)
        except BaseException:
            await _rollback(pool)
            raise
        await _commit(pool)
        if written.obj["metadata"].get("resourceVersion") != before["resourceVersion"]:
            tell("update", written.obj, subresource, options.user, options.manager)
        return written

    async def _store(
        self,
        resource: Resource,
        strategy: Strategy,
        key: str,
        current: Stored,
        old: Obj,
        new: Obj,
        options: WriteOptions,
        fresh: bool,
    ) -> Written:
        """Write if anything changed; an object that only waited for its last finalizer goes."""
        metadata = new["metadata"]
        if options.dry_run:
            return Written(new)
        if _only_waited_for_finalizers(metadata) and not new.get("spec", {}).get("finalizers"):
            gone = await self._storage.delete(key, current.revision)
            await strategy.release(new)
            return Written(_versioned(new, gone.mod_revision))
        if new == old and not self._storage.stale(
            key, current.revision
        ):  # as values: another order of fields is no change
            if not fresh:  # nothing to do for what the cache knows; somebody may have written since
                raise _Stale
            return Written(new)
        raw = to_storage(resource, await self._presenter.stored(resource, new))
        with trace.step("apiserver.link", link="etcd", key=key, bytes=len(raw)) as told:
            told["revision"] = revision = await self._storage.update(key, raw, current.revision, self._ttl(resource))
        return Written(_versioned(new, revision))

    # --- what both share

    async def _read(self, key: str) -> Stored | None:
        kv = await self._storage.get(key)
        return Stored(kv.key, kv.value, kv.mod_revision) if kv else None

    def _tracked(self, resource: Resource, old: Obj | None, new: Obj, options: WriteOptions, subresource: str) -> Obj:
        door = "" if subresource in _STATUS_STAYS else subresource
        entries = managed_fields.track_update(
            old, new, options.manager, typed.types_of(resource), self._clock.now(), subresource,
            managed_fields.reset_fields(door, resource.subresource("status") is not None, resource.custom),
        )  # fmt: skip
        return managed_fields.with_entries(new, entries)

    def _key(self, resource: Resource, obj: Obj) -> str:
        return resource.storage_key(obj["metadata"].get("namespace") or None, obj["metadata"]["name"])

    def _ttl(self, resource: Resource) -> int:
        return self._event_ttl if resource.plural == "events" and resource.kind == "Event" else 0


def _defaulted(resource: Resource, obj: Obj) -> Obj:
    with trace.step("apiserver.link", link="defaulting") as told:
        before = copy(obj) if trace.enabled() else None
        obj = defaults.apply(resource, obj)
        if before is not None:
            told["changed"] = changed(before, obj)
        return obj


def tell(verb: str, obj: Obj, subresource: str, user: UserInfo, manager: str = "") -> None:
    """A trace line for a write that etcd has taken: who, what, and the version that it made."""
    if trace.enabled():
        metadata = obj["metadata"]
        trace.emit(
            "apiserver.write",
            verb=verb,
            kind=obj.get("kind", ""),
            namespace=metadata.get("namespace", ""),
            name=metadata["name"],
            uid=metadata.get("uid", ""),
            subresource=subresource,
            version=metadata.get("resourceVersion", ""),
            user=user.name,
            manager=manager,
        )


class _Stale(Exception):
    """What was decided rests on an object that may be old: look again."""


def _check_identity(
    resource: Resource, name: str, namespace: str, new: Obj, old: Obj, uid: str | None, dry_run: bool
) -> None:
    if not new.get("name"):
        raise errors.bad_request(errors.unnamed(name))
    if new["name"] != name:
        raise errors.bad_request(f"the name of the object ({new['name']}) does not match the name on the URL ({name})")
    if new.get("namespace", namespace) != namespace and resource.namespaced:
        raise errors.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    if uid and uid != old["uid"]:
        raise uid_conflict(resource, {"metadata": old}, uid, dry_run)


def uid_conflict(resource: Resource, old: Obj, uid: str, dry_run: bool) -> errors.ApiError:
    """The 409 of a write that means another object of the same name."""
    return failed_precondition(resource, old, "UID", uid, old["metadata"]["uid"], dry_run)


def failed_precondition(
    resource: Resource, old: Obj, what: str, wanted: str, found: str, dry_run: bool
) -> errors.ApiError:
    """The 409 of a write that is meant for an object with another uid or version."""
    metadata = old["metadata"]
    key = resource.storage_key(metadata.get("namespace") or None, metadata["name"])
    key = key.removeprefix("/registry") if dry_run else key  # upstream's dry run knows no prefix
    return errors.conflict(
        resource, metadata["name"],
        f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: "
        f"Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found}",
    )  # fmt: skip


def _keep(new: Obj, old: Obj, field: str) -> None:
    if field in old:
        new[field] = old[field]
    else:
        new.pop(field, None)


def _only_waited_for_finalizers(metadata: Obj) -> bool:
    return (
        "deletionTimestamp" in metadata
        and not metadata.get("finalizers")
        and not metadata.get("deletionGracePeriodSeconds")
    )


def _versioned(obj: Obj, revision: int) -> Obj:
    metadata = {key: value for key, value in obj["metadata"].items() if key != "resourceVersion"}
    return {**obj, "metadata": {**metadata, "resourceVersion": str(revision)}}


SAID_TWICE = (
    ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may reject "
    "such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: "
)


def _told_once(metadata: Obj, warnings: list[str]) -> None:
    """Owners that are named twice are named once, with a word about it."""
    kept: list[Obj] = []
    twice: list[str] = []
    for each in metadata.get("ownerReferences") or []:
        if each not in kept:
            kept.append(each)
        elif each.get("uid", "") not in twice:
            twice.append(each.get("uid", ""))
    if twice:
        metadata["ownerReferences"] = kept
        said = SAID_TWICE + ", ".join(twice)
        warnings.extend([said] if said not in warnings else [])  # an update may be tried again


def _name_of(obj: Obj) -> str:
    name: str = obj["metadata"].get("name", "")
    return name


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
