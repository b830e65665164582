import socket

from workshop.cluster import blocks

HEAD = "Iface Destination Gateway Flags RefCnt Use Metric Mask\n"


def test_every_block_is_tried_once_and_the_first_is_stable():
    tried = list(blocks.candidates(1000, "lab"))
    assert sorted(tried) == list(range(blocks.FIRST, blocks.LAST + 1))
    assert tried[0] == next(blocks.candidates(1000, "lab"))


def test_users_and_names_start_at_different_blocks():
    starts = {next(blocks.candidates(user, name)) for user in (0, 1000, 1001) for name in ("a", "b")}
    assert len(starts) > 3


def test_a_lock_is_held_until_it_is_closed():
    block, guard = blocks.take(12345, "test-blocks", "plain")
    try:
        assert blocks.lock(block) is None
        other, second = blocks.take(12345, "test-blocks", "plain")
        second.close()
        assert other != block
    finally:
        guard.close()
    again = blocks.lock(block)
    assert again is not None
    again.close()


def test_a_port_in_use_makes_a_block_unfit():
    block, guard = blocks.take(12346, "test-blocks", "plain")
    with guard:
        with socket.create_server((f"127.{block}.254.1", 10257)):
            assert not blocks.free(block)
        assert blocks.free(block)


def test_routes_into_the_range_are_seen():
    assert blocks.routed(HEAD + "eth0 0000070A 0 1 0 0 0 0000FFFF", 7)
    assert blocks.routed(HEAD + "tun0 0000000A 0 1 0 0 0 000000FF", 7), "10.0.0.0/8 covers it"
    assert blocks.routed(HEAD + "eth0 0005070A 0 1 0 0 0 00FFFFFF", 7), "10.7.5.0/24 lies in it"
    assert not blocks.routed(HEAD + "eth0 0000080A 0 1 0 0 0 0000FFFF", 7)
    assert not blocks.routed(HEAD + "eth0 00000000 0 1 0 0 0 00000000", 7), "the default route"
