"""The replicated log as one member sees it. Pure: nothing here reads or writes a disk.

    first                 stable            last
      |                     |                 |
      4   5   6   7   8   9   10   11   12   13       entries in memory
                  |       |    '---------------'
               applied  committed   unstable: not yet on this member's disk

What lies before `first` was compacted: it is inside a snapshot, and of it only the last index and term are known.

Source: Raft paper, section 5.3; upstream: `go.etcd.io/raft/v3/log.go`.
"""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """One command at its place in the log. A leader's first entry of a term has no data. `change`: it changes who
    belongs to the cluster, of which the core must know."""

    term: int
    index: int  # type: ignore[assignment]  # upstream's name; nobody wants tuple.index
    data: bytes
    change: bool = False


class Log:
    """Entries `first .. last` with the marks `stable`, `committed` and `applied`, which only grow
    (save `stable`, which a conflict may set back)."""

    def __init__(self, snapshot_index: int = 0, snapshot_term: int = 0) -> None:
        self._entries: list[Entry] = []
        self._before = (snapshot_index, snapshot_term)
        self.stable = self.committed = self.applied = snapshot_index

    @property
    def first(self) -> int:
        return self._before[0] + 1

    @property
    def last(self) -> int:
        return self._before[0] + len(self._entries)

    def term(self, index: int) -> int | None:
        """The term of the entry at `index`; None where this log does not know it."""
        if index == self._before[0]:
            return self._before[1]
        if self.first <= index <= self.last:
            return self._entries[index - self.first].term
        return None

    @property
    def last_term(self) -> int:
        return self._entries[-1].term if self._entries else self._before[1]

    def between(self, low: int, high: int) -> list[Entry]:
        """Entries `low .. high`, both included."""
        return self._entries[low - self.first : high - self.first + 1] if low <= high else []

    def batch(self, low: int, size: int) -> list[Entry]:
        """Entries from `low` on, as many as fit into `size` bytes, one at least if there is one."""
        entries = self.between(low, self.last)
        for count, entry in enumerate(entries):
            size -= len(entry.data)
            if size < 0 and count:
                return entries[:count]
        return entries

    def conflict(self, index: int, term: int) -> tuple[int, int]:
        """The last (index, term) of this log, not after `index`, that a log of terms up to `term` there may share.

        Of a log 1a 2a 3c 4c that is asked about index 4, term b: entry 2. All of term c are skipped in one step.
        """
        index = min(index, self.last)
        while index > self._before[0] and (self.term(index) or 0) > term:
            index -= 1
        return index, self.term(index) or 0

    def append(self, entries: list[Entry]) -> None:
        """Add `entries` that follow the last one."""
        assert not entries or entries[0].index == self.last + 1, (entries[0].index, self.last)
        self._entries.extend(entries)

    def merge(self, previous: int, previous_term: int, entries: list[Entry]) -> int | None:
        """A leader's entries after `previous`; the index up to which this log now agrees with it, or None.

        Only what conflicts is cut off. A log 1a 2a 3b that is sent `previous` 1a and 2a, 3c becomes 1a 2a 3c; sent
        2a alone (an old message, late) it stays 1a 2a 3b: the rule that keeps a late message from doing harm.
        """
        if self.term(previous) != previous_term:
            return None
        agreed = previous + len(entries)
        for entry in entries:
            known = self.term(entry.index)
            if known == entry.term or entry.index < self.first:
                continue
            if known is not None:
                assert entry.index > self.committed, "a leader may not contradict what is committed"
                del self._entries[entry.index - self.first :]
                self.stable = min(self.stable, entry.index - 1)
            self.append(entries[entry.index - previous - 1 :])
            break
        return agreed

    def commit(self, index: int) -> bool:
        """Raise the commit mark; True if it moved."""
        if index <= self.committed:
            return False
        assert index <= self.last, "committed beyond the log's end"
        self.committed = index
        return True

    def unstable(self) -> list[Entry]:
        """What is to be written to disk."""
        return self.between(self.stable + 1, self.last)

    def to_apply(self) -> list[Entry]:
        """What is committed, on this disk, and not yet applied."""
        return self.between(self.applied + 1, min(self.committed, self.stable))

    def compact(self, index: int) -> None:
        """Forget entries up to `index`, all of them applied."""
        assert index <= self.applied
        if index >= self.first:
            term = self.term(index)
            assert term is not None
            del self._entries[: index - self.first + 1]
            self._before = (index, term)

    def restore(self, index: int, term: int) -> None:
        """Begin anew behind a snapshot."""
        self._entries.clear()
        self._before = (index, term)
        self.stable = self.committed = self.applied = index
