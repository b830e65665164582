"""CronJob: a Job at each time of a schedule (`cron`). `decide` is pure. Upstream: `pkg/controller/cronjob`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from workshop.api import meta
from workshop.api.errors import ApiError, is_already_exists
from workshop.api.meta import Key, Obj, key_of
from workshop.api.resources import resource
from workshop.clock import parse_rfc3339, rfc3339

from . import ownership
from .base import Context, all_of, enqueue_owner, update_status
from .cron import Schedule
from .job_util import finished

CRONJOBS = resource("cronjobs.batch")
JOBS = resource("jobs.batch")
TIMESTAMP = "batch.kubernetes.io/cronjob-scheduled-timestamp"
TOO_MANY = 100


@dataclass
class Decision:
    start: float | None = None
    """the scheduled time of the Job to make now"""
    replace: bool = False
    """whether the running ones are deleted first"""
    wait: float | None = None
    events: list[tuple[str, str, str]] = field(default_factory=list)


def zone(cronjob: Obj) -> tzinfo:
    name = cronjob["spec"].get("timeZone")
    return ZoneInfo(name) if name else UTC


def most_recent(schedule: Schedule, since: float, now: float, tz: tzinfo) -> tuple[float | None, int]:
    """(the latest time missed since, how many were)."""
    latest, count = None, 0
    moment = schedule.next(datetime.fromtimestamp(since, tz))
    while moment is not None and moment.timestamp() <= now:
        latest, count = moment.timestamp(), count + 1
        if count > 10_000:
            # Years behind: begin again shortly before now.
            return most_recent(schedule, now - 86400.0, now, tz)[0] or latest, count
        moment = schedule.next(moment)
    return latest, count


def decide(cronjob: Obj, running: int, now: float) -> Decision:
    """What is due at `now` (seconds since the epoch), while `running` Jobs of it go on: start one, replace them, or
    wait.

    Of several times that were missed only the latest is made up for. Upstream: syncCronJob."""
    spec, result = cronjob["spec"], Decision()
    try:
        schedule, tz = Schedule.parse(spec["schedule"]), zone(cronjob)
    except (ValueError, ZoneInfoNotFoundError) as error:
        text = f"unparseable schedule: {spec['schedule']} : {error}"
        result.events.append(("Warning", "UnparseableSchedule", text))
        return result
    if spec.get("suspend"):
        return result
    last = (cronjob.get("status") or {}).get("lastScheduleTime")
    since = parse_rfc3339(last) if last else meta.creation_timestamp(cronjob)
    starting = spec.get("startingDeadlineSeconds")
    if starting is not None:
        since = max(since, now - float(starting))
    due, missed = most_recent(schedule, since, now, tz)
    following = schedule.next(datetime.fromtimestamp(now, tz))
    if following is not None:
        result.wait = following.timestamp() - now + 0.1
    if due is None:
        return result
    if missed > TOO_MANY:
        text = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
        result.events.append(("Warning", "TooManyMissedTimes", text))
    if starting is not None and due + float(starting) < now:
        when = datetime.fromtimestamp(due, UTC)
        text = f"Missed scheduled time to start a job: {when:%a, %d %b %Y %H:%M:%S} +0000"
        result.events.append(("Warning", "MissSchedule", text))
        return result
    policy = spec.get("concurrencyPolicy", "Allow")
    if policy == "Forbid" and running:
        text = "Not starting job because prior execution is running and concurrency policy is Forbid"
        result.events.append(("Normal", "JobAlreadyActive", text))
        return result
    result.start, result.replace = due, policy == "Replace" and running > 0
    return result


def job_name(cronjob: Obj, scheduled: float) -> str:
    """By the minute: two managers that both try make the same Job."""
    return f"{meta.name(cronjob)}-{int(scheduled) // 60}"


def new_job(cronjob: Obj, scheduled: float) -> Obj:
    """The Job for the time that was `scheduled` (seconds since the epoch)."""
    template = meta.copy(cronjob["spec"]["jobTemplate"])
    metadata = template.get("metadata") or {}
    return {
        "metadata": {
            "name": job_name(cronjob, scheduled),
            "namespace": meta.namespace(cronjob),
            "labels": dict(metadata.get("labels") or {}),
            "annotations": {
                **(metadata.get("annotations") or {}),
                TIMESTAMP: datetime.fromtimestamp(scheduled, zone(cronjob)).isoformat().replace("+00:00", "Z"),
            },
            "ownerReferences": [meta.owner_reference(cronjob)],
        },
        "spec": template["spec"],
    }


def surplus(cronjob: Obj, jobs: list[Obj]) -> list[Obj]:
    """Finished Jobs beyond the history limits, the oldest."""
    result: list[Obj] = []
    for kind, limit_field, default in (
        ("Complete", "successfulJobsHistoryLimit", 3),
        ("Failed", "failedJobsHistoryLimit", 1),
    ):
        limit = cronjob["spec"].get(limit_field)
        done = [job for job in jobs if (finished(job) or {}).get("type") == kind]
        done.sort(key=lambda job: ((job.get("status") or {}).get("startTime") or "", meta.name(job)))
        result += done[: max(0, len(done) - (default if limit is None else int(limit)))]
    return result


class CronJobController:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._client = context.client
        self._clock = context.clock
        self._queue = context.queue()
        self._recorder = context.recorders("cronjob-controller")
        self._cronjobs = context.informer("cronjobs.batch")
        self._jobs = context.informer("jobs.batch")
        self._jobs.store.add_index(ownership.INDEX, ownership.by_controller)
        self._cronjobs.add_handler(self._enqueue, lambda old, new: self._enqueue(new))
        owner = enqueue_owner(self._queue, "CronJob")
        self._jobs.add_handler(owner, lambda old, new: owner(new), owner)

    def _enqueue(self, cronjob: Obj) -> None:
        self._queue.add(key_of(cronjob))

    async def run(self) -> None:
        await self._context.controller(self._queue, self.sync, self._context.options.workers("cron-job")).run()

    async def sync(self, key: Key) -> float | None:
        cronjob = self._cronjobs.store.get(key)
        if cronjob is None or "deletionTimestamp" in cronjob["metadata"]:
            return None
        jobs = self._jobs.store.by_index(ownership.INDEX, meta.uid(cronjob))
        status = self._follow(cronjob, jobs)
        running = [job for job in jobs if finished(job) is None]
        decision = decide(cronjob, len(running), self._clock.now())
        for kind, reason, message in decision.events:
            self._recorder.event(cronjob, kind, reason, message)
        if decision.start is not None:
            await self._start(cronjob, decision, running, status)
        await update_status(self._client, CRONJOBS, cronjob, {k: v for k, v in status.items() if v})
        await all_of(self._delete(cronjob, job) for job in surplus(cronjob, jobs))
        return decision.wait

    def _follow(self, cronjob: Obj, jobs: list[Obj]) -> dict[str, Any]:
        """`status.active` and `lastSuccessfulTime` as the Jobs say."""
        old = cronjob.get("status") or {}
        by_uid = {meta.uid(job): job for job in jobs}
        status = {**old, "active": [ref for ref in old.get("active") or () if ref.get("uid") in by_uid]}
        for job in jobs:
            listed = [ref for ref in status["active"] if ref.get("uid") == meta.uid(job)]
            end = finished(job)
            if end is None and not listed:
                status["active"].append(_reference(job))
            elif end is not None and listed:
                status["active"].remove(listed[0])
                text = f"Saw completed job: {meta.name(job)}, condition: {end['type']}"
                self._recorder.event(cronjob, "Normal", "SawCompletedJob", text)
            completed = (job.get("status") or {}).get("completionTime")
            if end is not None and end["type"] == "Complete" and completed:
                status["lastSuccessfulTime"] = max(completed, status.get("lastSuccessfulTime") or "")
        return status

    async def _start(self, cronjob: Obj, decision: Decision, running: list[Obj], status: dict[str, Any]) -> None:
        assert decision.start is not None
        if decision.replace:
            await all_of(self._delete(cronjob, job) for job in running)
            status["active"] = []
        try:
            job = await self._client.create(JOBS, new_job(cronjob, decision.start))
        except ApiError as error:
            if not is_already_exists(error):
                self._recorder.event(cronjob, "Warning", "FailedCreate", f"Error creating job: {error}")
                raise
            status["lastScheduleTime"] = rfc3339(decision.start)
            return
        self._recorder.event(cronjob, "Normal", "SuccessfulCreate", f"Created job {meta.name(job)}")
        status["active"] = [*status.get("active", ()), _reference(job)]
        status["lastScheduleTime"] = rfc3339(decision.start)

    async def _delete(self, cronjob: Obj, job: Obj) -> None:
        try:
            await self._client.delete(
                JOBS, meta.name(job), meta.namespace(job), propagation_policy="Background", uid=meta.uid(job)
            )
        except ApiError as error:
            if error.code == 404:
                return
            self._recorder.event(cronjob, "Warning", "FailedDelete", f"Deleted job: {error}")
            raise
        self._recorder.event(cronjob, "Normal", "SuccessfulDelete", f"Deleted job {meta.name(job)}")


def _reference(job: Obj) -> dict[str, str]:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "namespace": meta.namespace(job),
        "name": meta.name(job),
        "uid": meta.uid(job),
        "resourceVersion": meta.resource_version(job),
    }
