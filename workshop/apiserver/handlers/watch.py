"""Watch: a list's continuation as a stream, one JSON document a line.

A change is judged before and after: what a selector begins to match is ADDED, what it stops matching is DELETED. With
`sendInitialEvents` everything there is comes first, then a bookmark annotated `k8s.io/initial-events-end` (KEP-3157).

Upstream: apiserver/pkg/endpoints/handlers/watch.go, apiserver/pkg/storage/cacher/cache_watcher.go.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from random import Random

import msgspec

from workshop import trace
from workshop.api import errors
from workshop.api.resources import Resource
from workshop.apiserver.cacher import Cacher
from workshop.apiserver.extensions.presenting import Presenter
from workshop.apiserver.registry.convert import same_store
from workshop.apiserver.registry.options import list_options
from workshop.apiserver.registry.reader import Selection, candidates_of, served, served_obj, version_number
from workshop.apiserver.server.http import Request, Response
from workshop.apiserver.server.negotiate import Accepted
from workshop.apiserver.shelf import Change, Stored, event_line
from workshop.clock import Clock
from workshop.serving.exchange import PIECE, Exchange

from . import forms

BOOKMARK_EVERY = 60.0
MIN_REQUEST_TIMEOUT = 1800
INITIAL_EVENTS_END = "k8s.io/initial-events-end"
encode = msgspec.json.encode


class Watches:
    def __init__(
        self,
        cacher: Cacher,
        presenter: Presenter,
        clock: Clock,
        random: Random,
        min_timeout: float = MIN_REQUEST_TIMEOUT,
    ) -> None:
        self._cacher, self._presenter = cacher, presenter
        self._clock, self._random, self._min_timeout = clock, random, min_timeout

    async def serve(self, request: Request, selection: Selection, form: Accepted) -> Response:
        """Raises ApiError 400, 410, 422, 504; later errors are ERROR events of the stream."""
        options = list_options(request)
        initial = request.flag("sendInitialEvents") if "sendInitialEvents" in request.query else None
        bookmarks = request.flag("allowWatchBookmarks")
        version = options.version
        if version and not (version.isascii() and version.isdigit()):
            why = f'strconv.ParseUint: parsing "{version}": invalid syntax'
            raise errors.failure(500, "", f'resourceVersion: Invalid value: "{version}": {why}')
        if not version:
            await self._cacher.consistent()
        elif initial and version != "0":
            await self._cacher.wait_until(version_number(version))
        else:
            await self._cacher.ready.wait()
        list_first = initial if initial is not None else version in ("", "0")
        start = self._cacher.revision if list_first or version in ("", "0") else int(version)
        timeout = request.number("timeoutSeconds") or self._min_timeout * (1 + self._random.random())
        stream = self._stream(request, selection, form, start, list_first, bool(initial), bookmarks, timeout)
        return Response(stream=stream)

    async def _stream(
        self,
        request: Request,
        selection: Selection,
        form: Accepted,
        start: int,
        list_first: bool,
        mark_end: bool,
        bookmarks: bool,
        timeout: float,
    ) -> AsyncIterator[bytes]:
        encoder = _Encoder(request, selection, form, self._clock)
        prefix = selection.resource.storage_key()
        try:
            if list_first:  # from here on to `existing` nothing may be awaited: a list and what comes after it
                start = self._cacher.revision
                past, watcher = self._cacher.watch(prefix, start, *encoder.scope)
            else:
                past, watcher = await self._cacher.watch_from(prefix, start, *encoder.scope)
                encoder.after = start
        except errors.ApiError as error:
            yield event_line("ERROR", encode(error.status))
            return
        if request.connection is not None:
            watcher.on_overflow = request.connection.abort
            watcher.pass_on = encoder.pass_on(request.connection)
        try:
            if list_first:
                existing = candidates_of(self._cacher.shelf(prefix), selection)
                for some in encoder.all_of(await self._presenter.served(selection.resource, existing)):
                    yield some
                del existing  # a watch may last for hours
                if mark_end:
                    yield encoder.bookmark(start, {INITIAL_EVENTS_END: "true"})
            if past:
                past = await self._presenter.changes(selection.resource, past)
                lines = [line for change in past if (line := encoder.change(change))]
                if lines:
                    yield b"".join(lines)
            del past
            end = self._clock.monotonic() + timeout
            mark = self._clock.monotonic() + BOOKMARK_EVERY
            while (left := end - self._clock.monotonic()) > 0:
                changes = await watcher.next(min(left, max(0.0, mark - self._clock.monotonic())))
                if watcher.cut:
                    return
                # What the cache has come to by now is in `changes`; it may go further while they are being sent.
                revision = self._cacher.revision
                changes = await self._presenter.changes(selection.resource, changes)
                lines = [line for c in changes if (line := encoder.change(c))]
                if lines and trace.enabled():
                    _tell(request, selection, changes)
                if self._clock.monotonic() >= mark:
                    mark = self._clock.monotonic() + BOOKMARK_EVERY
                    lines += [encoder.bookmark(revision)] if bookmarks else []
                if lines:
                    yield b"".join(lines)
                del changes, lines
        except errors.ApiError as error:  # an object that nobody can decrypt, a conversion that fails
            yield event_line("ERROR", encode(error.status))
        finally:
            watcher.close()


def _tell(request: Request, selection: Selection, changes: list[Change]) -> None:
    """A trace line: these revisions go to this client."""
    trace.emit(
        "apiserver.watch",
        agent=request.header("user-agent"),
        user=request.user.name,
        resource=selection.resource.group_resource,
        fields=request.option("fieldSelector"),
        revisions=[change.revision for change in changes],
    )


class _Encoder:
    """Changes as lines, in the form and through the selection of one client."""

    def __init__(self, request: Request, selection: Selection, form: Accepted, clock: Clock) -> None:
        self._request, self._selection, self._form, self._clock = request, selection, form, clock
        self._resource: Resource = selection.resource
        self._shared = same_store(selection.resource) and not form.form
        self._judge = selection.judge
        self._keys, self._alone = selection.only_key or selection.prefix, selection.only_key is not None
        self._columns_told = False
        self.after = 0
        """Nothing up to this revision is told: a client may name one that this server has not come to."""

    @property
    def scope(self) -> tuple[str, bool, Callable[[Change], bool] | None]:
        """What its watcher is to hear of: keys with this beginning, or this one alone; and whether this client sees a
        change at all, which is asked before anybody wakes. None where each is seen, or where it cannot be said yet: a
        custom resource is converted first."""
        late = self._judge is None or self._resource.definition is not None
        return self._keys, self._alone, None if late else self._sees

    def _sees(self, change: Change) -> bool:
        judge = self._judge
        return judge is None or judge(change.new) or (change.old is not None and judge(change.old))

    def pass_on(self, connection: Exchange) -> Callable[[Change], bool] | None:
        """The short way of a change to this client: the cache's bytes into its connection."""
        if not self._shared or self._resource.definition is not None:
            return None

        def pass_on(change: Change) -> bool:
            if trace.enabled():
                return False
            line = self.change(change)
            return not line or connection.push(line)

        return pass_on

    def all_of(self, items: list[Stored]) -> Iterator[bytes]:
        """The objects that are there, some lines at a time."""
        lines: list[bytes] = []
        size = 0
        for stored in items if self._judge is None else filter(self._judge, items):
            lines.append(self.line("ADDED", stored))
            size += len(lines[-1])
            if size >= PIECE:
                yield b"".join(lines)
                lines, size = [], 0
        if lines:
            yield b"".join(lines)

    def change(self, change: Change) -> bytes:
        """The line of a change, or b"" if this client does not see it."""
        key, judge, seen = change.new.key, self._judge, change.type
        if change.revision <= self.after or not (key == self._keys if self._alone else key.startswith(self._keys)):
            return b""
        if judge is not None:
            now = change.type != "DELETED" and judge(change.new)
            before = change.old is not None and judge(change.old)
            if not now and not before:
                return b""
            seen = "ADDED" if not before else "MODIFIED" if now else "DELETED"
        if seen == change.type and self._shared:
            return change.line
        return self.line(seen, change.new)

    def line(self, type: str, stored: Stored) -> bytes:
        """Raises ApiError 500 where nobody can read the object."""
        if stored.sealed:
            raise stored.unreadable
        if self._form.form == "Table":
            obj = served_obj(self._resource, stored)
            made = forms.table(self._request, self._resource, [obj], self._clock.now(), str(stored.revision))
            if self._columns_told:  # a client reads the columns off the first event
                made["columnDefinitions"] = None
            self._columns_told = True
            return event_line(type, encode(made))
        if self._form.form:
            return event_line(type, encode(forms.partial(stored.obj)))
        return event_line(type, served(self._resource, stored))

    def bookmark(self, revision: int, annotations: dict[str, str] | None = None) -> bytes:
        """ "You have seen everything up to here": an object of nothing but a resourceVersion."""
        metadata: dict[str, object] = {"resourceVersion": str(revision), "creationTimestamp": None}
        if annotations:
            metadata["annotations"] = annotations
        if self._form.form == "Table":
            table = forms.table(self._request, self._resource, [], self._clock.now(), str(revision))
            body = {"metadata": metadata}
            table["rows"] = [
                {"cells": [], "object": {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", **body}}
            ]
            return event_line("BOOKMARK", encode(table))
        kind, version = self._resource.kind, self._resource.api_version
        if self._form.form:
            kind, version = "PartialObjectMetadata", "meta.k8s.io/v1"
        return event_line("BOOKMARK", encode({"kind": kind, "apiVersion": version, "metadata": metadata}))
