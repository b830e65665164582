"""Ranges that somebody may read or write, and what each request needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from workshop.etcd.mvcc.operations import Message
from workshop.wire import etcd_pb2 as pb

READ, WRITE, READWRITE = pb.Permission.READ, pb.Permission.WRITE, pb.Permission.READWRITE


class Need(NamedTuple):
    """A request needs to READ or WRITE a key, or all of a range (`range_end` as on the wire)."""

    kind: int
    key: bytes
    range_end: bytes = b""


class Ranges:
    """A union of ranges. Neighbours have grown together: what two permissions cover between them is covered."""

    def __init__(self, ranges: Iterable[tuple[bytes, bytes]]) -> None:
        self._joined: list[tuple[bytes, bytes | None]] = []
        for low, high in sorted(map(interval, ranges), key=lambda one: one[0]):
            if self._joined and _reaches(self._joined[-1][1], low):
                first, end = self._joined.pop()
                self._joined.append((first, None if end is None or high is None else max(end, high)))
            else:
                self._joined.append((low, high))

    def cover(self, key: bytes, range_end: bytes) -> bool:
        low, high = interval((key, range_end))
        return any(first <= low and (end is None or (high is not None and high <= end)) for first, end in self._joined)


def interval(wire: tuple[bytes, bytes]) -> tuple[bytes, bytes | None]:
    """[low, high) of a key and range end as on the wire; None is "to the last key"."""
    key, range_end = wire
    if not range_end:
        return key, key + b"\0"
    return key, None if range_end == b"\0" else range_end


def _reaches(end: bytes | None, low: bytes) -> bool:
    return end is None or low <= end


def is_valid(key: bytes, range_end: bytes) -> bool:
    """May a permission be for this range?"""
    return bool(key) and (not range_end or range_end == b"\0" or key < range_end)


def ranges_of(permissions: Iterable[Message], kind: int) -> Ranges:
    return Ranges((p.key, p.range_end) for p in permissions if p.permType in (kind, READWRITE))


# What requests need


def of_put(request: Message) -> Iterator[Need]:
    yield Need(WRITE, request.key)
    if request.prev_kv:
        yield Need(READ, request.key)


def of_range(request: Message) -> Iterator[Need]:
    yield Need(READ, request.key, request.range_end)


def of_delete_range(request: Message) -> Iterator[Need]:
    yield Need(WRITE, request.key, request.range_end)
    if request.prev_kv:
        yield Need(READ, request.key, request.range_end)


def of_txn(request: Message) -> Iterator[Need]:
    """Both branches, whichever will be taken, and those of transactions inside."""
    for compare in request.compare:
        yield Need(READ, compare.key, compare.range_end)
    for operations in (request.success, request.failure):
        for operation in operations:
            match operation.WhichOneof("request"):
                case "request_range":
                    yield from of_range(operation.request_range)
                case "request_put":
                    yield from of_put(operation.request_put)
                case "request_delete_range":
                    yield from of_delete_range(operation.request_delete_range)
                case "request_txn":
                    yield from of_txn(operation.request_txn)
