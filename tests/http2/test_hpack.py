"""HPACK against the examples of RFC 7541, appendix C, and against blocks that are no blocks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workshop.http2.hpack import STATIC, Decoder, HpackError, decode_huffman, encode


def test_the_static_table_is_the_rfcs() -> None:
    assert len(STATIC) == 61
    assert (
        STATIC[1] == (":method", "GET") and STATIC[7] == (":status", "200") and STATIC[60] == ("www-authenticate", "")
    )


def test_c2_literals_and_indexed_fields() -> None:
    decoder = Decoder()
    entering = bytes.fromhex("400a637573746f6d2d6b65790d637573746f6d2d686561646572")
    assert decoder.decode(entering) == {"custom-key": "custom-header"}
    assert decoder.decode(bytes.fromhex("be")) == {"custom-key": "custom-header"}
    assert decoder.decode(bytes.fromhex("040c2f73616d706c652f70617468")) == {":path": "/sample/path"}
    assert decoder.decode(bytes.fromhex("82")) == {":method": "GET"}


def test_c4_requests_with_huffman_coding() -> None:
    decoder = Decoder()
    first = {":method": "GET", ":scheme": "http", ":path": "/", ":authority": "www.example.com"}
    assert decoder.decode(bytes.fromhex("828684418cf1e3c2e5f23a6ba0ab90f4ff")) == first
    second = {**first, "cache-control": "no-cache"}
    assert decoder.decode(bytes.fromhex("828684be5886a8eb10649cbf")) == second
    third = bytes.fromhex("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf")
    assert decoder.decode(third) == {
        ":method": "GET", ":scheme": "https", ":path": "/index.html", ":authority": "www.example.com",
        "custom-key": "custom-value",
    }  # fmt: skip


def test_a_block_that_is_known_means_what_the_table_says_now() -> None:
    decoder = Decoder()
    decoder.decode(b"\x40\x01a\x011")
    assert decoder.decode(b"\xbe") == decoder.decode(b"\xbe") == {"a": "1"}
    decoder.decode(b"\x40\x01a\x012")
    assert decoder.decode(b"\xbe") == {"a": "2"}


def test_the_table_forgets_the_oldest() -> None:
    decoder = Decoder()
    for letter in b"ab":
        decoder.decode(b"\x40\x01" + bytes((letter,)) + b"\x7f\xd1\x0e" + b"x" * 2000)
    decoder.decode(b"\x40\x01c\x7f\xd1\x0e" + b"y" * 2000)
    assert list(decoder.decode(b"\xbe")) == ["c"]
    assert list(decoder.decode(b"\xbf")) == ["b"]
    with pytest.raises(HpackError):
        decoder.decode(b"\xc0")


@pytest.mark.parametrize(
    "block",
    [b"\x80", b"\xff\xff\xff\xff\xff\xff\xff", b"\x40", b"\x40\x05ab", b"\x40\x01a\x81\x00", b"\x3f\xff\xff\x7f", b"\xbe"],
)  # fmt: skip
def test_what_is_no_block_is_refused(block: bytes) -> None:
    with pytest.raises(HpackError):
        Decoder().decode(block)


def test_huffman_padding_must_be_ones() -> None:
    assert decode_huffman(bytes.fromhex("a8eb10649cbf")) == b"no-cache"
    with pytest.raises(HpackError):
        decode_huffman(bytes.fromhex("a8eb10649cb0"))


names = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=20)
values = st.text(st.characters(max_codepoint=255, exclude_characters=","), max_size=200)


@given(st.dictionaries(names, values, max_size=8))
def test_what_is_encoded_is_decoded(fields: dict[str, str]) -> None:
    assert Decoder().decode(encode(list(fields.items()))) == fields


@given(st.binary(max_size=60))
def test_bytes_at_random_are_fields_or_an_error(block: bytes) -> None:
    try:
        Decoder().decode(block)
    except HpackError:
        pass
