"""A learner's function inside a running component: loaded, guarded, put out. The component's side of swapping.

The supervisor gives a lab's component `WORKSHOP_SWAPS`, a 0700 folder of its own in the state directory. For each hook:

    NAME.py      source text, written by `Cluster.swap` (never a pickle), 0600
    NAME.json    what became of it: {"digest": …, "state": "in use"} or {"state": "put out", "traceback": …}
    NAME.hung    written by the interpreter's watchdog when even an interrupt did not end the function

A function that raises, takes longer than a second, needs too much memory, or returns the wrong type is put out at
once: the stock function answers that same call, and the traceback waits for the learner. If it cannot be interrupted
(a loop in C), the watchdog ends the process after ten seconds; the next one finds NAME.hung and runs the stock one.
"""

from __future__ import annotations

import ast
import contextlib
import faulthandler
import hashlib
import itertools
import json
import linecache
import logging
import os
import resource
import signal
import stat
import sys
import threading
import traceback
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from workshop.hooks import Hook, declared

log = logging.getLogger("swap")

VARIABLE = "WORKSHOP_SWAPS"
SOFT_SECONDS = 1.0
"""After that the function is interrupted, again and again until it gives way."""
TICKS = 4
"""In so many parts. A process that is stopped, or gets no processor, is told of one of them however long that was
(signals do not queue), and no function is put out for it."""
HARD_SECONDS = 10.0
"""After that the process ends: it is in C code, which nothing interrupts."""
MEMORY = 1 << 30
"""Bytes that one call may add to the process."""


class Hung(BaseException):
    """Raised inside a learner's function that takes too long. No Exception: a bare `except Exception` lets it pass."""


def digest(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def install(program: str, environment: typing.Mapping[str, str] = os.environ) -> None:
    """Put a guard behind every hook of `program`, if this process was started for a lab."""
    folder = environment.get(VARIABLE)
    if folder:
        for one in declared(program):
            one.replacement = Guard(one, Path(folder)).call


def name_of(source: str) -> str:
    """Name of the last function that a source text defines; "" when there is none."""
    try:
        made = [node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    except SyntaxError:
        return ""
    return made[-1] if made else ""


def load(hook: Hook, source: str, filename: str) -> Callable[..., Any]:
    """The last function that `source` defines. Raises whatever it raises.

    It sees the names that the stock function sees, and the stock function itself as `stock`.
    """
    names = {**vars(sys.modules[hook.module]), "__name__": "swapped", "stock": hook.stock}
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    exec(compile(source, filename, "exec"), names)  # the learner's own code, as the learner's own user
    found: Callable[..., Any] | None = names.get(name_of(source))
    if not callable(found):
        raise TypeError("the source defines no function")
    return found


def wrong(hook: Hook, result: Any, arguments: tuple[Any, ...]) -> str:
    """What is wrong with a result; "" when nothing is."""
    expected = typing.get_type_hints(hook.stock).get("return", Any)
    if not _is(result, expected):
        return f"it returned {_short(result)}, not {_name(expected)}"
    return hook.check(result, *arguments) if hook.check is not None else ""


def _is(value: Any, expected: Any) -> bool:
    if expected is Any:
        return True
    if expected is None:
        return value is None
    origin = typing.get_origin(expected)
    if origin in (typing.Union, types.UnionType):
        return any(_is(value, one) for one in typing.get_args(expected))
    if isinstance(value, bool) and expected is int:
        return False
    return isinstance(value, origin or expected)


def _name(expected: Any) -> str:
    if typing.get_origin(expected) in (typing.Union, types.UnionType):
        return " or ".join(_name(one) for one in typing.get_args(expected))
    return "None" if expected in (None, type(None)) else getattr(expected, "__name__", str(expected))


def _short(value: Any) -> str:
    said = repr(value)
    return f"{said if len(said) <= 80 else said[:77] + '…'} ({type(value).__name__})"


def told(error: BaseException, filename: str) -> str:
    """The traceback as far as it concerns the learner: the frames of their source."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == filename]
    head = "Traceback (your function, most recent call last):\n" + "".join(traceback.format_list(frames))
    return head + "".join(traceback.format_exception_only(error))


_busy = False


@contextlib.contextmanager
def limits(filename: str, hung: Path | None) -> Iterator[None]:
    """Bounds on time and memory around one call, on the main thread, of what stands in `filename`. `hung`: where the
    watchdog would write."""
    global _busy
    if _busy or threading.current_thread() is not threading.main_thread():
        yield
        return

    ticks = itertools.count(1)

    def interrupt(_number: int, frame: types.FrameType | None) -> None:
        # A tick may come late, when the function has just ended: it must not hit the component's own code.
        if next(ticks) >= TICKS and _within(frame, filename):
            raise Hung(f"it took longer than {SOFT_SECONDS:g} s")

    _busy = True
    before = signal.signal(signal.SIGALRM, interrupt)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    file = open(hung, "w", opener=_private) if hung is not None else None  # noqa: SIM115
    try:
        resource.setrlimit(resource.RLIMIT_AS, (_room(soft, hard), hard))
        if file is not None:
            faulthandler.dump_traceback_later(HARD_SECONDS, exit=True, file=file)
        signal.setitimer(signal.ITIMER_REAL, SOFT_SECONDS / TICKS, SOFT_SECONDS / TICKS)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if file is not None and hung is not None:
            faulthandler.cancel_dump_traceback_later()
            file.close()
            hung.unlink(missing_ok=True)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        _busy = False


def _within(frame: types.FrameType | None, filename: str) -> bool:
    """Does this frame run for something that stands in `filename`?"""
    while frame is not None and frame.f_code.co_filename != filename:
        frame = frame.f_back
    return frame is not None


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def _room(soft: int, hard: int) -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        wanted = int(file.read().split()[0]) * resource.getpagesize() + MEMORY
    bounds = [bound for bound in (soft, hard) if bound != resource.RLIM_INFINITY]
    return min([wanted, *bounds])


class Guard:
    """Stands behind one hook of one process. `call` never raises but what the stock function raises."""

    def __init__(self, hook: Hook, folder: Path) -> None:
        self.hook = hook
        self.source, self.state, self.hung = (folder / f"{hook.name}.{end}" for end in ("py", "json", "hung"))
        self.seen: tuple[int, int] | None = None
        self.digest = ""
        self.function: Callable[..., Any] | None = None

    def call(self, *arguments: Any) -> Any:
        function = self._current()
        if function is None:
            return self.hook.stock(*arguments)
        try:
            with limits(str(self.source), self.hung):
                result = function(*arguments)
        except BaseException as error:  # noqa: BLE001  whatever a learner's function raises stays here
            self._put_out(told(error, str(self.source)))
        else:
            problem = wrong(self.hook, result, arguments)
            if not problem:
                return result
            self._put_out(f"TypeError: {problem}")
        return self.hook.stock(*arguments)

    def _current(self) -> Callable[..., Any] | None:
        """The learner's function; read again when the file has changed."""
        try:
            found = os.stat(self.source, follow_symlinks=False)
        except OSError:
            self.seen = self.function = None
            return None
        key = (found.st_mtime_ns, found.st_ino)
        if key != self.seen:
            self.seen, self.function = key, None
            self._load(found)
        return self.function

    def _load(self, found: os.stat_result) -> None:
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            log.error("%s is not used: it must be a file of this user's alone", self.source)
            return
        text = self.source.read_text(encoding="utf-8")
        self.digest = digest(text)
        before = self._told()
        if before.get("digest") == self.digest and before.get("state") == "put out":
            return
        if self.hung.exists() and self.hung.stat().st_size:
            lines = self.hung.read_text(encoding="utf-8", errors="replace").splitlines()
            last = "\n".join(line for line in lines if str(self.source) in line)
            self.hung.unlink()
            self._put_out(f"it could not be interrupted, so the process was ended after {HARD_SECONDS:g} s\n{last}")
            return
        try:
            with limits(str(self.source), self.hung):
                function = load(self.hook, text, str(self.source))
        except BaseException as error:  # noqa: BLE001
            self._put_out(told(error, str(self.source)))
            return
        self.function = function
        self._tell("in use", "")
        log.info("%s runs the learner's function now", self.hook.name)

    def _put_out(self, why: str) -> None:
        self.function = None
        log.warning("%s: the learner's function is put out, the stock one takes over\n%s", self.hook.name, why)
        self._tell("put out", why)

    def _told(self) -> dict[str, Any]:
        try:
            content = json.loads(self.state.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def _tell(self, state: str, why: str) -> None:
        content = {"digest": self.digest, "state": state, "traceback": why, "pid": os.getpid()}
        draft = self.state.with_suffix(f".{os.getpid()}")
        try:
            with open(draft, "w", encoding="utf-8", opener=_private) as file:
                json.dump(content, file)
            os.replace(draft, self.state)
        except OSError as error:  # a full disk must not end the component
            log.error("%s cannot be written: %s", self.state, error)
