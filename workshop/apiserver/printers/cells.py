"""Small formats that many printers share.

Upstream: pkg/printers/internalversion/printers.go, apimachinery/pkg/util/duration.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from workshop.api.meta import Obj

MINUTE, HOUR, DAY = 60, 3600, 86400


def human_duration(seconds: float) -> str:
    """Ages as kubectl shows them: coarser as they grow.

    >>> [human_duration(s) for s in (5, 119, 125, 4000, 90000)]
    ['5s', '119s', '2m5s', '66m', '25h']
    """
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 2 * MINUTE:
        return f"{max(whole, 0)}s"
    minutes, hours, days = whole // MINUTE, whole // HOUR, whole // DAY
    if minutes < 10:
        return _two(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if days < 365 * 2:
        return f"{days}d"
    return _two(days // 365, "y", days % 365, "d") if days < 365 * 8 else f"{days // 365}y"


def _two(large: int, unit: str, small: int, small_unit: str) -> str:
    return f"{large}{unit}{small}{small_unit}" if small else f"{large}{unit}"


def seconds_of(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp.replace("Z", "+00:00")).timestamp()


def since(timestamp: str | None, now: float) -> str:
    return human_duration(now - seconds_of(timestamp)) if timestamp else "<unknown>"


def name_of(obj: Obj) -> str:
    return str(obj["metadata"]["name"])


def age(obj: Obj, now: float) -> str:
    return since(obj["metadata"].get("creationTimestamp"), now)


def get(obj: Any, path: str, default: Any = None) -> Any:
    """The value at a dotted path, or the default where a part is missing or null."""
    for name in path.split("."):
        obj = obj.get(name) if isinstance(obj, dict) else None
        if obj is None:
            return default
    return obj


def containers(template: Obj) -> tuple[str, str]:
    """Names and images of a pod template's containers."""
    found = get(template, "spec.containers", [])
    return ",".join(c["name"] for c in found), ",".join(c.get("image", "") for c in found)


def pairs(labels: dict[str, str] | None) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or "<none>"


def label_selector(selector: Obj | None) -> str:
    """`app=web,tier in (a,b),!x`; `<none>` when it selects nothing in particular."""
    if not selector:
        return "<none>"
    parts = [(key, f"{key}={value}") for key, value in (selector.get("matchLabels") or {}).items()]
    for each in selector.get("matchExpressions") or []:
        key, values = each["key"], ",".join(sorted(each.get("values") or []))
        texts = {
            "In": f"{key} in ({values})",
            "NotIn": f"{key} notin ({values})",
            "Exists": key,
            "DoesNotExist": f"!{key}",
        }
        parts.append((key, texts.get(each["operator"], "<error>")))
    return ",".join(text for _, text in sorted(parts)) or "<none>"


ACCESS_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def access_modes(modes: list[str] | None) -> str:
    return ",".join(short for mode, short in ACCESS_MODES.items() if mode in (modes or []))


def more_than(most: int, items: list[str], total: int, separator: str = ",") -> str:
    """The first few, and how many more there are."""
    text = separator.join(items[:most])
    return f"{text} + {total - most} more..." if total > most else text


Cells = Callable[[Obj, float], list[Any]]
PRINTERS: dict[str, Cells] = {}


def printer(*names: str) -> Callable[[Cells], Cells]:
    """Registers the cells of a resource: `@printer("deployments.apps")`."""

    def register(function: Cells) -> Cells:
        PRINTERS.update(dict.fromkeys(names, function))
        return function

    return register
