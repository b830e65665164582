"""Files of bbolt, the embedded store under upstream's etcd: written in one go, and read.

A file is a row of pages of 4 KiB (longer ones overflow into those behind them):

    0, 1   meta: where the root is, how many pages there are; the one with the higher transaction counts
    2      the list of free pages (here: none)
    3 …    the B+tree of every bucket, then that of the root, whose values say where the buckets' trees begin

    page     id 8   flags 2   count 2   overflow 4   then the elements
    leaf     flags 4   offset 4   key size 4   value size 4      offset counts from the element itself
    branch   offset 4   key size 4   child's page 8              its key is the child's first

A tree that is written once, in the order of its keys, needs no search: leaves are filled one after the other, then
the level above them, until one page is left. Upstream: https://github.com/etcd-io/bbolt, `internal/common`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import BinaryIO

PAGE_SIZE = 4096
MAGIC, VERSION = 0xED0CDAED, 2
BRANCH, LEAF, META, FREELIST = 0x01, 0x02, 0x04, 0x10
IS_BUCKET = 0x01

PAGE = struct.Struct("<QHHI")
LEAF_ELEMENT = struct.Struct("<IIII")
BRANCH_ELEMENT = struct.Struct("<IIQ")
BUCKET = struct.Struct("<QQ")  # root page, sequence
META_BODY = struct.Struct("<IIIIQQQQQ")  # magic, version, page size, flags, root, sequence, free list, pages, txid

Pair = tuple[bytes, bytes]


class NotBolt(ValueError):
    """The file is none of bbolt's, or damaged."""


def fnv_1a(data: bytes) -> int:
    """The checksum of a meta page."""
    digest = 0xCBF29CE484222325
    for byte in data:
        digest = (digest ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return digest


# Writing


class Writer:
    """Buckets one after the other, in the order of their names, then `finish`."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._page = 3
        self._buckets: list[Pair] = []
        file.write(b"\0" * PAGE_SIZE * 3)

    def bucket(self, name: bytes, pairs: Iterable[Pair]) -> None:
        """A bucket of `pairs` in the order of their keys."""
        self._buckets.append((name, BUCKET.pack(self._tree(pairs, 0), 0)))

    def finish(self) -> None:
        root = self._tree(self._buckets, IS_BUCKET)
        self._file.seek(0)
        for txid in (0, 1):
            body = META_BODY.pack(MAGIC, VERSION, PAGE_SIZE, 0, root, 0, 2, self._page, txid)
            page = PAGE.pack(txid, META, 0, 0) + body + struct.pack("<Q", fnv_1a(body))
            self._file.write(page.ljust(PAGE_SIZE, b"\0"))
        self._file.write(PAGE.pack(2, FREELIST, 0, 0).ljust(PAGE_SIZE, b"\0"))

    def _tree(self, pairs: Iterable[Pair], flags: int) -> int:
        """Write a tree; its root page."""
        level = [(first, self._leaf(full, flags)) for first, full in _pages(pairs, LEAF_ELEMENT.size)]
        while len(level) > 1:
            children = ((key, struct.pack("<Q", page)) for key, page in level)
            level = [(first, self._branch(full)) for first, full in _pages(children, BRANCH_ELEMENT.size)]
        return level[0][1]

    def _leaf(self, pairs: list[Pair], flags: int) -> int:
        heads: list[bytes] = []
        bodies: list[bytes] = []
        offset = LEAF_ELEMENT.size * len(pairs)
        for key, value in pairs:
            heads.append(LEAF_ELEMENT.pack(flags, offset, len(key), len(value)))
            bodies += (key, value)
            offset += len(key) + len(value) - LEAF_ELEMENT.size
        return self._write(LEAF, len(pairs), b"".join(heads + bodies))

    def _branch(self, children: list[Pair]) -> int:
        heads: list[bytes] = []
        bodies: list[bytes] = []
        offset = BRANCH_ELEMENT.size * len(children)
        for key, page in children:
            heads.append(BRANCH_ELEMENT.pack(offset, len(key), struct.unpack("<Q", page)[0]))
            bodies.append(key)
            offset += len(key) - BRANCH_ELEMENT.size
        return self._write(BRANCH, len(children), b"".join(heads + bodies))

    def _write(self, flags: int, count: int, body: bytes) -> int:
        page, pages = self._page, -(-(PAGE.size + len(body)) // PAGE_SIZE)
        self._file.write((PAGE.pack(page, flags, count, pages - 1) + body).ljust(pages * PAGE_SIZE, b"\0"))
        self._page += pages
        return page


def _pages(pairs: Iterable[Pair], overhead: int) -> Iterator[tuple[bytes, list[Pair]]]:
    """Pairs in portions that fit a page (one that is too long is a portion of its own), each with its first key.
    A single empty portion where there are none."""
    portion: list[Pair] = []
    size, some = PAGE.size, False
    for key, value in pairs:
        more = overhead + len(key) + len(value)
        if portion and size + more > PAGE_SIZE:
            yield portion[0][0], portion
            portion, size = [], PAGE.size
        portion.append((key, value))
        size += more
        some = True
    if portion or not some:
        yield (portion[0][0] if portion else b""), portion


# Reading


class Reader:
    """The buckets of a file that is at hand as bytes (or as a map of it). Raises NotBolt."""

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = memoryview(data)
        metas = [meta for place in (0, 1) if (meta := self._meta(place)) is not None]
        if not metas:
            raise NotBolt("not a file of bbolt, or damaged")
        self._page_size, root, _ = max(metas, key=lambda meta: meta[2])
        self.buckets = {key: (value, flags) for key, value, flags in self._walk(root)}

    def _meta(self, place: int) -> tuple[int, int, int] | None:
        """(page size, root page, transaction) of a meta page that is whole."""
        for size in (4096, 8192, 16384, 65536):
            start = place * size + PAGE.size
            body = bytes(self._data[start : start + META_BODY.size])
            if len(body) < META_BODY.size:
                continue
            magic, version, page_size, _, root, _, _, _, txid = META_BODY.unpack(body)
            check = bytes(self._data[start + META_BODY.size : start + META_BODY.size + 8])
            if (magic, version) == (MAGIC, VERSION) and check == struct.pack("<Q", fnv_1a(body)):
                return page_size, root, txid
        return None

    def pairs(self, bucket: bytes) -> Iterator[Pair]:
        """What a bucket holds, in order; nothing if there is no such bucket."""
        value, _ = self.buckets.get(bucket, (b"", 0))
        if not value:
            return
        root, _ = BUCKET.unpack_from(value)
        found = self._walk(root) if root else self._elements(memoryview(value)[BUCKET.size :])
        for key, content, _ in found:
            yield key, content

    def _walk(self, page: int) -> Iterator[tuple[bytes, bytes, int]]:
        start = page * self._page_size
        if start + PAGE.size > len(self._data):
            raise NotBolt(f"page {page} is missing")
        yield from self._elements(self._data[start:])

    def _elements(self, page: memoryview) -> Iterator[tuple[bytes, bytes, int]]:
        number, flags, count, _ = PAGE.unpack_from(page)
        if flags & LEAF:
            for place in range(count):
                at = PAGE.size + place * LEAF_ELEMENT.size
                kind, offset, key_size, size = LEAF_ELEMENT.unpack_from(page, at)
                middle = at + offset + key_size
                if middle + size > len(page):
                    raise NotBolt(f"page {number} is cut short")
                yield bytes(page[at + offset : middle]), bytes(page[middle : middle + size]), kind
        elif flags & BRANCH:
            for place in range(count):
                _, _, child = BRANCH_ELEMENT.unpack_from(page, PAGE.size + place * BRANCH_ELEMENT.size)
                yield from self._walk(child)
        else:
            raise NotBolt(f"page {number} is no page of a tree")
