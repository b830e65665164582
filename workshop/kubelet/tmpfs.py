"""File systems in memory, for emptyDirs of medium Memory: mounted where the kubelet may mount, else a plain directory.

Upstream: `pkg/volume/emptydir/empty_dir.go` (setupTmpfs).
"""

from __future__ import annotations

import ctypes
import logging
import os

log = logging.getLogger(__name__)
MNT_DETACH = 2
_libc = ctypes.CDLL(None, use_errno=True)


def mount(path: str, size: int | None) -> bool:
    """Mount one at `path`, of at most `size` bytes. False where that is not allowed (mode plain)."""
    options = b"mode=0777" + (b",size=%d" % size if size else b"")
    if _libc.mount(b"tmpfs", os.fsencode(path), b"tmpfs", ctypes.c_ulong(0), options) == 0:
        return True
    log.debug("no tmpfs at %s: %s", path, os.strerror(ctypes.get_errno()))
    return False


def unmount_below(folder: str) -> None:
    """Take away what `mount` put into the directories of `folder`. It is logged what could not be."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return
    for name in names:
        path = os.path.join(folder, name)
        if os.path.ismount(path) and _libc.umount2(os.fsencode(path), MNT_DETACH):
            log.warning("could not unmount %s: %s", path, os.strerror(ctypes.get_errno()))
