"""What an expression may cost at worst, before any object is seen: from the checked tree, and from how long the values
of a schema can be.

    self.items.all(i, i.name.startsWith('a'))     about 5 for each item; without maxItems there may be a million

The numbers decide which rules a definition may have, so they are upstream's, step by step. Of macros of two variables
and `sortBy` the tree is that of what the checker was told in their place; there the number is near, not the same.
Upstream: cel-go checker/cost.go, ext/{lists,sets}.go, apiserver/pkg/cel/{library/cost,common/schemas}.go.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from workshop.api.cel.costs import LIST, MAP, MESSAGE, PATTERN, READING
from workshop.api.cel.estimate_functions import Node, of_library
from workshop.api.cel.ranges import MOST, ONE, UNKNOWN, ZERO, Path, Range, Sizes, exactly
from workshop.api.cel.syntax import RESULT, Call, Expr, Fold, Ident, ListOf, Literal, MapOf, Select, Tree


def estimated(tree: Tree, sizes: Sizes) -> Range:
    """`sizes` tells how long the value of a path is: `("self", "items", "@items", "name")`."""
    return _Estimate(tree, sizes).cost(tree.root)


class _Estimate:
    def __init__(self, tree: Tree, sizes: Sizes) -> None:
        self._tree, self._sizes = tree, sizes
        self._paths: dict[int, Path] = {}
        self._known: dict[int, Range] = {}
        self._entries: dict[int, tuple[Range, Range]] = {}
        self._locals: dict[str, list[tuple[Path, Range | None, tuple[Range, Range] | None]]] = {}

    def cost(self, e: Expr) -> Range:
        match e:
            case Literal():
                return ZERO
            case Ident():
                local = self._local(e)
                self._paths[e.id] = local[0] if local else (e.name,)
                return ONE
            case Select():
                return self._select(e)
            case ListOf():
                return self._list(e)
            case MapOf():
                return self._map(e)
            case Fold():
                return self._bind(e) if e.binds else self._fold(e)
        return self._call(e)

    def _type(self, e: Expr) -> tuple[Any, ...]:
        return self._tree.types.get(e.id, ("dyn",))

    def _local(self, e: Expr) -> tuple[Path, Range | None, tuple[Range, Range] | None] | None:
        stack = self._locals.get(e.name) if isinstance(e, Ident) else None
        return stack[-1] if stack else None

    def _path(self, e: Expr) -> Path:
        local = self._local(e)
        return local[0] if local else self._paths.get(e.id, ())

    def _entry(self, e: Expr) -> tuple[Range, Range] | None:
        if e.id in self._entries:
            return self._entries[e.id]
        local = self._local(e)
        return local[2] if local else None

    def _size(self, e: Expr) -> Range | None:
        if e.id in self._known:
            return self._known[e.id]
        match e:
            case Literal():
                return exactly(len(e.value)) if isinstance(e.value, str | bytes) else ONE
            case ListOf():
                return exactly(len(e.items))
            case MapOf() if not e.message:
                return exactly(len(e.entries))
        path = self._path(e)
        if path and path[0] != RESULT and (found := self._sizes(path)) is not None:
            self._known[e.id] = found
            return found
        if _scalar(self._type(e)):
            return ONE
        local = self._local(e)
        return local[1] if local else None

    def size(self, e: Expr) -> Range:
        found = self._size(e)
        return UNKNOWN if found is None else found

    def _select(self, e: Select) -> Range:
        total = self.cost(e.operand)
        if e.test:
            return total
        if self._type(e.operand)[0] in ("map", "message", "parameter"):
            total = total.plus(ONE)
        self._paths[e.id] = (*self._path(e.operand), e.field)
        return total

    def _list(self, e: ListOf) -> Range:
        total, item = exactly(LIST), None
        for each in e.items:
            total = total.plus(self.cost(each))
            item = self.size(each) if item is None else item.union(self.size(each))
        self._entries[e.id] = (ONE, item or ZERO)
        return total

    def _map(self, e: MapOf) -> Range:
        total = exactly(MESSAGE if e.message else MAP)
        keys: Range | None = None
        values: Range | None = None
        for key, value, _ in e.entries:
            total = total.plus(ZERO if e.message else self.cost(key)).plus(self.cost(value))
            keys = self.size(key) if keys is None else keys.union(self.size(key))
            values = self.size(value) if values is None else values.union(self.size(value))
        if not e.message:
            self._entries[e.id] = (keys or ZERO, values or ZERO)
        return total

    def _bind(self, e: Fold) -> Range:
        total = self.cost(e.over).plus(self.cost(e.start))
        self._push(e.accumulator, self._path(e.start), self._size(e.start), self._entry(e.start))
        total = total.plus(self.cost(e.result))
        if (size := self._size(e.result)) is not None:
            self._known[e.id] = size
        if (entry := self._entry(e.result)) is not None:
            self._entries[e.id] = entry
        self._locals[e.accumulator].pop()
        return total

    def _push(self, name: str, path: Path, size: Range | None, entry: tuple[Range, Range] | None) -> None:
        self._locals.setdefault(name, []).append((path, size, entry))

    def _fold(self, e: Fold) -> Range:
        if parts := _element(e):
            return self._of_element(e, parts)
        if (over := _ranged(e.over)) is not None:
            e = replace(e, over=over)
        total = self.cost(e.over).plus(self.cost(e.start))
        self._push(e.accumulator, self._path(e.start), self._size(e.start), self._entry(e.start))
        entry, path = self._entry(e.over), self._path(e.over)
        of_list = self._type(e.over)[0] == "list"
        size = None if entry is None else entry[1 if of_list else 0]
        self._push(e.variable, (*path, "@items" if of_list else "@keys"), size, None)
        loop, step = self.cost(e.condition), self.cost(e.step)
        self._locals[e.variable].pop()
        total = total.plus(self.cost(e.result))
        times = self.size(e.over)
        total = total.plus(times.times(step.plus(loop)))
        if isinstance(e.start, Literal):
            self._known[e.id] = self.size(e.start)
        elif isinstance(e.start, ListOf | MapOf):
            self._known[e.id] = times
            if (made := self._entry(e.step)) is not None:
                self._entries[e.id] = made
        self._locals[e.accumulator].pop()
        return total

    def _of_element(self, e: Fold, parts: list[Expr]) -> Range:
        """`[of[i]].all(v, …)` stands for the second variable of a macro."""
        assert isinstance(e.over, ListOf)
        self.cost(e.over)
        item = e.over.items[0]
        self._push(e.variable, self._path(item), self._size(item), None)
        total = ZERO
        for part in parts:
            total = total.plus(self.cost(part))
        self._locals[e.variable].pop()
        return total

    def _node(self, e: Expr) -> Node:
        path = self._path(e)
        return Node(e, () if path and path[0] == RESULT else path, self._type(e), self.size(e))

    def _call(self, e: Call) -> Range:
        if e.function == "_[_]" and isinstance(e.args[0], Fold) and _element(e.args[0]):
            return self.cost(e.args[0])
        if e.function == "dyn":
            total = self.cost(e.args[0]).plus(ONE)
            if (size := self._size(e.args[0])) is not None:
                self._known[e.id] = size
            return total
        costs = [self.cost(each) for each in e.args]
        args = [self._node(each) for each in e.args]
        overloads = self._tree.overloads.get(e.id, ())
        if not overloads:
            return ZERO
        total, target = ZERO, None
        if e.target is not None and not self._namespace(e.target):
            total, target = self.cost(e.target), self._node(e.target)
        name = e.function if e.target is None or target is not None else f"{self._namespace(e.target)}.{e.function}"
        spent: Range | None = None
        size = None
        for overload in overloads:
            cost, result = self._one(e, name, overload, target, args, costs)
            spent = cost if spent is None else spent.union(cost)
            if result is not None:
                size = result if size is None else size.union(result)
            if overload in ("index_list", "index_map"):
                entry = self._entry(e.args[0])
                size = entry[1] if entry is not None else None
                step = "@items" if overload == "index_list" else "@values"
                self._paths[e.id] = (*self._path(e.args[0]), step)
            size = self._size(e) if size is None else size
        if size is not None:
            self._known[e.id] = size
        return total.plus(spent or ZERO)

    def _namespace(self, e: Expr | None) -> str:
        """The checker leaves names like `lists` without a type."""
        return e.name if isinstance(e, Ident) and e.id not in self._tree.types else ""

    def _one(
        self, e: Call, name: str, overload: str, target: Node | None, args: list[Node], costs: list[Range]
    ) -> tuple[Range, Range | None]:
        """Of one overload: what it costs with its arguments, and how long its result is."""
        asked = ZERO
        for each in costs:
            asked = asked.plus(each)
        if (found := of_library(name, target, args, self._sizes)) is not None:
            return found[0].plus(asked), found[1]
        match overload:
            case "logical_or" | "logical_and":
                return Range(costs[0].least, costs[0].plus(costs[1]).most), None
            case "conditional":
                pair = self._entry(args[1].expr), self._entry(args[2].expr)
                if pair[0] and pair[1]:
                    self._entries[e.id] = (pair[0][0].union(pair[1][0]), pair[0][1].union(pair[1][1]))
                return costs[0].plus(costs[1].union(costs[2])), args[1].size.union(args[2].size)
        found = self._standard(e, overload, target, args)
        return found[0].plus(asked), found[1]

    def _standard(self, e: Call, overload: str, target: Node | None, args: list[Node]) -> tuple[Range, Range | None]:
        match overload:
            case "string_to_bytes":
                return args[0].size.by(READING), Range(args[0].size.least, args[0].size.most * 4 & MOST)
            case "bytes_to_string":
                return args[0].size.by(READING), Range(args[0].size.least // 4, args[0].size.most)
            case "starts_with_string" | "ends_with_string":
                return args[0].size.by(READING), None
            case "in_list":
                return args[1].size.by(1), None
            case "matches" | "matches_string" if target is not None:
                return target.size.plus(ONE).by(READING).times(args[0].size.by(PATTERN)), None
            case "contains_string" if target is not None:
                return target.size.by(READING).times(args[0].size.by(READING)), None
            case "add_string" | "add_bytes" | "add_list":
                size = args[0].size.plus(args[1].size)
                pair = self._entry(args[0].expr), self._entry(args[1].expr)
                if pair[0] and pair[1]:
                    self._entries[e.id] = (pair[0][0].union(pair[1][0]), pair[0][1].union(pair[1][1]))
                return (ONE if overload == "add_list" else size.by(READING)), size
        if overload == "equals" and args[0].type == args[1].type and _cheap(args[0].type):
            return ONE, None
        if overload in _COMPARING:
            most = min(args[0].size.most, args[1].size.most)
            return Range(1 if most > 0 else 0, most).by(READING), None
        return ONE, None


_COMPARING = frozenset({
    "equals", "not_equals", "less_string", "greater_string", "less_equals_string", "greater_equals_string",
    "less_bytes", "greater_bytes", "less_equals_bytes", "greater_equals_bytes",
})  # fmt: skip


def _cheap(of: tuple[Any, ...]) -> bool:
    if of[0] != "opaque":
        return False
    name: str = of[1]
    return name.startswith(("net.", "kubernetes.")) and name not in ("kubernetes.URL", "kubernetes.NamedFormat")


def _scalar(of: tuple[Any, ...]) -> bool:
    if of[0] == "opaque" and of[1] == "optional_type" and len(of) > 2:
        return _scalar(of[2])
    return of[0] in ("bool", "double", "duration", "int", "timestamp", "uint")


def _ranged(e: Expr) -> Expr | None:
    """`lists.range(of.size() + 0)`: the way round a list with its indexes (`twofold.py`). Gives the list."""
    if isinstance(e, Call) and e.function in ("range", "lists.range") and isinstance(e.args[0], Call):
        added = e.args[0]
        if added.function == "_+_" and isinstance(added.args[1], Literal) and isinstance(added.args[0], Call):
            size = added.args[0]
            return size.target if size.function == "size" and added.args[1].value == 0 else None
    return None


def _element(e: Fold) -> list[Expr] | None:
    """What `[of[i]].all(v, …)` does with `v`; None if it is no such macro."""
    over, step = e.over, e.step
    if not isinstance(over, ListOf) or len(over.items) != 1 or not isinstance(step, Call):
        return None
    item = over.items[0]
    if not (isinstance(item, Call) and item.function == "_[_]" and isinstance(item.args[1], Ident)):
        return None
    if step.function in ("_&&_", "_||_"):
        return [step.args[1]]
    if step.function == "_?_:_" and isinstance(e.start, Literal):
        return [step.args[0]]
    kept = [step.args[0]] if step.function == "_?_:_" else []
    add = step.args[1] if kept else step
    made = add.args[1] if isinstance(add, Call) and add.function == "_+_" else None
    return [*kept, made.items[0]] if isinstance(made, ListOf) and made.items else None
