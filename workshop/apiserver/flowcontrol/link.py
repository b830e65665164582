"""The link of the chain: wait until the request's priority level has a seat, or tell the client to come again.

A watch holds its seat only until its first events are on their way, and requests that stay (exec, logs, proxies)
need none.

Upstream: `apiserver/pkg/server/filters/priority-and-fairness.go`, `util/flowcontrol/dropped_requests_tracker.go`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from workshop import trace
from workshop.apiserver.server.app import Handler
from workshop.apiserver.server.http import Request, Response, text_response
from workshop.apiserver.server.timeout import LONG_RUNNING
from workshop.clock import Clock

from .control import Control, State
from .queues import Full, Ticket
from .report import observe

LONGEST_RETRY = 32


class RetryAfter:
    """How long refused clients are sent away: longer while many are refused, shorter again when few are."""

    def __init__(self) -> None:
        self._second, self._count, self.seconds = 0, 0, 1

    def refused(self, now: float) -> int:
        """Count a refusal; the seconds to tell this client."""
        if int(now) != self._second:
            if self._count >= 3 * self.seconds:
                self.seconds = min(LONGEST_RETRY, self.seconds * 2)
            elif self._count < self.seconds or int(now) > self._second + self.seconds:
                self.seconds = max(1, self.seconds // 2)
            self._second, self._count = int(now), 0
        self._count += 1
        return self.seconds


class FlowControl:
    """`seats(request)` says how many seats a request takes; `patience` is how long one waits for them, in seconds."""

    def __init__(self, control: Control, seats: Callable[[Request], int], patience: float, clock: Clock) -> None:
        self._control, self._seats, self._patience, self._clock = control, seats, patience, clock
        self._retry_after: dict[str, RetryAfter] = {}

    def link(self, inner: Handler) -> Handler:
        async def handle(request: Request) -> Response:
            info = request.info
            if info.verb != "watch" and (info.subresource in LONG_RUNNING or info.verb == "proxy"):
                return await inner(request)
            schema, state = self._control.classify(request.user, info)
            request.response_headers += [
                ("X-Kubernetes-Pf-Flowschema-Uid", schema.uid),
                ("X-Kubernetes-Pf-Prioritylevel-Uid", state.level.uid),
            ]
            if state.level.exempt:
                trace.emit("apiserver.link", link="flow control", decision="exempt", schema=schema.name, micros=0)
                place = state.queues.pass_by(schema.name, self._clock.monotonic(), request)
                try:
                    return await inner(request)
                finally:
                    state.queues.passed(place)
                    observe(state.took, schema.name, self._clock.monotonic() - place.began)
            with trace.step("apiserver.link", link="flow control", schema=schema.name, level=schema.level) as told:
                ticket = await self._seat(request, schema.name, schema.flow(request.user, info), state)
                told["decision"] = "seat" if ticket else "refused"
            if ticket is None:
                wait = self._retry_after.setdefault(schema.level, RetryAfter()).refused(self._clock.monotonic())
                answer = text_response("Too many requests, please try again later.\n", 429)
                answer.headers.append(("Retry-After", str(wait)))
                return answer
            return await self._served(request, inner, ticket, state)

        return handle

    async def _served(self, request: Request, inner: Handler, ticket: Ticket, state: State) -> Response:
        try:
            return await inner(request)
        finally:
            now = self._clock.monotonic()
            state.queues.leave(ticket, now)
            observe(state.took, ticket.schema, now - ticket.began)
            self._control.note(state)

    async def _seat(self, request: Request, schema: str, flow: str, state: State) -> Ticket | None:
        """A ticket that has its seats; None if there was no place, or not in time."""
        turn = asyncio.Event()
        queues = state.queues
        try:
            now = self._clock.monotonic()
            ticket = queues.arrive(f"{schema}\0{flow}", self._seats(request), now, turn.set, request)
        except Full:
            return None
        finally:
            self._control.note(state)
        if not turn.is_set():
            try:
                async with asyncio.timeout(self._patience):
                    await turn.wait()
            except TimeoutError:
                queues.give_up(ticket, self._clock.monotonic(), timed_out=True)
                return None
            except asyncio.CancelledError:
                if ticket.state == "executing":
                    queues.leave(ticket, self._clock.monotonic())
                queues.give_up(ticket, self._clock.monotonic(), timed_out=False)
                raise
            finally:
                request.waited = self._clock.monotonic() - ticket.arrived
                observe(state.waited, (schema, ticket.began > 0), request.waited)
                self._control.note(state)
        return ticket
