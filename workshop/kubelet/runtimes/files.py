"""Files of the `process` runtime: names, JSON that is whole or not there, and removing what containers left."""

from __future__ import annotations

import json
import logging
import os
import shutil

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
    """Remove files of ours. What cannot be removed is logged."""
    try:
        remove(directory)
    except OSError as problem:
        log.warning("could not remove all of %s: %s", directory, problem)


def remove(directory: str) -> None:
    """Remove a directory of ours, also with what may not be entered: a container made it so, or the kernel, which keeps
    a `work/work` beside each overlay. Raises OSError."""
    try:
        shutil.rmtree(directory)
    except FileNotFoundError:
        return
    except PermissionError:
        for parent, folders, _ in os.walk(directory):
            for path in (os.path.join(parent, folder) for folder in folders):
                if not os.path.islink(path):
                    os.chmod(path, 0o700)  # before the walk goes into it
        shutil.rmtree(directory)
