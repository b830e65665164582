"""`Cluster.swap`: a function of the notebook becomes source text in the state directory, for `workshop.swap` to load.

Source text, never a pickle: what is written can be read, and runs as it reads. Functions, modules and plain values of
the notebook that the function uses go with it; anything else is refused with a sentence, here and not in the component.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import json
import sys
import textwrap
import types
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from workshop import hooks, swap
from workshop.cluster.layout import ClusterError, Layout, write_private
from workshop.cluster.plan import Component

Function = Callable[..., Any]


def source_of(function: Function | str, hook: hooks.Hook) -> str:
    """The text that a component can run, everything it needs included. Raises ClusterError."""
    text = function if isinstance(function, str) else gather(function, vars(sys.modules[hook.module]))
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise ClusterError(f"that is no Python: {error}") from error
    made = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    if not made:
        raise ClusterError("there is no function in it: give a function, or source text with a `def`")
    if isinstance(made[-1], ast.AsyncFunctionDef):
        raise ClusterError(f"{made[-1].name} is async: a hook decides and returns, so write `def`")
    _same_shape(made[-1], hook)
    return text


def _same_shape(given: ast.FunctionDef, hook: hooks.Hook) -> None:
    """It must take what the component will give it."""
    expected = list(inspect.signature(hook.stock).parameters)
    arguments = given.args
    most = len(arguments.posonlyargs) + len(arguments.args)
    least = most - len(arguments.defaults)
    needs_names = [a for a, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if default is None]
    if not least <= len(expected) or (most < len(expected) and arguments.vararg is None) or needs_names:
        raise ClusterError(f"{given.name} has to take {len(expected)} arguments: {given.name}({', '.join(expected)})")


def gather(function: Function, known: Iterable[str] = (), done: set[str] | None = None) -> str:
    """Source of `function`, preceded by what it uses of the notebook's names; `known` are there already."""
    function = inspect.unwrap(function)
    if not isinstance(function, types.FunctionType) or function.__name__ == "<lambda>":
        raise ClusterError("swap takes a function made with `def`, or its source text")
    if function.__closure__:
        raise ClusterError(
            f"{function.__name__} uses {', '.join(function.__code__.co_freevars)} of the function around it"
        )
    try:
        text = _plain(inspect.getsource(function))
    except (OSError, SyntaxError) as error:
        raise ClusterError(f"the source of {function.__name__} cannot be found: give it as text") from error
    known = {*known, *dir(builtins), function.__name__}
    done = set() if done is None else done
    before: list[str] = []
    for name in _names(function.__code__):
        if name in known or name in done or name not in function.__globals__:
            continue  # a name that nobody knows is a NameError, which the learner should see
        done.add(name)
        before.append(_value(name, function.__globals__[name], known, done))
    return "\n\n".join([*(part for part in before if part), text])


def _plain(text: str) -> str:
    """Dedented, and without decorators: `@hook(…)` above a copy of the stock function means the stock one."""
    text = textwrap.dedent(text)
    first = ast.parse(text).body[0]
    return "".join(text.splitlines(keepends=True)[first.lineno - 1 :])


def _names(code: types.CodeType) -> list[str]:
    inner = [name for const in code.co_consts if isinstance(const, types.CodeType) for name in _names(const)]
    return list(dict.fromkeys([*code.co_names, *inner]))


def _value(name: str, value: Any, known: set[str], done: set[str]) -> str:
    if isinstance(value, types.ModuleType):
        return f"import {value.__name__} as {name}"
    if isinstance(value, types.FunctionType) and value.__module__ == "__main__":
        return gather(value, known, done)
    if isinstance(value, type | types.FunctionType | types.BuiltinFunctionType) and value.__module__ != "__main__":
        return f"from {value.__module__} import {value.__name__} as {name}"
    try:
        if ast.literal_eval(repr(value)) == value:
            return f"{name} = {value!r}"
    except (ValueError, SyntaxError):
        pass  # no plain value: refused below
    raise ClusterError(f"your function uses {name} ({type(value).__name__}), which cannot travel: define it inside")


# -- what lies in the state directory --


def write(layout: Layout, components: list[Component], hook: hooks.Hook, source: str) -> None:
    for component in components:
        folder = layout.swaps(component.name)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for end in ("json", "hung"):
            (folder / f"{hook.name}.{end}").unlink(missing_ok=True)
        write_private(folder / f"{hook.name}.py", source.encode())


def remove(layout: Layout, components: list[Component]) -> list[str]:
    """Take all of them back; the names of the hooks that were swapped."""
    gone = []
    for component in components:
        for path in sorted(layout.swaps(component.name).glob("*.*")):
            if path.suffix == ".py":
                gone.append(path.stem)
            path.unlink(missing_ok=True)
    return list(dict.fromkeys(gone))


def listing(layout: Layout, components: tuple[Component, ...]) -> list[dict[str, Any]]:
    """A row for each function that was swapped in: component, hook, state (waiting, in use, put out), traceback."""
    rows = []
    for component in components:
        for path in sorted(layout.swaps(component.name).glob("*.py")):
            told = _told(path.with_suffix(".json"), path)
            rows.append(
                {
                    "component": component.name,
                    "hook": path.stem,
                    "state": told.get("state", "waiting"),
                    "traceback": told.get("traceback", ""),
                }
            )
    return rows


def _told(path: Path, source: Path) -> dict[str, Any]:
    """What the component said of that very source."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        fits = content["digest"] == swap.digest(source.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return content if fits else {}
