"""Reading: one object, or a page of a list at a resourceVersion.

    resourceVersion unset         what etcd holds now: its revision is asked for, the cache catches up
    "0"                           whatever the cache has
    "N", NotOlderThan             the cache, once it has come to N
    "N", Exact                    etcd at revision N

Upstream: apiserver/pkg/storage/cacher/cacher.go (GetList), apiserver/pkg/storage/continue.go.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from workshop.api import errors, fields, json_syntax, labels
from workshop.api.meta import Obj
from workshop.api.resources import Resource
from workshop.apiserver.cacher import Cacher
from workshop.apiserver.shelf import Shelf, Stored
from workshop.apiserver.storage.interface import Compacted, FutureRevision, KeyValue, Storage

from .convert import convert, same_store
from .fields import custom_extractor, extractor

INCONSISTENT = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)


EVERYTHING = labels.Selector()


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects of a shelf: those of a namespace that match both selectors."""

    resource: Resource
    namespace: str = ""
    labels: labels.Selector = EVERYTHING
    fields: fields.Selector = fields.EVERYTHING

    @property
    def prefix(self) -> str:
        return self.resource.storage_key(self.namespace or None)

    @property
    def only_key(self) -> str | None:
        """The key of the one object that can match, where the selector names it."""
        name = self.fields.exact("metadata.name")
        if not name or (self.resource.namespaced and not self.namespace):
            return None
        return self.resource.storage_key(self.namespace or None, name)

    @property
    def everything(self) -> bool:
        return self.labels.empty and self.fields.empty

    @property
    def judge(self) -> Callable[[Stored], bool] | None:
        """Whether an object of this prefix, or of the only key, matches; None where each does."""
        if self.labels.empty and (self.fields.empty or (self.only_key and len(self.fields.terms) == 1)):
            return None
        kind, of_labels, of_fields = self.resource.definition, self.labels, self.fields
        fields_of = extractor(stored_name(self.resource)) if kind is None else custom_extractor(kind)

        def matches(stored: Stored) -> bool:
            found_labels, found_fields = stored.attributes(fields_of)
            return of_labels.matches(found_labels) and of_fields.matches(found_fields)

        return matches


def candidates_of(shelf: Shelf, selection: Selection, after: str = "") -> Iterable[Stored]:
    """Those objects of a shelf among which the selected ones are: one, if it is named."""
    key = selection.only_key
    if key is None:
        return shelf.under(selection.prefix, after)
    return [found] if (found := shelf.items.get(key)) is not None and key > after else []


@dataclass(frozen=True, slots=True)
class Page:
    items: list[Stored]
    revision: int
    token: str = ""
    remaining: int | None = None


@dataclass(frozen=True, slots=True)
class ListOptions:
    limit: int = 0
    token: str = ""
    version: str = ""
    match: str = ""


def stored_name(resource: Resource) -> str:
    """The `.group_resource` of the kind under which a resource is stored: events, whichever group asks."""
    group = resource.storage_group
    return f"{resource.plural}.{group}" if group else resource.plural


def served(resource: Resource, stored: Stored) -> bytes:
    """The object's bytes in the version that `resource` serves."""
    if same_store(resource):
        if stored.sealed:
            raise stored.refusal
        return stored.raw
    return json.dumps(convert(stored.obj, resource.api_version), separators=(",", ":"), ensure_ascii=False).encode()


def served_obj(resource: Resource, stored: Stored) -> Obj:
    return convert(stored.obj, resource.api_version)


def version_number(text: str, code: int = 400) -> int:
    """A resourceVersion as a number. Raises ApiError: 400, or the 500 that upstream gives to the read of one object."""
    if not text.isascii() or not text.isdigit():
        quoted = errors.quote(text)
        why = f"resourceVersion: Invalid value: {quoted}: strconv.ParseUint: parsing {quoted}: invalid syntax"
        raise errors.failure(500, "", why) if code == 500 else errors.bad_request(f"invalid resource version: {why}")
    return int(text)


class Presenter(Protocol):
    """Custom resources in the version that is asked for; others as they are (extensions/presenting.py)."""

    async def served(self, resource: Resource, items: Iterable[Stored]) -> list[Stored]: ...

    async def one(self, resource: Resource, item: Stored) -> Stored: ...

    async def stored(self, resource: Resource, obj: Obj) -> Obj: ...


class Reader:
    def __init__(self, storage: Storage, cacher: Cacher, presenter: Presenter) -> None:
        self._storage, self._cacher, self._presenter = storage, cacher, presenter

    async def get(self, resource: Resource, namespace: str, name: str, version: str = "") -> Stored:
        """One object from the cache: with a resourceVersion one at least as new, else as etcd has it now.

        Where the cache cannot be sure to be up to date etcd is read itself. Raises ApiError 404.
        """
        key = resource.storage_key(namespace or None, name)
        if version:
            await self._cacher.wait_until(version_number(version, 500))
            found: Stored | None = self._cacher.shelf(resource.storage_key()).items.get(key)
        elif self._cacher.trusts_progress:
            await self._cacher.consistent()
            found = self._cacher.shelf(resource.storage_key()).items.get(key)
        else:
            kv = await self._storage.get(key)
            found = Stored(kv.key, kv.value, kv.mod_revision) if kv else None
        if found is None:
            raise errors.not_found(resource, name)
        if found.sealed:
            raise found.unreadable
        return await self._presenter.one(resource, found)

    async def list(self, selection: Selection, options: ListOptions) -> Page:
        """A page in key order. Raises ApiError 400, 410, 504."""
        if options.token:
            start, revision = _decode_token(options.token, selection.prefix)
            if options.version not in ("", "0"):
                raise errors.bad_request("specifying resource version is not allowed when using continue")
            if revision > 0:
                return await self._at(selection, options, revision, start)
            await self._cacher.consistent()
            return await self._from_cache(selection, options, start)
        if options.match == "Exact" or (options.version not in ("", "0") and options.limit and not options.match):
            return await self._at(selection, options, version_number(options.version), None)
        if not options.version:
            if not self._cacher.trusts_progress:
                return await self._at(selection, options, await self._storage.current_revision(), None)
            await self._cacher.consistent()
        elif options.version != "0":
            await self._cacher.wait_until(version_number(options.version))
        else:
            await self._cacher.ready.wait()
        return await self._from_cache(selection, options, None)

    async def _from_cache(self, selection: Selection, options: ListOptions, start: str | None) -> Page:
        shelf = self._cacher.shelf(selection.resource.storage_key())
        candidates: Iterable[Stored] = candidates_of(shelf, selection, start or "")
        revision = self._cacher.revision
        if selection.resource.definition is not None:
            candidates = await self._presenter.served(selection.resource, candidates)
        judge = selection.judge
        matching = iter(candidates) if judge is None else filter(judge, candidates)
        if not options.limit:
            return Page(list(matching), revision)
        items = list(islice(matching, options.limit + 1))
        if len(items) <= options.limit:
            return Page(items, revision)
        rest = shelf.count_after(selection.prefix, items[-2].key) if selection.everything else None
        return Page(items[:-1], revision, _encode_token(revision, items[-2].key, selection.prefix), rest)

    async def _at(self, selection: Selection, options: ListOptions, revision: int, start: str | None) -> Page:
        items: list[Stored] = []
        limit, judge, only = options.limit, selection.judge, selection.only_key
        while True:
            try:
                found = await self._storage.list(selection.prefix, revision, limit and limit + 1, start)
            except Compacted:
                if options.token:
                    raise _gone(selection, start) from None
                raise errors.gone_expired() from None
            except FutureRevision:
                raise errors.resource_version_too_large(revision, self._cacher.revision) from None
            for stored in await self._presenter.served(selection.resource, map(_stored, found.items)):
                if only in (None, stored.key) and (judge is None or judge(stored)):
                    if limit and len(items) == limit:
                        rest = None
                        if selection.everything:
                            rest = found.remaining + sum(1 for other in found.items if other.key >= stored.key)
                        return Page(items, revision, _encode_token(revision, items[-1].key, selection.prefix), rest)
                    items.append(stored)
            if not found.more:
                return Page(items, revision)
            start = found.items[-1].key


def _stored(kv: KeyValue) -> Stored:
    return Stored(kv.key, kv.value, kv.mod_revision)


def _gone(selection: Selection, start: str | None) -> errors.ApiError:
    """410 with a token by which the client may go on, if it can live with an inconsistent list."""
    error = errors.gone_expired(INCONSISTENT)
    error.status["metadata"] = {"continue": _encode_token(-1, start or "", selection.prefix)}
    return error


def _encode_token(revision: int, key: str, prefix: str) -> str:
    """Upstream's form: the key is relative to the prefix and ends in NUL, the first that comes after it."""
    token = {"v": "meta.k8s.io/v1", "rv": revision, "start": key.removeprefix(prefix) + "\0"}
    return base64.urlsafe_b64encode(json.dumps(token, separators=(",", ":")).encode()).decode().rstrip("=")


def _decode_token(text: str, prefix: str) -> tuple[str, int]:
    try:
        plain = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode(errors="replace")
        if wrong := json_syntax.complaint(plain):
            raise errors.bad_request(f"invalid continue token: continue key is not valid: {wrong}")
        token = json.loads(plain)
        if not isinstance(token, dict) or token.get("v") != "meta.k8s.io/v1":
            version = token.get("v", "") if isinstance(token, dict) else ""
            said = f"continue key is not valid: server does not recognize this encoded version {version}"
            raise errors.bad_request(f"invalid continue token: {said}")
        start, revision = token["start"], token["rv"]
        if not isinstance(start, str) or not isinstance(revision, int):
            raise ValueError
        if ".." in start.split("/"):
            raise errors.bad_request(f"invalid continue token: continue key is not valid: {start}")
    except binascii.Error:
        at = next(
            (i for i, c in enumerate(text) if not (c.isascii() and (c.isalnum() or c in "-_"))), len(text) // 4 * 4
        )
        why = f"illegal base64 data at input byte {min(at, max(0, len(text) - 1))}"
        raise errors.bad_request(f"invalid continue token: continue key is not valid: {why}") from None
    except (ValueError, KeyError, TypeError):
        raise errors.bad_request("continue key is not valid") from None
    return prefix + start.rstrip("\0"), revision
