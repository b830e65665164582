"""Where audit records go, by the flags: a log, a webhook, or both.

Upstream: apiserver/pkg/server/options/audit.go.
"""

from __future__ import annotations

import asyncio
import logging
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from workshop.api.meta import Obj
from workshop.apiserver.webhooks.remote import Remote
from workshop.clock import Clock

from .batch import Batching, Limits, Webhook
from .log import Log
from .policy import Policy, load

logger = logging.getLogger(__name__)
PATIENCE = 30.0


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
        self._log: Log | None = None
        self._strict = flags.audit_log_mode == "blocking-strict"
        self._batched: list[Batching] = []
        self._remote: Remote | None = None
        if flags.audit_log_path:
            self._log = Log(
                flags.audit_log_path, clock, flags.audit_log_format, flags.audit_log_maxsize, flags.audit_log_maxbackup,
                flags.audit_log_maxage,
            )  # fmt: skip
            if flags.audit_log_mode == "batch":
                self._batched.append(Batching(self._write_all, _limits(flags, "log"), clock))
        self._later = bool(self._batched)
        if flags.audit_webhook_config_file:
            self._remote = Remote(flags.audit_webhook_config_file, PATIENCE)
            webhook = Webhook(self._remote, clock, flags.audit_webhook_initial_backoff)
            self._batched.append(Batching(webhook.send, _limits(flags, "webhook"), clock))

    @property
    def recording(self) -> bool:
        return self.policy is not None and (self._log is not None or bool(self._batched))

    def write(self, event: Obj) -> None:
        """Raises OSError where the log is strict and cannot be written."""
        for batched in self._batched:
            batched.put(event)
        if self._log is not None and not self._later:
            try:
                self._log.write(event)
            except OSError as error:
                if self._strict:
                    raise
                logger.error("cannot store an audit event: %s", error)

    async def _write_all(self, events: Sequence[Obj]) -> None:
        assert self._log is not None
        for event in events:
            try:
                self._log.write(event)
            except OSError as error:
                logger.error("cannot store an audit event: %s", error)

    async def run(self) -> None:
        """Send batches, for ever."""
        await asyncio.gather(*(batched.run() for batched in self._batched))

    async def close(self) -> None:
        for batched in self._batched:
            await batched.close()
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
