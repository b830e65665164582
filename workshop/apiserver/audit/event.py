"""The record of one request, filled in while it passes the chain, and written out at each stage.

Upstream: `apiserver/pkg/audit/{request,context}.go`, `apis/audit/v1/types.go`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from workshop.api.errors import quote
from workshop.api.meta import Obj
from workshop.apiserver.interfaces import Attributes, UserInfo, user_info
from workshop.clock import rfc3339_micro

from .policy import Level, Verdict

LONGEST_AGENT = 1024
_LEVEL_NAMES = {Level.METADATA: "Metadata", Level.REQUEST: "Request", Level.REQUEST_RESPONSE: "RequestResponse"}


class Record:
    """`event` is an audit.k8s.io/v1 Event; `stage` gives what is written of it at one moment."""

    def __init__(
        self,
        id: str,
        verdict: Verdict,
        asked: Attributes,
        uri: str,
        agent: str,
        sources: Sequence[str],
        received: float,
    ) -> None:
        """`received` in seconds since the epoch."""
        self.verdict, self._received = verdict, received
        agent = agent if len(agent) <= LONGEST_AGENT else agent[:LONGEST_AGENT] + "...TRUNCATED"
        self.event: Obj = {
            "kind": "Event",
            "apiVersion": "audit.k8s.io/v1",
            "level": _LEVEL_NAMES[verdict.level],
            "auditID": id,
            "stage": "",
            "requestURI": uri,
            "verb": asked.verb,
            "user": user_info(asked.user),
        }
        if sources:
            self.event["sourceIPs"] = list(sources)
        if agent:
            self.event["userAgent"] = agent
        if asked.resource_request:
            self.event["objectRef"] = _reference(asked)

    def impersonated(self, user: UserInfo, constraint: str) -> None:
        self.event["impersonatedUser"] = user_info(user)
        if constraint:
            self.event["authenticationMetadata"] = {"impersonationConstraint": constraint}

    def requested(self, obj: Any) -> None:
        """What the client sent: an object, a patch, or options."""
        reference = self.event.get("objectRef")
        metadata = obj.get("metadata") if isinstance(obj, dict) else None
        if reference is not None and isinstance(metadata, dict):
            for field in ("namespace", "name", "uid", "resourceVersion"):
                if metadata.get(field) and not reference.get(field):
                    reference[field] = metadata[field]
        if self.verdict.level >= Level.REQUEST:
            self.event["requestObject"] = self._bare(copy.deepcopy(obj))

    def answered(self, code: int, body: Any = None) -> None:
        """How it ended: the HTTP code, and the answer's object (a Status is told at every level)."""
        status: Obj = {"metadata": {}, "code": code}
        if isinstance(body, dict) and body.get("kind") == "Status" and body.get("apiVersion") == "v1":
            told = {field: body[field] for field in ("status", "message", "reason", "details") if body.get(field)}
            status = {"metadata": {}, **told, "code": code}
        self.event["responseStatus"] = status
        if self.verdict.level >= Level.REQUEST_RESPONSE and body is not None:
            self.event["responseObject"] = self._bare(body)

    def stage(self, stage: str, now: float, annotations: Mapping[str, str]) -> Obj | None:
        """The event at `stage`, or None where the policy leaves that stage out."""
        if stage in self.verdict.omit_stages:
            return None
        at = self._received if stage == "RequestReceived" else now
        event = {**self.event, "stage": stage, "requestReceivedTimestamp": rfc3339_micro(self._received),
                 "stageTimestamp": rfc3339_micro(at)}  # fmt: skip
        if annotations:
            event["annotations"] = dict(annotations)
        return event

    def _bare(self, obj: Any) -> Any:
        """Without managed fields, where the policy wants that."""
        if not self.verdict.omit_managed_fields or not isinstance(obj, dict):
            return obj
        for one in (obj, *(item for item in obj.get("items") or [] if isinstance(item, dict))):
            if isinstance(one.get("metadata"), dict):
                one["metadata"].pop("managedFields", None)
        return obj


def _reference(asked: Attributes) -> Obj:
    fields = {
        "resource": asked.resource,
        "namespace": asked.namespace,
        "name": asked.name,
        "apiGroup": asked.api_group,
        "apiVersion": asked.api_version,
        "subresource": asked.subresource,
    }
    return {key: value for key, value in fields.items() if value}


def legacy(event: Obj) -> str:
    """The one-line text of `--audit-log-format=legacy`."""
    user, other, reference = event["user"], event.get("impersonatedUser"), event.get("objectRef", {})

    def groups(who: Obj | None, missing: str) -> str:
        found = (who or {}).get("groups")
        return ",".join(quote(group) for group in found) if found else missing

    code = event.get("responseStatus", {}).get("code")
    parts = {
        "id": event["auditID"],
        "stage": event["stage"],
        "ip": (event.get("sourceIPs") or ["<unknown>"])[0],
        "method": event["verb"],
        "user": user["username"] or "<none>",
        "groups": groups(user, "<none>"),
        "as": other["username"] if other else "<self>",
        "asgroups": groups(other, "<lookup>"),
        "user-agent": event.get("userAgent", ""),
        "namespace": reference.get("namespace", "<none>"),
        "uri": event["requestURI"],
        "response": "<deferred>" if code is None else str(code),
    }
    return f"{event['requestReceivedTimestamp']} AUDIT: " + " ".join(f"{k}={quote(v)}" for k, v in parts.items())
