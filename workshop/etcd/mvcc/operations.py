"""What the requests of the KV service do to a store: Range, Put, DeleteRange and Txn.

Each returns the encoded answer without its header, since the outermost header is the server's. `check_*` refuse a
request for its form alone; they run before it enters the log.

Upstream: `server/etcdserver/txn/txn.go`, `server/etcdserver/api/v3rpc/key.go`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from workshop.etcd import encode, errors
from workshop.etcd.lease import Lessor
from workshop.etcd.mvcc.key_index import Record
from workshop.etcd.mvcc.store import Store
from workshop.wire import etcd_pb2 as pb

Message = Any  # a generated protobuf message


def end_of(range_end: bytes) -> bytes | None:
    """The store's form of a range's end: on the wire no end is one key, and a single zero byte is "all from here"."""
    if not range_end:
        return None
    return b"" if range_end == b"\x00" else range_end


# Range


def range_(store: Store, request: Message) -> bytes:
    """Answer a `RangeRequest`. Raises Compacted, FutureRevision."""
    store.check_revision(request.revision)
    key, end, limit = request.key, end_of(request.range_end), request.limit
    filtered = bool(
        request.min_mod_revision
        or request.max_mod_revision
        or request.min_create_revision
        or request.max_create_revision
    )
    if request.count_only and not filtered:
        _, count = store.range(key, end, request.revision, limit=1)
        return encode.number(4, count)
    # As upstream: another target without an order sorts only the first keys that the limit lets through.
    whole = filtered or request.sort_order
    records, count = store.range(key, end, request.revision, 0 if whole else max(limit, 0) + 1 if limit > 0 else 0)
    if request.count_only:
        return encode.number(4, count)
    if filtered:
        records = [record for record in records if _within(record, request)]
    if request.sort_order or request.sort_target:
        records = _sort(store, records, request)
    more = 0 < limit < len(records)
    if more:
        records = records[:limit]
    kvs = map(_without_value, records) if request.keys_only else (record.kv for record in records)
    return b"".join((*kvs, encode.number(3, more), encode.number(4, count)))


def _within(record: Record, request: Message) -> bool:
    return bool(
        (not request.max_mod_revision or record.main <= request.max_mod_revision)
        and (not request.min_mod_revision or record.main >= request.min_mod_revision)
        and (not request.max_create_revision or record.create <= request.max_create_revision)
        and (not request.min_create_revision or record.create >= request.min_create_revision)
    )


def _sort(store: Store, records: list[Record], request: Message) -> list[Record]:
    by: dict[int, Callable[[Record], Any]] = {
        pb.RangeRequest.KEY: lambda record: record.key,
        pb.RangeRequest.VERSION: lambda record: record.version,
        pb.RangeRequest.CREATE: lambda record: record.create,
        pb.RangeRequest.MOD: lambda record: record.main,
        pb.RangeRequest.VALUE: store.value,
    }
    return sorted(records, key=by[request.sort_target], reverse=request.sort_order == pb.RangeRequest.DESCEND)


def _without_value(record: Record) -> bytes:
    return encode.key_value(record.key, record.create, record.main, record.version, b"", record.lease)


# Put and DeleteRange


def check_put(store: Store, lessor: Lessor, request: Message) -> None:
    """Refuse a put that cannot be done. Raises LeaseNotFound, KeyNotFound."""
    if (request.ignore_value or request.ignore_lease) and store.get(request.key) is None:
        raise errors.KeyNotFound
    if request.lease and request.lease not in lessor.leases:
        raise errors.LeaseNotFound


def put(store: Store, lessor: Lessor, request: Message) -> bytes:
    """Do a `PutRequest` that `check_put` let pass."""
    value, lease = request.value, request.lease
    old = store.get(request.key)
    if old is not None:
        if request.ignore_value:
            value = store.value(old)
        if request.ignore_lease:
            lease = old.lease
        if old.lease and old.lease != lease:
            lessor.detach(old.lease, request.key)
    store.put(request.key, value, lease)
    if lease:
        lessor.attach(lease, request.key)
    return old.kv if request.prev_kv and old is not None else b""


def delete_range(store: Store, lessor: Lessor, request: Message) -> bytes:
    """Do a `DeleteRangeRequest`."""
    records, count = store.range(request.key, end_of(request.range_end))
    for record in records:
        store.delete(record.key)
        if record.lease:
            lessor.detach(record.lease, record.key)
    previous = (encode.as_field_3(record.kv) for record in records) if request.prev_kv else ()
    return b"".join((encode.number(2, count), *previous))


# Txn


def txn(store: Store, lessor: Lessor, request: Message) -> bytes:
    """Do a `TxnRequest`: all of it or nothing.

    Every comparison, nested ones too, sees the store before the transaction; then what could be refused is
    checked; only then something is changed. Raises as `range_` and `check_put`, having changed nothing.
    """
    path = list(_decide(store, request))
    _check_operations(store, lessor, request, iter(path))
    return _execute(store, lessor, request, iter(path))


def _decide(store: Store, request: Message) -> Iterator[bool]:
    """The outcome of a transaction's comparisons, then those of the nested ones on the branch taken, in order."""
    holds = all(_compare(store, compare) for compare in request.compare)
    yield holds
    for operation in request.success if holds else request.failure:
        if operation.HasField("request_txn"):
            yield from _decide(store, operation.request_txn)


def _compare(store: Store, compare: Message) -> bool:
    records, _ = store.range(compare.key, end_of(compare.range_end))
    if not records:
        # A value that is not there cannot be compared; numbers of a missing key are 0.
        return compare.target != pb.Compare.VALUE and _holds(compare.result, 0, _wanted(compare))
    return all(_holds(compare.result, _actual(store, record, compare.target), _wanted(compare)) for record in records)


def _wanted(compare: Message) -> Any:
    match compare.target:
        case pb.Compare.VERSION:
            return compare.version
        case pb.Compare.CREATE:
            return compare.create_revision
        case pb.Compare.MOD:
            return compare.mod_revision
        case pb.Compare.VALUE:
            return compare.value
        case pb.Compare.LEASE:
            return compare.lease
    return 0


def _actual(store: Store, record: Record, target: int) -> Any:
    match target:
        case pb.Compare.VERSION:
            return record.version
        case pb.Compare.CREATE:
            return record.create
        case pb.Compare.MOD:
            return record.main
        case pb.Compare.VALUE:
            return store.value(record)
        case pb.Compare.LEASE:
            return record.lease
    return 0


def _holds(result: int, actual: Any, wanted: Any) -> bool:
    match result:
        case pb.Compare.EQUAL:
            return bool(actual == wanted)
        case pb.Compare.NOT_EQUAL:
            return bool(actual != wanted)
        case pb.Compare.GREATER:
            return bool(actual > wanted)
        case pb.Compare.LESS:
            return bool(actual < wanted)
    return True


def _check_operations(store: Store, lessor: Lessor, request: Message, path: Iterator[bool]) -> None:
    for operation in request.success if next(path) else request.failure:
        match operation.WhichOneof("request"):
            case "request_range":
                store.check_revision(operation.request_range.revision)
            case "request_put":
                check_put(store, lessor, operation.request_put)
            case "request_txn":
                _check_operations(store, lessor, operation.request_txn, path)


def _execute(store: Store, lessor: Lessor, request: Message, path: Iterator[bool]) -> bytes:
    succeeded = next(path)
    out = [encode.number(2, succeeded)]
    for operation in request.success if succeeded else request.failure:
        match operation.WhichOneof("request"):
            case "request_range":
                field, body = 1, range_(store, operation.request_range)
            case "request_put":
                field, body = 2, put(store, lessor, operation.request_put)
            case "request_delete_range":
                field, body = 3, delete_range(store, lessor, operation.request_delete_range)
            case _:
                field, body = 4, _execute(store, lessor, operation.request_txn, path)
        header = b"\x0a\x00" if field == 4 else encode.inner_header(store.visible_revision())
        out.append(encode.nested(3, encode.nested(field, header + body)))
    return b"".join(out)


# The form of requests


def check_range_form(request: Message) -> None:
    """What is wrong with a request whatever the store holds. Raises EtcdError."""
    if not request.key:
        raise errors.EmptyKey
    if not 0 <= request.sort_order <= 2 or not 0 <= request.sort_target <= 4:
        raise errors.InvalidSortOption


def check_put_form(request: Message) -> None:
    """The same for a put."""
    if not request.key:
        raise errors.EmptyKey
    if request.ignore_value and request.value:
        raise errors.ValueProvided
    if request.ignore_lease and request.lease:
        raise errors.LeaseProvided


def check_delete_form(request: Message) -> None:
    if not request.key:
        raise errors.EmptyKey


def check_txn_form(request: Message, max_operations: int) -> None:
    """Refuse too many operations, missing keys, and keys that one transaction would write twice."""
    _check_txn(request, max_operations)
    _check_intervals(request.success)
    _check_intervals(request.failure)


def _check_txn(request: Message, allowed: int) -> None:
    size = max(len(request.compare), len(request.success), len(request.failure))
    if size > allowed:
        raise errors.TooManyOps
    if not all(compare.key for compare in request.compare):
        raise errors.EmptyKey
    for operations in (request.success, request.failure):
        for operation in operations:
            match operation.WhichOneof("request"):
                case "request_range":
                    check_range_form(operation.request_range)
                case "request_put":
                    check_put_form(operation.request_put)
                case "request_delete_range":
                    check_delete_form(operation.request_delete_range)
                case "request_txn":
                    _check_txn(operation.request_txn, allowed - size)
                case _:
                    raise errors.KeyNotFound


Ranges = list[tuple[bytes, bytes]]


def _covers(ranges: Ranges, key: bytes) -> bool:
    """As upstream: an end of one zero byte is not taken for "all from here", so such a deletion covers nothing."""
    return any(low <= key < end if end else key == low for low, end in ranges)


def _check_intervals(operations: Any) -> tuple[set[bytes], Ranges]:
    """What a branch puts and deletes. Two branches of one nested transaction exclude each other, so both may put
    the same key; anything else that meets is refused."""
    deletes: Ranges = []
    for operation in operations:
        if operation.HasField("request_delete_range"):
            request = operation.request_delete_range
            deletes.append((request.key, request.range_end))
    puts: set[bytes] = set()
    for operation in operations:
        if operation.HasField("request_txn"):
            then_puts, then_deletes = _check_intervals(operation.request_txn.success)
            else_puts, else_deletes = _check_intervals(operation.request_txn.failure)
            for key in then_puts | else_puts:
                if key in puts or _covers(deletes, key):
                    raise errors.DuplicateKey
            puts |= then_puts | else_puts
            deletes += then_deletes + else_deletes
    for operation in operations:
        if operation.HasField("request_put"):
            key = operation.request_put.key
            if key in puts or _covers(deletes, key):
                raise errors.DuplicateKey
            puts.add(key)
    return puts, deletes


def is_read_only(request: Message) -> bool:
    """May this transaction skip the log?"""
    return all(
        operation.HasField("request_range")
        for operations in (request.success, request.failure)
        for operation in operations
    )


def is_serializable(request: Message) -> bool:
    """May this read-only transaction be answered without asking the other members?"""
    return all(
        operation.request_range.serializable
        for operations in (request.success, request.failure)
        for operation in operations
    )
