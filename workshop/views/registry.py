"""What the API server wrote into etcd: its keys as a tree, and what happened to keys, revision by revision.

    Registry(cluster)                 # /registry by resource; opens by a click or by the keyboard
    Registry(cluster).look("/registry/pods/default/web")
    Timeline(cluster, "/lab/")        # a line a key, a column a revision

The trees are HTML's own `details`, so they need no script; as text both are tables.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from workshop.api import codec
from workshop.cluster.facade import Cluster

from .store import Change, Refused, Store, Stored

ROOT = "/registry/"
MOST = 400
"""Keys of one resource that are shown."""
WIDE = 24
"""Revisions that a timeline shows: the newest."""
SIGNS = {"made": "●", "written": "◆", "gone": "✗", "alive": "─", "": " "}


def grouped(keys: Iterable[Stored]) -> dict[str, list[Stored]]:
    """PURE: resource → its keys. `/registry/apps/…` has the group before the resource where there is one."""
    found: dict[str, list[Stored]] = {}
    for one in keys:
        parts = one.key.removeprefix(ROOT).split("/")
        name = "/".join(parts[:2]) if "." in parts[0] and len(parts) > 2 else parts[0]
        found.setdefault(name, []).append(one)
    return found


def readable(value: bytes) -> str:
    """JSON with indents; a protobuf body, as real API servers write it, by its length."""
    if value.startswith(b"k8s\0"):
        return f"protobuf, {len(value)} bytes"
    try:
        return str(codec.dumps_indented(codec.loads(value)))
    except ValueError:
        return value.decode("utf-8", "backslashreplace")


class Registry:
    """Asks etcd each time that it is shown."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def keys(self) -> dict[str, list[Stored]]:
        return grouped(_asked(self.cluster, lambda store: store.keys(ROOT)))

    def look(self, key: str) -> str:
        """One key as it lies there."""
        found = _asked(self.cluster, lambda store: store.get(key))
        return f"{found.key}, revision {found.mod}\n{readable(found.raw)}" if found else f"there is no key {key}"

    def __repr__(self) -> str:
        try:
            found = self.keys()
        except Refused as error:
            return f"etcd does not answer: {error}"
        wide = max((len(name) for name in found), default=0)
        return "\n".join(
            f"{name:{wide}}  {len(keys):>4} key{'s, ' if len(keys) != 1 else ',  '}"
            f"newest revision {max(one.mod for one in keys)}"
            for name, keys in sorted(found.items())
        )

    def _repr_html_(self) -> str:
        try:
            found = self.keys()
        except Refused as error:
            return f"<p>etcd does not answer: {html.escape(str(error))}</p>"
        return "".join(_resource(name, keys) for name, keys in sorted(found.items()))


def _resource(name: str, keys: Sequence[Stored]) -> str:
    inside = "".join(_key(one) for one in keys[:MOST])
    more = f"<p>and {len(keys) - MOST} more</p>" if len(keys) > MOST else ""
    return f"<details><summary>{html.escape(name)} ({len(keys)})</summary>{inside}{more}</details>"


def _key(one: Stored) -> str:
    told = f"{html.escape(one.key)} <small>made in {one.create}, revision {one.mod}, written {one.version}×</small>"
    body = f'<pre style="max-height:20em;overflow:auto" tabindex="0">{html.escape(readable(one.raw))}</pre>'
    return f'<details style="margin-left:1.2em"><summary>{told}</summary>{body}</details>'


@dataclass(frozen=True)
class Line:
    """A key's states at the revisions of a timeline: made, written, gone, alive, or nothing."""

    key: str
    states: tuple[str, ...]


def lines(changes: Sequence[Change], most: int = WIDE) -> tuple[list[int], list[Line]]:
    """PURE: the newest revisions at which something happened, and a line a key.

    >>> lines([Change(2, "PUT", "/a", "1"), Change(3, "PUT", "/b", "1"), Change(4, "DELETE", "/a", "")])[1][0].states
    ('made', 'alive', 'gone')
    """
    revisions = sorted({change.revision for change in changes})
    at = {(change.key, change.revision): change.what for change in changes}
    made = []
    for key in sorted({change.key for change in changes}):
        states, alive = [], False
        for revision in revisions:
            what = at.get((key, revision))
            states.append("gone" if what == "DELETE" else ("written" if alive else "made") if what else "alive" * alive)
            alive = what == "PUT" or (alive and what is None)
        made.append(Line(key, tuple(states[-most:])))
    return revisions[-most:], made


class Timeline:
    """The changes of all keys with `prefix`, from `since` on or from what compaction has left."""

    def __init__(self, cluster: Cluster, prefix: str = "/", since: int = 1) -> None:
        self.cluster, self.prefix, self.since = cluster, prefix, since

    def changes(self) -> tuple[list[Change], str]:
        """What happened, and a sentence where the beginning is gone."""

        def read(store: Store) -> tuple[list[Change], str]:
            try:
                return store.watch(self.prefix, self.since, 1.0), ""
            except Refused as error:
                if not error.compacted:
                    raise
                note = f"what was before revision {error.compacted} was compacted"
                return store.watch(self.prefix, error.compacted, 1.0), note

        found: tuple[list[Change], str] = _asked(self.cluster, read)
        return found

    def _table(self) -> tuple[list[int], list[Line], str]:
        try:
            changes, note = self.changes()
        except Refused as error:
            return [], [], f"etcd does not answer: {error}"
        return (*lines(changes), note)

    def __repr__(self) -> str:
        revisions, found, note = self._table()
        wide = max((len(line.key) for line in found), default=8)
        head = f"{'revision':{wide}} " + "".join(f"{revision:>6}" for revision in revisions)
        rows = [f"{line.key:{wide}} " + "".join(f"{SIGNS[state]:>6}" for state in line.states) for line in found]
        legend = "● made  ◆ written  ─ still there  ✗ removed"
        return "\n".join([head, *rows, legend, *([note] if note else [])])

    def _repr_html_(self) -> str:
        revisions, found, note = self._table()
        head = "".join(f'<th scope="col" style="text-align:center">{revision}</th>' for revision in revisions)
        rows = "".join(
            f'<tr><th scope="row" style="text-align:left">{html.escape(line.key)}</th>'
            + "".join(f'<td title="{state}" style="text-align:center">{SIGNS[state]}</td>' for state in line.states)
            + "</tr>"
            for line in found
        )
        legend = "● made, ◆ written, ─ still there, ✗ removed"
        told = f"keys below {html.escape(self.prefix)}, by revision: {legend}. {html.escape(note)}"
        caption = f'<caption style="text-align:left;white-space:nowrap">{told}</caption>'
        scroll = '<div style="overflow-x:auto" tabindex="0" role="region" aria-label="revisions">'
        heads = f'<tr><th scope="col" style="text-align:left">key</th>{head}</tr>'
        return f"{scroll}<table>{caption}<thead>{heads}</thead><tbody>{rows}</tbody></table></div>"


def _asked(cluster: Cluster, ask: Any) -> Any:
    store = Store(cluster)
    try:
        return ask(store)
    finally:
        store.close()
