"""Consensus messages as bytes: a fixed head, then the entries. Pure."""

from __future__ import annotations

import json
import struct
from typing import Any

from workshop.etcd.raft import Configuration, Entry, Message

KINDS = (
    "pre-vote", "pre-vote-reply", "vote", "vote-reply", "append", "append-reply", "heartbeat", "heartbeat-reply",
    "snapshot", "propose", "read-index", "read-index-reply", "transfer", "timeout-now",
)  # fmt: skip
NUMBERS = {kind: number for number, kind in enumerate(KINDS)}
HEAD = struct.Struct("<BQQQQQQ?QQI")
ENTRY = struct.Struct("<QQ?I")
LENGTH = struct.Struct("<I")


class Malformed(ValueError):
    """These bytes are no message."""


def encode(m: Message) -> bytes:
    """One message, without a snapshot's configuration and payload."""
    head = HEAD.pack(
        NUMBERS[m.kind], m.sender, m.to, m.term, m.index, m.log_term, m.commit, m.reject, m.hint, m.context,
        len(m.entries),
    )  # fmt: skip
    if not m.entries:
        return head
    parts = [head]
    for entry in m.entries:
        parts += (ENTRY.pack(entry.term, entry.index, entry.change, len(entry.data)), entry.data)
    return b"".join(parts)


def decode(data: bytes) -> Message:
    """Raises Malformed."""
    try:
        kind, sender, to, term, index, log_term, commit, reject, hint, context, count = HEAD.unpack_from(data)
        offset, entries = HEAD.size, []
        for _ in range(count):
            entry_term, entry_index, change, size = ENTRY.unpack_from(data, offset)
            offset += ENTRY.size
            entries.append(Entry(entry_term, entry_index, data[offset : offset + size], change))
            offset += size
        if offset != len(data):
            raise Malformed(f"{len(data)} bytes where {offset} were announced")
        return Message(
            KINDS[kind], sender, to, term, index, log_term, tuple(entries), commit, reject, hint, context
        )  # fmt: skip
    except (struct.error, IndexError) as error:
        raise Malformed(str(error)) from error


def frame(data: bytes) -> bytes:
    return LENGTH.pack(len(data)) + data


def encode_snapshot_head(m: Message) -> bytes:
    """What stands before a snapshot's bytes."""
    assert m.configuration is not None
    who = {"voters": sorted(m.configuration.voters), "learners": sorted(m.configuration.learners)}
    return frame(encode(m)) + frame(json.dumps(who).encode())


def decode_snapshot(data: bytes) -> tuple[Message, bytes]:
    """The message, and the snapshot's bytes. Raises Malformed."""
    try:
        size = LENGTH.unpack_from(data)[0]
        message = decode(data[4 : 4 + size])
        start = 4 + size
        size = LENGTH.unpack_from(data, start)[0]
        who: dict[str, Any] = json.loads(data[start + 4 : start + 4 + size])
        configuration = Configuration(frozenset(who["voters"]), frozenset(who["learners"]))
        return message._replace(configuration=configuration), data[start + 4 + size :]
    except (struct.error, ValueError, KeyError, TypeError) as error:
        raise Malformed(str(error)) from error
