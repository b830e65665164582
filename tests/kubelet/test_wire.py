"""SPDY framing, log lines, exec's Status."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workshop.clock import SYSTEM
from workshop.kubelet.server import logs, remote, spdy
from workshop.kubelet.server.logs import Options
from workshop.kubelet.shim.logs import MAX_LINE, LogFile

LINE = b"2026-01-31T09:00:00.500000000Z stdout F hello\n"


@given(st.lists(st.integers(1, 40), min_size=1, max_size=20))
def test_frames_may_be_cut_anywhere(cuts):
    client, server = spdy.Connection(), spdy.Connection()
    stream = client.open(1, {"streamType": "error", "port": "80"}) + client.open(3, {"streamType": "data"})
    stream += client.data(3, b"hello", fin=True) + client.ping(7) + client.go_away(3) + client.reset(1, 5)
    events, position, turn = [], 0, 0
    while position < len(stream):
        size = cuts[turn % len(cuts)]
        events += server.receive(stream[position : position + size])
        position, turn = position + size, turn + 1
    assert events == [
        spdy.Opened(1, {"streamtype": "error", "port": "80"}),
        spdy.Opened(3, {"streamtype": "data"}),
        spdy.Data(3, b"hello", True),
        spdy.Pinged(7),
        spdy.GoneAway(),
        spdy.Reset(1, 5),
    ]


def test_replies_keep_the_compression_in_step():
    client, server = spdy.Connection(), spdy.Connection()
    for stream in (1, 3, 5):
        server.receive(client.open(stream, {"a": "b"}))
        assert client.receive(server.reply(stream, {"x": str(stream)})) == []


@pytest.mark.parametrize("data", [b"\x80\x02\x00\x01\x00\x00\x00\x00", b"\x00\x00\x00\x01\x00\xff\xff\xff"])
def test_what_is_no_spdy_is_refused(data):
    with pytest.raises(spdy.SpdyError):
        spdy.Connection().receive(data)


def test_a_damaged_header_block_is_refused():
    frame = spdy.Connection().open(1, {"a": "b"})
    with pytest.raises(spdy.SpdyError):
        spdy.Connection().receive(frame[:18] + b"\xff" * (len(frame) - 18))


def test_log_lines_are_rendered_as_asked():
    assert logs.render(LINE, Options()) == b"hello\n"
    assert logs.render(LINE, Options(timestamps=True)) == b"2026-01-31T09:00:00.500000000Z hello\n"
    assert logs.render(LINE, Options(stream="Stderr")) is None
    assert logs.render(LINE.replace(b" F ", b" P "), Options()) == b"hello"
    assert logs.render(LINE, Options(since=1769850000.6)) is None
    assert logs.render(LINE, Options(since=1769850000.4)) == b"hello\n"


def test_rotation_keeps_five_files_and_loses_no_line_between(tmp_path):
    path = str(tmp_path / "c" / "0.log")
    log = LogFile(path, max_size=4000, max_files=5)
    for number in range(60):
        log.write("stdout", f"line {number}\n".encode(), now=number * 10**9)
    log.close()
    kept = [logs.render(line, Options()) for line in logs.lines_of(logs.files(path))]
    assert kept == [f"line {number}\n".encode() for number in range(60)]
    log = LogFile(path, max_size=300, max_files=3)
    for number in range(100):
        log.write("stderr", f"more {number}\n".encode())
    log.close()
    assert len(logs.files(path)) <= 3
    assert logs.render(list(logs.lines_of(logs.files(path)))[-1], Options()) == b"more 99\n"


def test_long_lines_are_cut_into_parts_and_a_last_line_needs_no_newline(tmp_path):
    path = str(tmp_path / "0.log")
    log = LogFile(path)
    log.write("stdout", b"x" * (MAX_LINE + 5))
    log.write("stdout", b"y\nrest")
    log.close()
    tags = [line.split(b" ")[2] for line in logs.lines_of([path])]
    assert tags == [b"P", b"F", b"P"]
    shown = b"".join(logs.render(line, Options()) for line in logs.lines_of([path]))
    assert shown == b"x" * (MAX_LINE + 5) + b"y\nrest"


async def test_tail_limit_and_the_end_of_following(tmp_path):
    path = str(tmp_path / "0.log")
    log = LogFile(path)
    log.write("stdout", b"a\nb\nc\n")
    log.close()

    async def ended() -> bool:
        return False

    async def read(running=ended, **options):
        return b"".join([piece async for piece in logs.read(path, Options(**options), running, SYSTEM)])

    looks = iter([True, True, False])

    async def ends_in_silence() -> bool:
        return next(looks)

    assert await read() == b"a\nb\nc\n"
    assert await read(tail=2) == b"b\nc\n"
    assert await read(tail=0) == b""
    assert await read(limit_bytes=3) == b"a\nb"
    assert await read(follow=True, tail=1) == b"c\n"
    assert await read(ends_in_silence, follow=True) == b"a\nb\nc\n"


def test_exit_codes_as_a_status():
    assert remote.exit_status(0) == {"metadata": {}, "status": "Success"}
    assert remote.told(remote.exit_status(0), remote.V1) == b""
    assert remote.told(remote.exit_status(7), remote.V1).startswith(b"\3command terminated with non-zero exit code")
    failed = remote.exit_status(7)
    assert failed["reason"] == "NonZeroExitCode"
    assert failed["details"] == {"causes": [{"reason": "ExitCode", "message": "7"}]}
