"""Expressions may be dear (a second and more, up to the limits of their costs), and others are waiting meanwhile.

So each is begun where it stands, and one that takes longer than a moment is asked again in a thread: the loop goes on
beside it. What is asked only looks, so that asking twice does no harm.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


async def unhurried(work: Callable[[], T], about: Any = None) -> T:
    """What `work` gives, or raises. `about` is what holds the expressions: those that ask the authorizer stay here,
    for its index belongs to the loop."""
    from workshop.api.cel.quick import NotQuick, quickly  # CEL is loaded by who has expressions

    try:
        with quickly():
            return work()
    except NotQuick:
        if "authorizer" in str(about):
            return work()
        return await asyncio.to_thread(work)
