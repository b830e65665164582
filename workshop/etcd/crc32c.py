"""CRC-32 with Castagnoli's polynomial, by which etcd's members compare their stores.

The package google-crc32c does it in the processor; where it is missing a table does the same, slowly.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

POLYNOMIAL = 0x82F63B78


def _table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (POLYNOMIAL if byte & 1 else 0)
        table.append(byte)
    return table


_TABLE = _table()


def extend_by_table(crc: int, data: bytes) -> int:
    """The CRC of what `crc` is of, and `data` behind it; 0 is of nothing."""
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def _fastest() -> Callable[[int, bytes], int]:
    try:
        found: Callable[[int, bytes], int] = import_module("google_crc32c").extend
    except ImportError:
        return extend_by_table
    return found


extend = _fastest()
