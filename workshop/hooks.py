"""Hooks: functions of a running component that a learner may replace by their own. PURE: nothing here does I/O.

A component marks a function, and that is all it has to do:

    @hook("kube-controller-manager")
    def decide(owner: Obj, active: list[Obj], neighbours: list[Obj], now: float) -> Decision: ...

Outside a lab the mark costs one comparison a call. In a process that was started for a lab (`workshop up --lab`)
`workshop.swap` puts a guard behind each hook of that program; it runs the learner's function where there is one.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])
Check = Callable[..., str]
"""(result, *arguments) → what is wrong with the result, in a sentence; "" when nothing is."""

HOMES: dict[str, tuple[str, ...]] = {
    "etcd": ("workshop.etcd.raft.election", "workshop.etcd.raft.replication"),
    "kube-apiserver": ("workshop.apiserver.admission.learner",),
    "kube-controller-manager": ("workshop.controllers.replicaset",),
    "kube-scheduler": ("workshop.scheduler.plugins.node_resources_fit",),
    "kube-proxy": ("workshop.proxy.balance",),
}
"""Program → the modules that declare its hooks; `of` imports them."""


@dataclass
class Hook:
    """One function that may be replaced. `replacement` is None outside labs."""

    program: str
    name: str
    stock: Callable[..., Any]
    check: Check | None
    replacement: Callable[..., Any] | None = None

    @property
    def module(self) -> str:
        return self.stock.__module__


_hooks: dict[tuple[str, str], Hook] = {}


def hook(program: str, name: str = "", check: Check | None = None) -> Callable[[F], F]:
    """Mark a synchronous function (or method) of `program`. `name` is its qualified name unless another is given.

    What it may return is read off its annotation; `check` says more (a number that may not be negative, say).
    """

    def mark(stock: F) -> F:
        made = Hook(program, name or stock.__qualname__, stock, check)
        _hooks[program, made.name] = made

        @functools.wraps(stock)
        def call(*arguments: Any) -> Any:
            if made.replacement is None:
                return stock(*arguments)
            return made.replacement(*arguments)

        return call  # type: ignore[return-value]

    return mark


def declared(program: str) -> list[Hook]:
    """The hooks of `program` in the modules that are imported already."""
    return [found for found in _hooks.values() if found.program == program]


def in_lab(program: str) -> bool:
    """Whether this process runs `program` for a lab."""
    return any(found.replacement is not None for found in declared(program))


def of(program: str) -> list[Hook]:
    """All hooks of `program`."""
    for module in HOMES.get(program, ()):
        importlib.import_module(module)
    return declared(program)


def find(program: str, name: str) -> Hook:
    """The hook that `name` means: its own name, or the last part of it. Raises LookupError with a sentence."""
    known = of(program)
    found = [one for one in known if one.name == name] or [one for one in known if one.name.split(".")[-1] == name]
    if len(found) == 1:
        return found[0]
    names = ", ".join(one.name for one in known) or "none"
    if found:
        several = ", ".join(one.name for one in found)
        raise LookupError(f"{name!r} can mean {several}: say which with hook=…")
    raise LookupError(f"{program} has no hook {name!r}; it has {names}")
