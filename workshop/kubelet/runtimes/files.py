"""Files of the `process` runtime: names, JSON that is whole or not there, and removing what containers left."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
from typing import Any

log = logging.getLogger(__name__)


def new_id() -> str:
    """64 hexadecimal digits, as container ids have."""
    return os.urandom(32).hex()


def write(path: str, value: object) -> None:
    """Replace a JSON file at once; 0600."""
    fd = os.open(path + ".tmp", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w") as file:
        json.dump(value, file)
    os.replace(path + ".tmp", path)


def remove_tree(directory: str) -> None:
    """Remove files of ours; also those that a container made unreadable. What cannot be removed is logged."""

    def again(function: Any, path: str, _: Any) -> None:
        with contextlib.suppress(OSError):
            os.chmod(os.path.dirname(path), 0o700)
            function(path)

    shutil.rmtree(directory, onerror=again)
    if os.path.exists(directory):
        log.warning("could not remove all of %s", directory)
