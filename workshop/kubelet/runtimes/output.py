"""What a command printed: exec_sync's part that every runtime shares."""

from __future__ import annotations

import asyncio

from workshop.kubelet import cri
from workshop.kubelet.cri import CriError

LIMIT = 16 << 20
"""Bytes of each stream that are kept; what comes after them is read and dropped."""


async def collect(session: cri.Stream, command: list[str], timeout: float) -> cri.ExecResult:
    """Read a session to its end, then close it. Raises CriError with reason `Timeout` after `timeout` s (0: none)."""
    output = {1: bytearray(), 2: bytearray()}

    async def drain() -> int:
        while (piece := await session.read()) is not None:
            if piece[0] in output and len(output[piece[0]]) < LIMIT:
                output[piece[0]] += piece[1]
        return await session.exit_code()

    try:
        code = await asyncio.wait_for(drain(), timeout or None)
    except TimeoutError:
        raise CriError(f"command {' '.join(command)!r} timed out", "Timeout") from None
    finally:
        await session.close()
    return cri.ExecResult(bytes(output[1]), bytes(output[2]), code)
