"""Where audit records go, by the flags: a log, a webhook, or both; each in one of three modes.

    batch             nobody waits; what does not fit into the buffer is lost
    blocking          the request waits until its record is written; if that fails, it goes on
    blocking-strict   the same, but a request whose first record cannot be written is refused

Upstream: apiserver/pkg/server/options/audit.go, apiserver/plugin/pkg/audit/truncate.
"""

from __future__ import annotations

import asyncio
import logging
from argparse import Namespace
from collections import Counter
from collections.abc import Awaitable, Sequence
from pathlib import Path

from workshop.api import codec
from workshop.api.meta import Obj
from workshop.apiserver.webhooks.remote import Remote
from workshop.clock import Clock

from .batch import Batching, Limits, Send, Webhook
from .log import Log
from .policy import Policy, load

logger = logging.getLogger(__name__)
PATIENCE = 30.0
TRUNCATED = "audit.k8s.io/truncated"


class Unrecorded(Exception):
    """A record could not be written where that is demanded."""


class Backend:
    """One place for records. `send` raises OSError when it cannot."""

    def __init__(self, name: str, flags: Namespace, send: Send, clock: Clock) -> None:
        self._name, self._send = name, send
        self.errors = 0
        mode = getattr(flags, f"audit_{name}_mode")
        self._strict = mode == "blocking-strict"
        self.batching = Batching(self._attempt, _limits(flags, name), clock) if mode == "batch" else None
        enabled = getattr(flags, f"audit_{name}_truncate_enabled")
        self._longest = getattr(flags, f"audit_{name}_truncate_max_event_size") if enabled else 0

    async def write(self, event: Obj) -> None:
        """Raises Unrecorded."""
        fitting = fit(event, self._longest) if self._longest else event
        if fitting is None:
            self.errors += 1
            logger.error("audit plugin truncate: event is too large even after truncating")
        elif self.batching is not None:
            self.batching.put(fitting)
        elif not await self._attempt([fitting]) and self._strict:
            raise Unrecorded

    async def _attempt(self, events: Sequence[Obj]) -> bool:
        try:
            await self._send(events)
        except OSError as error:
            self.errors += len(events)
            logger.error("cannot store %d audit events in the %s: %s", len(events), self._name, error)
            return False
        return True


def fit(event: Obj, longest: int) -> Obj | None:
    """The event, without what was asked and answered if it is longer than so many bytes; None if that is no help."""
    if len(codec.dumps(event)) <= longest:
        return event
    if event["level"] not in ("Request", "RequestResponse"):
        return None
    event = {key: value for key, value in event.items() if key not in ("requestObject", "responseObject")}
    event["annotations"] = {**event.get("annotations", {}), TRUNCATED: "true"}
    return event if len(codec.dumps(event)) <= longest else None


class Backends:
    """`policy` is None where nothing is recorded. `write` is the sink of `Audit`."""

    def __init__(self, flags: Namespace, clock: Clock) -> None:
        """Raises OSError, ValueError."""
        self.policy: Policy | None = None
        if flags.audit_policy_file:
            try:
                self.policy = load(Path(flags.audit_policy_file).read_bytes())
            except ValueError as error:
                raise ValueError(f"loading audit policy file: {error}: from file {flags.audit_policy_file}") from None
        self._counts: Counter[str] = Counter()
        self._backends: dict[str, Backend] = {}
        self._log: Log | None = None
        self._remote: Remote | None = None
        if flags.audit_log_path:
            self._log = Log(
                flags.audit_log_path, clock, flags.audit_log_format, flags.audit_log_maxsize, flags.audit_log_maxbackup,
                flags.audit_log_maxage, flags.audit_log_compress,
            )  # fmt: skip
            self._backends["log"] = Backend("log", flags, self._log.write_all, clock)
        if flags.audit_webhook_config_file:
            self._remote = Remote(flags.audit_webhook_config_file, PATIENCE)
            webhook = Webhook(self._remote, clock, flags.audit_webhook_initial_backoff)
            self._backends["webhook"] = Backend("webhook", flags, webhook.send, clock)

    @property
    def recording(self) -> bool:
        return self.policy is not None and bool(self._backends)

    async def write(self, event: Obj) -> None:
        """Raises Unrecorded."""
        self._counts[event["level"]] += event["stage"] == "RequestReceived"
        self._counts["event"] += 1
        for backend in self._backends.values():
            try:
                await backend.write(event)
            except Unrecorded:
                self._counts["rejected"] += event["stage"] == "RequestReceived"
                raise

    def metrics(self) -> list[str]:
        """Prometheus lines, by upstream's names."""
        prefix = "apiserver_audit"
        lines = [f"# TYPE {prefix}_event_total counter", f"{prefix}_event_total {self._counts['event']}"]
        lines.append(f"# TYPE {prefix}_requests_rejected_total counter")
        lines.append(f"{prefix}_requests_rejected_total {self._counts['rejected']}")
        lines.append(f"# TYPE {prefix}_level_total counter")
        levels = ("Metadata", "Request", "RequestResponse")
        lines += [f'{prefix}_level_total{{level="{level}"}} {self._counts[level]}' for level in levels]
        lines.append(f"# TYPE {prefix}_error_total counter")
        for name, backend in self._backends.items():
            dropped = backend.batching.dropped if backend.batching is not None else 0
            lines.append(f'{prefix}_error_total{{plugin="{name}"}} {backend.errors + dropped}')
        return lines

    async def run(self) -> None:
        """Send batches, for ever."""
        await asyncio.gather(*self._of_batches("run"))

    def _of_batches(self, what: str) -> list[Awaitable[None]]:
        return [getattr(b.batching, what)() for b in self._backends.values() if b.batching is not None]

    async def close(self) -> None:
        for closing in self._of_batches("close"):
            await closing
        if self._remote is not None:
            await self._remote.close()
        if self._log is not None:
            self._log.close()


def _limits(flags: Namespace, name: str) -> Limits:
    def flag(what: str) -> float:
        return float(getattr(flags, f"audit_{name}_batch_{what}"))

    per_second = flag("throttle_qps") if flag("throttle_enable") else 0.0
    return Limits(
        int(flag("buffer_size")), int(flag("max_size")), flag("max_wait"), per_second, int(flag("throttle_burst"))
    )
