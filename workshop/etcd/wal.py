"""The write-ahead log: what a member has promised, on disk before it says so.

A log is a row of segments, files named `SEQUENCE-FIRSTINDEX.wal`. A segment is a row of frames. One frame is what
one fsync made durable, however many entries that were (group commit):

    magic  length  sequence  check  header check | records …
    4      4       8         4      4            | length bytes

Zeros follow the last one: room for the next, so that the file need not grow with each.

`sequence` counts frames through all segments. `check` is the CRC-32 of the records, begun with the check of the
frame before in the same segment: a chain, so a frame cannot be lost, doubled or swapped without notice. A record is
its kind, its length, its body.

After a crash the last frame may be torn: cut short, or with sectors of zeros where the disk had not come to. Nobody
was told that it is durable, so it is dropped. Anything else that is wrong with a frame, be it the last, is no work of
a crash: a flipped bit looks like that. And a bad frame with a good one of a later sequence behind it was durable once:
the later one was only begun after its fsync. Both are corruption, and the member must not start.

Upstream: `server/storage/wal`.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from workshop.etcd.disk import SYSTEM_DISK, Disk, File
from workshop.etcd.raft import Entry, HardState

MAGIC = b"\xf5WAL"
HEADER = struct.Struct("<4sIQII")
RECORD = struct.Struct("<BI")
ENTRY = struct.Struct("<QQ?")
STATE = struct.Struct("<QQQ")
POSITION = struct.Struct("<QQ")
METADATA, ENTRIES, HARD_STATE, SNAPSHOT = 1, 2, 3, 4

#: What to do when the data cannot be trusted; every refusal ends so.
REMEDY = (
    "restore the data directory from a snapshot, or remove this member from the cluster (etcdctl member remove), "
    "empty the directory and add it again (etcdctl member add)"
)

#: What a disk writes as a whole or not at all: bytes, at multiples of that in a file.
SECTOR = 512
#: Bytes after which a new segment is begun.
SEGMENT_SIZE = 16 << 20


class Corrupt(Exception):
    """The log was damaged after it had been durable."""


class Frame(NamedTuple):
    """A frame that was read: `end` is the offset after it."""

    sequence: int
    check: int
    records: bytes
    end: int


class Replay(NamedTuple):
    """What a log says: entries by index (a later one with the same index replaces what follows), the last state."""

    metadata: bytes
    state: HardState
    entries: list[Entry]


# Pure: bytes in, bytes out


def encode_record(kind: int, body: bytes) -> bytes:
    return RECORD.pack(kind, len(body)) + body


def encode_batch(entries: Iterable[Entry], state: HardState | None, snapshot: tuple[int, int] | None = None) -> bytes:
    """The records of one frame. `snapshot` (index, term): the log begins anew behind it."""
    records = [encode_record(SNAPSHOT, POSITION.pack(*snapshot))] if snapshot else []
    records += [encode_record(ENTRIES, ENTRY.pack(term, index, change) + data) for term, index, data, change in entries]
    if state is not None:
        records.append(encode_record(HARD_STATE, STATE.pack(*state)))
    return b"".join(records)


def encode_frame(sequence: int, previous_check: int, records: bytes) -> tuple[bytes, int]:
    """A frame and its check, with which the next one begins."""
    check = zlib.crc32(records, previous_check)
    head = HEADER.pack(MAGIC, len(records), sequence, check, 0)[:-4]
    return head + struct.pack("<I", zlib.crc32(head)) + records, check


def _header(data: bytes, offset: int) -> tuple[int, int, int] | None:
    """(length, sequence, check) of a header that is whole, else None."""
    if offset + HEADER.size > len(data):
        return None
    magic, length, sequence, check, own = HEADER.unpack_from(data, offset)
    if magic != MAGIC or own != zlib.crc32(data[offset : offset + HEADER.size - 4]):
        return None
    return length, sequence, check


def decode_frame(data: bytes, offset: int, sequence: int | None, previous_check: int) -> Frame | None:
    """The frame at `offset` if it is whole and continues the chain (sequence None: any); else None."""
    header = _header(data, offset)
    if header is None:
        return None
    length, number, check = header
    start = offset + HEADER.size
    records = data[start : start + length]
    if len(records) < length or (sequence is not None and number != sequence):
        return None
    if zlib.crc32(records, previous_check) != check:
        return None
    return Frame(number, check, records, start + length)


def is_torn(data: bytes, offset: int) -> bool:
    """Is the bad frame at `offset`, the last of `data`, what a crash leaves? It is cut short, or a part of it that lies
    in one sector is all zeros."""
    header = _header(data, offset)
    # Where its header does not tell, the frame ends where the zeros begin.
    end = offset + HEADER.size + header[0] if header else max(len(data.rstrip(b"\0")), offset + HEADER.size)
    edges = [offset, *range(offset - offset % SECTOR + SECTOR, end, SECTOR), end]
    return end > len(data) or any(not any(data[a:b]) for a, b in pairwise(edges))


def later_frame(data: bytes, offset: int, sequence: int) -> int | None:
    """The offset of a header from `offset` on that belongs to a frame after `sequence`."""
    place = data.find(MAGIC, offset)
    while place >= 0:
        header = _header(data, place)
        if header is not None and header[1] > sequence:
            return place
        place = data.find(MAGIC, place + 1)
    return None


def records_of(frame: Frame) -> Iterator[tuple[int, bytes]]:
    """(kind, body) of each record of a frame, in their order."""
    offset = 0
    while offset < len(frame.records):
        kind, length = RECORD.unpack_from(frame.records, offset)
        offset += RECORD.size
        yield kind, frame.records[offset : offset + length]
        offset += length


class Reader:
    """Gathers what the records of a log say, from a snapshot on whose (index, term) is `after`."""

    def __init__(self, metadata: bytes, after: tuple[int, int]) -> None:
        self.metadata, self.state, self.entries = metadata, HardState(), list[Entry]()
        self._after, self._fits = after, True
        self.began = (0, 0)  # where the log last began anew

    def take(self, kind: int, body: bytes) -> None:
        if kind == METADATA:
            self.metadata = body
        elif kind == HARD_STATE:
            self.state = HardState(*STATE.unpack(body))
        elif kind == SNAPSHOT:
            self.began = POSITION.unpack(body)
            self.entries.clear()
            self._fits = True
        elif kind == ENTRIES:
            term, index, change = ENTRY.unpack_from(body)
            self._entry(Entry(term, index, body[ENTRY.size :], change))

    def _entry(self, entry: Entry) -> None:
        """It replaces what a former leader had put at its index and behind."""
        while self.entries and self.entries[-1].index >= entry.index:
            self.entries.pop()
        index, term = self._after
        if entry.index == index:
            # Another term: the snapshot came from the leader, and the crash before the log began anew behind it. What
            # follows here follows something else.
            self._fits = entry.term == term
        elif entry.index > index and self._fits:
            self.entries.append(entry)


# On disk


class WriteAheadLog:
    """`open` one; then `save` is all. `size`: bytes of the last segment. Raises OSError as the disk does."""

    def __init__(self, folder: Path, metadata: bytes, disk: Disk = SYSTEM_DISK) -> None:
        self._folder, self.metadata, self._disk = folder, metadata, disk
        self._file: File | None = None
        self.size = self._sequence = self._segment = self._check = 0

    @classmethod
    def open(
        cls, folder: Path, metadata: Callable[[], bytes], after: int, term: int = 0, disk: Disk = SYSTEM_DISK
    ) -> tuple[WriteAheadLog, Replay | None]:
        """The log in `folder`, ready to go on with it, and what it says of entries behind the snapshot that ends
        with entry `after` of `term`.

        Where nothing was ever durable it is begun anew, whose it is being told by `metadata()`, and there is no
        replay. A torn frame at the very end is dropped. Raises Corrupt.
        """
        disk.make_folder(folder)
        log = cls(folder, b"", disk)
        paths = [folder / name for name in disk.names(folder) if name.endswith(".wal")]
        replay = log._read(paths, (after, term))
        if replay is None:
            for path in paths:
                disk.remove(path)
            log.metadata = metadata()
            log._begin_segment(after + 1)
            return log, None
        log._file = disk.go_on(paths[-1], log.size)
        if not log.size:  # the crash came between making the segment and its first frame
            log._check = 0
            log._write(encode_record(METADATA, log.metadata))
        return log, replay

    def _read(self, paths: list[Path], after: tuple[int, int]) -> Replay | None:
        reader = Reader(self.metadata, after)
        sequence: int | None = None
        for place, path in enumerate(paths):
            data = self._disk.read(path)
            offset = check = 0
            while (frame := decode_frame(data, offset, sequence, check)) is not None:
                sequence, check, offset = frame.sequence + 1, frame.check, frame.end
                for kind, body in records_of(frame):
                    reader.take(kind, body)
            if data[offset:].strip(b"\0"):
                self._check_torn(paths[place:], data, offset, sequence)
                self._disk.truncate(path, offset)
            self.size, self._check = offset, check
        if sequence is None:
            return None
        self._sequence, self._segment = sequence, int(paths[-1].name[:16], 16) + 1
        self._check_complete(reader, after[0])
        self.metadata = reader.metadata
        return Replay(reader.metadata, reader.state, reader.entries)

    def _check_complete(self, reader: Reader, after: int) -> None:
        if reader.began[0] > after:
            raise Corrupt(f"wal: the snapshot of entry {reader.began[0]} is missing or damaged: {REMEDY}")
        if reader.entries and reader.entries[0].index > after + 1:
            missing = f"entries {after + 1} to {reader.entries[0].index - 1} are missing in {self._folder}"
            raise Corrupt(f"wal: {missing}: {REMEDY}")

    def _check_torn(self, rest: list[Path], data: bytes, offset: int, sequence: int | None) -> None:
        """A bad frame is forgiven only if a crash may have torn it, and nothing durable follows, in its segment or in
        a later one."""
        expected = sequence or 0
        follows = later_frame(data, offset, expected) is not None
        if (
            follows
            or not is_torn(data, offset)
            or any(later_frame(self._disk.read(path), 0, expected) is not None for path in rest[1:])
        ):
            raise Corrupt(
                f"wal: {rest[0]} is damaged at byte {offset}, in a record that had been written completely: {REMEDY}"
            )

    def save(self, entries: Iterable[Entry], state: HardState | None, snapshot: tuple[int, int] | None = None) -> None:
        """Write one frame and wait until it is on disk."""
        self._write(encode_batch(entries, state, snapshot))

    def _write(self, records: bytes) -> None:
        assert self._file is not None
        frame, self._check = encode_frame(self._sequence, self._check, records)
        self._file.write(frame)
        self._file.sync()
        self._sequence += 1
        self.size += len(frame)

    def rotate(self, next_index: int) -> None:
        """Begin a new segment if the current one is full."""
        if self.size >= SEGMENT_SIZE:
            self._begin_segment(next_index)

    def _begin_segment(self, next_index: int) -> None:
        file = self._disk.go_on(self._folder / f"{self._segment:016x}-{next_index:016x}.wal", 0)
        if self._file is not None:
            self._file.close()
        self._file, self.size, self._check = file, 0, 0
        self._segment += 1
        self._write(encode_record(METADATA, self.metadata))
        self._disk.sync_folder(self._folder)

    def release(self, index: int) -> None:
        """Remove segments that hold nothing after entry `index`."""
        names = [name for name in self._disk.names(self._folder) if name.endswith(".wal")]
        for name, following in pairwise(names):
            if int(following[17:33], 16) > index + 1:
                break
            self._disk.remove(self._folder / name)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
