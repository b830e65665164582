"""What a crash may do to the log, and what it may not hide."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workshop.etcd import disk, snapshot, wal
from workshop.etcd.mvcc.key_index import Record
from workshop.etcd.raft import Entry, HardState, Message, Ready
from workshop.etcd.storage import Storage
from workshop.etcd.wal import Corrupt, WriteAheadLog


@pytest.fixture(scope="module", autouse=True)
def little_room() -> Iterator[None]:
    """Logs are written and read here by the hundred."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(disk, "AHEAD", 4096)
        yield


def write(folder: Path, groups: list[list[Entry]]) -> list[int]:
    """Save each group as one frame; how far the file is written after each, after its head first."""
    log, replay = WriteAheadLog.open(folder, lambda: b"me", 0)
    assert replay is None
    sizes = [log.size]
    for entries in groups:
        log.save(entries, HardState(entries[-1].term, 1, 0))
        sizes.append(log.size)
    log.close()
    return sizes


def segment(folder: Path) -> Path:
    return max(folder.glob("*.wal"))


def read(folder: Path, after: int = 0) -> wal.Replay | None:
    log, replay = WriteAheadLog.open(folder, lambda: b"me", after, 1)
    log.close()
    return replay


GROUPS = [[Entry(1, 1, b"one")], [Entry(1, 2, b"two"), Entry(1, 3, b"three")], [Entry(2, 4, b"four" * 9)]]


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    write(tmp_path, GROUPS)
    replay = read(tmp_path)
    assert replay is not None
    assert replay.entries == [entry for group in GROUPS for entry in group]
    assert (replay.metadata, replay.state) == (b"me", HardState(2, 1, 0))
    after = read(tmp_path, after=2)
    assert after is not None and [entry.index for entry in after.entries] == [3, 4]


def test_a_torn_tail_is_dropped_at_each_byte(tmp_path: Path) -> None:
    sizes = write(tmp_path / "whole", GROUPS)
    data = segment(tmp_path / "whole").read_bytes()
    for end in range(sizes[0], sizes[-1]):
        folder = tmp_path / "torn"
        shutil.copytree(tmp_path / "whole", folder)
        segment(folder).write_bytes(data[:end])
        replay = read(folder)
        assert replay is not None
        whole = sum(size <= end for size in sizes) - 1
        assert replay.entries == [entry for group in GROUPS[:whole] for entry in group], f"cut at byte {end}"
        # It can be written on, and read again.
        log, _ = WriteAheadLog.open(folder, lambda: b"me", 0)
        log.save([Entry(3, len(replay.entries) + 1, b"more")], None)
        log.close()
        again = read(folder)
        assert again is not None and again.entries[-1].data == b"more"
        shutil.rmtree(folder)


def test_sectors_that_the_disk_had_not_come_to_are_a_torn_tail_too(tmp_path: Path) -> None:
    """Each sector of a last frame that lies in four of them, one after the other; zeros elsewhere are damage."""
    sizes = write(tmp_path, [*GROUPS[:2], [Entry(2, 4, b"four" * 400)]])
    path = segment(tmp_path)
    data, room = path.read_bytes()[: sizes[3]], bytes(1000)
    edges = [sizes[2], *range(wal.SECTOR, len(data), wal.SECTOR), len(data)]
    assert len(edges) > 4
    for start, end in pairwise(edges):
        path.write_bytes(data[:start] + bytes(end - start) + data[end:] + room)
        replay = read(tmp_path)
        assert replay is not None and [entry.index for entry in replay.entries] == [1, 2, 3], start
    path.write_bytes(data[: edges[1] - 9] + bytes(18) + data[edges[1] + 9 :] + room)
    with pytest.raises(Corrupt, match="damaged at byte"):
        read(tmp_path)


def test_a_flipped_bit_refuses_to_start_be_it_in_the_very_last_frame(tmp_path: Path) -> None:
    sizes = write(tmp_path / "whole", GROUPS)
    data = segment(tmp_path / "whole").read_bytes()[: sizes[-1] + 100]
    for place in range(sizes[-1]):
        folder = tmp_path / "bad"
        shutil.copytree(tmp_path / "whole", folder)
        bad = bytearray(data)
        bad[place] ^= 0x10
        segment(folder).write_bytes(bad)
        with pytest.raises(Corrupt, match="damaged at byte"):
            read(folder)
        assert segment(folder).read_bytes() == bytes(bad), "what is corrupt is left as it is"
        shutil.rmtree(folder)


def test_room_is_taken_before_it_is_needed_and_read_as_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "AHEAD", 1000)
    write(tmp_path, GROUPS)
    lengths = {segment(tmp_path).stat().st_size}
    for index in range(5, 15):
        log, replay = WriteAheadLog.open(tmp_path, lambda: b"me", 0)
        assert replay is not None and replay.entries[-1].index == index - 1
        log.save([Entry(2, index, bytes(120))], None)
        log.close()
        lengths.add(segment(tmp_path).stat().st_size)
        assert segment(tmp_path).stat().st_size >= log.size
    assert 1 < len(lengths) < 5, "it does not grow with each"


def test_a_frame_that_is_missing_in_the_middle_refuses_to_start(tmp_path: Path) -> None:
    sizes = write(tmp_path, GROUPS)
    path = segment(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: sizes[1]] + data[sizes[2] :])
    with pytest.raises(Corrupt):
        read(tmp_path)


def test_a_crash_before_the_first_frame_begins_anew(tmp_path: Path) -> None:
    write(tmp_path, [])
    segment(tmp_path).write_bytes(b"")
    assert read(tmp_path) is None
    replay = read(tmp_path)
    assert replay is not None and replay.entries == []


def test_segments_are_begun_and_released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wal, "SEGMENT_SIZE", 200)
    log, _ = WriteAheadLog.open(tmp_path, lambda: b"me", 0)
    for index in range(1, 31):
        log.rotate(index)
        log.save([Entry(1, index, b"x" * 50)], None)
    many = len(list(tmp_path.glob("*.wal")))
    assert many > 5
    log.release(20)
    log.close()
    assert len(list(tmp_path.glob("*.wal"))) < many
    replay = read(tmp_path, after=20)
    assert replay is not None and [entry.index for entry in replay.entries] == list(range(21, 31))
    with pytest.raises(Corrupt, match="missing"):
        read(tmp_path, after=5)
    # An empty segment after a crash between making it and its first frame.
    (tmp_path / f"{99:016x}-{31:016x}.wal").write_bytes(b"")
    replay = read(tmp_path, after=20)
    assert replay is not None and replay.entries[-1].index == 30


def test_entries_of_a_later_leader_replace_what_was_there(tmp_path: Path) -> None:
    write(tmp_path, [[Entry(1, 1, b"a"), Entry(1, 2, b"b"), Entry(1, 3, b"c")], [Entry(2, 2, b"B")]])
    replay = read(tmp_path)
    assert replay is not None and replay.entries == [Entry(1, 1, b"a"), Entry(2, 2, b"B")]


def test_a_damaged_snapshot_falls_back_to_the_one_before(tmp_path: Path) -> None:
    records = [Record.put(b"a", 2, 0, 2, 1, b"value", 7), Record.tombstone(b"a", 3, 0)]
    for index in (10, 20):
        taken = snapshot.Snapshot(index, 1, 3, 0, [(1, 5)], [(7, 60)], records)
        snapshot.save(tmp_path, taken)
    assert snapshot.load(tmp_path).index == 20
    newest = max(tmp_path.glob("*.snap"))
    newest.write_bytes(newest.read_bytes()[:-3])
    loaded = snapshot.load(tmp_path)
    assert (loaded.index, loaded.leases, loaded.alarms) == (10, [(7, 60)], [(1, 5)])
    assert [(r.key, r.main, r.version, r.kv) for r in loaded.records] == [
        (r.key, r.main, r.version, r.kv) for r in records
    ]
    for path in tmp_path.glob("*.snap"):
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="none of the snapshots"):
        snapshot.load(tmp_path)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.binary(max_size=900), min_size=1, max_size=4), min_size=1, max_size=6), st.data())
def test_whatever_a_crash_leaves_of_the_last_frame_all_before_it_comes_back(groups: list, data: st.DataObject) -> None:
    """The last write may be cut anywhere, and any of its sectors may be missing."""
    with tempfile.TemporaryDirectory() as name:
        folder, index = Path(name), 0
        frames: list[list[Entry]] = []
        for group in groups:
            frames.append([Entry(1, index + 1 + place, body, not body) for place, body in enumerate(group)])
            index = frames[-1][-1].index
        sizes = write(folder, frames)
        content = bytearray(segment(folder).read_bytes()[: sizes[-1]])
        end = data.draw(st.integers(sizes[-2], sizes[-1]))
        for sector in data.draw(st.lists(st.integers(sizes[-2] // wal.SECTOR, sizes[-1] // wal.SECTOR), max_size=2)):
            hole = slice(max(sector * wal.SECTOR, sizes[-2]), min((sector + 1) * wal.SECTOR, sizes[-1]))
            content[hole] = bytes(len(content[hole]))
        segment(folder).write_bytes(content[:end])
        replay = read(folder)
        assert replay is not None
        durable = [entry for frame in frames[:-1] for entry in frame]
        assert replay.entries in (durable, durable + frames[-1])


def test_a_leaders_snapshot_begins_the_log_anew(tmp_path: Path) -> None:
    log, _ = WriteAheadLog.open(tmp_path, lambda: b"me", 0)
    log.save([Entry(1, index, b"old") for index in range(1, 6)], HardState(1, 0, 2))
    log.save([], HardState(3, 0, 9), (9, 2))
    log.save([Entry(3, 10, b"new", True)], None)
    log.close()
    log, replay = WriteAheadLog.open(tmp_path, lambda: b"me", 9, 2)
    log.close()
    assert replay is not None and replay.entries == [Entry(3, 10, b"new", True)] and replay.state.commit == 9
    with pytest.raises(Corrupt, match="the snapshot of entry 9 is missing or damaged: restore the data directory"):
        read(tmp_path, after=4)


def test_what_followed_another_entry_does_not_follow_the_snapshot(tmp_path: Path) -> None:
    """The crash came when the leader's snapshot was on disk, and the log did not know of it yet."""
    log, _ = WriteAheadLog.open(tmp_path, lambda: b"me", 0)
    log.save([Entry(1, index, b"mine") for index in range(1, 6)], HardState(1, 0, 0))
    log.close()
    log, replay = WriteAheadLog.open(tmp_path, lambda: b"me", 3, 2)
    log.close()
    assert replay is not None and replay.entries == []
    log, replay = WriteAheadLog.open(tmp_path, lambda: b"me", 3, 1)
    log.close()
    assert replay is not None and [entry.index for entry in replay.entries] == [4, 5]


def storage(folder: Path) -> tuple[Storage, snapshot.Snapshot, wal.Replay | None]:
    opened, _, taken, replay = Storage.open(folder, lambda: b"me")
    return opened, taken, replay


def ready(entries: list[Entry], installed: Message | None = None) -> Ready:
    return Ready([], installed, HardState(1, 0, 0), entries, [], [], [])


def test_a_snapshot_from_the_leader_is_on_disk_before_the_log_begins_behind_it(tmp_path: Path) -> None:
    files, _, _ = storage(tmp_path)
    files.save(ready([Entry(1, index, b"old") for index in range(1, 4)]))
    installed = Message("snapshot", 2, 1, 2, 9, 2, payload=snapshot.Snapshot(9, 2))
    files.save(ready([], installed))
    files.save(ready([Entry(2, 10, b"new")]))
    files.close()
    files, taken, replay = storage(tmp_path)
    files.close()
    assert taken.index == 9 and replay is not None and replay.entries == [Entry(2, 10, b"new")]
    for path in (tmp_path / "snap").iterdir():
        path.unlink()
    with pytest.raises(Corrupt, match="the snapshot of entry 9 is missing or damaged"):
        storage(tmp_path)


def test_the_log_reaches_back_to_the_older_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that it is of use when the newer one is damaged."""
    monkeypatch.setattr(wal, "SEGMENT_SIZE", 100)
    files, _, _ = storage(tmp_path)
    for index in range(1, 31):
        files.save(ready([Entry(1, index, b"x" * 50)]))
        if index in (10, 20):
            files.save_snapshot(snapshot.Snapshot(index, 1))
            files.release()
    files.close()
    newest = max((tmp_path / "snap").glob("*.snap"))
    newest.write_bytes(newest.read_bytes()[:-1])
    files, taken, replay = storage(tmp_path)
    files.close()
    assert taken.index == 10 and replay is not None
    assert [entry.index for entry in replay.entries] == list(range(11, 31))
