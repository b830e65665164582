"""Protobuf by concatenation, for what is sent often.

A message on the wire is a list of `tag, value`; a nested message is `tag, length, bytes`. So an answer that holds a
stored key-value need not build it again: the bytes that were encoded once when it was written are joined in.

    KeyValue is field 2 of RangeResponse, of PutResponse (prev_kv) and of Event, and field 3 of Event (prev_kv)
    and of DeleteRangeResponse: a `Record` keeps itself as "field 2", and as "field 3" only the tag differs.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterable


def varint(number: int) -> bytes:
    """Seven bits a byte, the low ones first; negative numbers as 64-bit two's complement."""
    if 0 <= number < 0x80:
        return _SMALL[number]
    number &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


_SMALL = [bytes([n]) for n in range(0x80)]


def nested(field: int, payload: bytes) -> bytes:
    """A message, string or bytes as field number `field`; also an empty one (it is there, and empty)."""
    return varint(field << 3 | 2) + varint(len(payload)) + payload


def data(field: int, payload: bytes) -> bytes:
    """Bytes as a field; nothing at all when they are empty, as proto3 wants."""
    return varint(field << 3 | 2) + varint(len(payload)) + payload if payload else b""


def number(field: int, value: int) -> bytes:
    """An integer, enum or boolean as a field; nothing at all when it is 0."""
    return varint(field << 3) + varint(value) if value else b""


def key_value(key: bytes, create: int, mod: int, version: int, value: bytes, lease: int) -> bytes:
    """A `KeyValue` as field 2."""
    return nested(
        2,
        b"".join(
            (data(1, key), number(2, create), number(3, mod), number(4, version), data(5, value), number(6, lease))
        ),
    )


def unnested(field: bytes) -> bytes:
    """The payload of a nested field whose number is below 16."""
    at = 1
    while field[at] >= 0x80:
        at += 1
    return field[at + 1 :]


def upstream_value(key: bytes, key_value: bytes, deleted: bool) -> bytes:
    """What upstream's store has for a record: its `KeyValue`; of a tombstone only the key."""
    return data(1, key) if deleted else unnested(key_value)


def as_field_3(key_value: bytes) -> bytes:
    """A `KeyValue` that is encoded as field 2, as field 3."""
    return b"\x1a" + key_value[1:]


def event(deleted: bool, kv: bytes, prev_kv: bytes) -> bytes:
    """An `Event` as field 11 of `WatchResponse`; `prev_kv` may be empty."""
    body = (b"\x08\x01" if deleted else b"") + kv + (as_field_3(prev_kv) if prev_kv else b"")
    return b"\x5a" + varint(len(body)) + body


class Header:
    """Makes response headers (field 1). The identity of cluster and member never changes, the rest does."""

    def __init__(self, cluster_id: int, member_id: int) -> None:
        self.cluster_id, self.member_id, self.term = cluster_id, member_id, 0
        self._identity = number(1, cluster_id) + number(2, member_id)

    def __call__(self, revision: int) -> bytes:
        return nested(1, self._identity + number(3, revision) + number(4, self.term))


def inner_header(revision: int) -> bytes:
    """The header of an answer inside a transaction's: the revision only."""
    return nested(1, number(3, revision))


def watch_response(
    header: bytes,
    watch_id: int,
    events: Iterable[bytes] = (),
    *,
    created: bool = False,
    canceled: bool = False,
    compact_revision: int = 0,
    cancel_reason: str = "",
    fragment: bool = False,
) -> bytes:
    """A `WatchResponse`; `events` are encoded by `event`."""
    fields = (
        header,
        number(2, watch_id),
        number(3, created),
        number(4, canceled),
        number(5, compact_revision),
        data(6, cancel_reason.encode()),
        number(7, fragment),
    )
    return b"".join((*fields, *events))
