"""All records in the order of their revisions, kept so that old ones can be taken out a few at a time.

    runs    [[1.0 2.0 3.0 …] [600.0 601.0 601.1 …] …]     at most RUN records each

Adding goes to the last run. Taking out makes new runs of those concerned, so whoever holds a run (a snapshot that
is being written) may go on reading it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

from workshop.etcd.mvcc.key_index import Record

#: Records in a run.
RUN = 512


#: Records that are taken out of a run one by one.
FEW = 8


def _place(record: Record) -> tuple[int, int]:
    return record.main, record.sub


def _first(run: list[Record]) -> tuple[int, int]:
    return _place(run[0])


class History:
    """Append at the end, read from a revision on, discard anywhere."""

    def __init__(self) -> None:
        self._runs: list[list[Record]] = []
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def append(self, record: Record) -> None:
        if not self._runs or len(self._runs[-1]) >= RUN:
            self._runs.append([])
        self._runs[-1].append(record)
        self._size += 1

    def __iter__(self) -> Iterator[Record]:
        return (record for run in self._runs for record in run)

    def copy(self) -> History:
        """All of it as it is now, whatever happens later; cheap, the runs are shared."""
        copied = History()
        copied._runs = [*self._runs[:-1], list(self._runs[-1])] if self._runs else []
        copied._size = self._size
        return copied

    def since(self, revision: int) -> Iterator[Record]:
        """Those of `revision` and later; nothing may change meanwhile."""
        place = max(bisect_left(self._runs, (revision, 0), key=_first) - 1, 0)
        for run in self._runs[place:]:
            for record in run:
                if record.main >= revision:
                    yield record

    def discard(self, records: Iterable[Record]) -> None:
        """Take records out that are in it."""
        by_run: dict[int, list[Record]] = {}
        for record in records:
            place = bisect_right(self._runs, (record.main, record.sub), key=_first) - 1
            by_run.setdefault(place, []).append(record)
        for place, gone in sorted(by_run.items(), reverse=True):
            run = self._runs[place]
            self._size -= len(gone)
            if len(gone) == len(run):
                del self._runs[place]
            else:
                self._runs[place] = _without(run, gone)


def _without(run: list[Record], gone: list[Record]) -> list[Record]:
    """A new run. Of a few each is looked for: copying is much quicker than asking one after the other."""
    if len(gone) > FEW:
        ids = set(map(id, gone))
        return [record for record in run if id(record) not in ids]
    left = run.copy()
    for record in gone:
        del left[bisect_left(left, _place(record), key=_place)]
    return left
