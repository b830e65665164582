"""`?timeout=`, which a request may carry. Upstream: apiserver/pkg/endpoints/filters/request_deadline.go."""

from __future__ import annotations

import re

from workshop.api import errors
from workshop.component import parse_duration

from .http import Request
from .info import RequestInfo

LONG_RUNNING = frozenset({"attach", "exec", "proxy", "log", "portforward"})
"""Subresources, and verbs, whose requests last as long as somebody wants them to."""
_DURATION = re.compile(r"[-+]?((\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h))+|[-+]?0")
_NUMBER_FIRST = re.compile(r"[-+]?((\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h))*(\d+\.?\d*|\.\d+)([^\d.]*)")


def is_long(info: RequestInfo) -> bool:
    """Lasts as long as somebody wants it to."""
    return info.verb in ("watch", "proxy") or info.subresource in LONG_RUNNING


def seconds_of(request: Request, most: float) -> float:
    """How long the request may take, which `check` has looked at: what it asks for, `most` at most."""
    text = request.option("timeout")
    asked = parse_duration(text.replace("μ", "µ")) if text else 0.0
    return min(asked, most) if asked > 0 else most


def check(request: Request) -> None:
    """A duration in Go's form. Raises ApiError 400."""
    if is_long(request.info):
        return
    text = request.option("timeout")
    if not text or _DURATION.fullmatch(text):
        return
    unit = _NUMBER_FIRST.match(text)
    why = f"invalid duration {errors.quote(text)}"
    if unit is not None:
        what = f"unknown unit {errors.quote(unit[5])}" if unit[5] else "missing unit"
        why = f"{what} in duration {errors.quote(text)}"
    raise errors.bad_request(f"invalid timeout specified in the request URL - time: {why}")
