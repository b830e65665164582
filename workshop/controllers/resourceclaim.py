"""resourceclaim: a pod whose `spec.resourceClaims` name a template gets a ResourceClaim of its own, and a claim that no
living pod uses any more is given back.

    pod web, claim gpu from template t   →   ResourceClaim web-gpu-x7k2p, owned by the pod
                                             pod.status.resourceClaimStatuses: gpu is web-gpu-x7k2p
    its pod has ended                    →   reservedFor without it; allocation and finalizer gone; the claim deleted

Upstream: pkg/controller/resourceclaim/controller.go. Left out: claims of pod groups.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from workshop.api import meta
from workshop.api.errors import ApiError, is_not_found
from workshop.api.meta import Key, Obj, key_of
from workshop.api.resources import resource
from workshop.client.rest import APPLY_PATCH

from .base import Context
from .pods import is_finished

PODS = resource("pods")
CLAIMS = resource("resourceclaims.resource.k8s.io")
FINALIZER = "resource.kubernetes.io/delete-protection"
MADE_FOR = "resource.kubernetes.io/pod-claim-name"
MANAGER = "ResourceClaimController"
MOST_CONSUMERS = 256
LONGEST_BASE = 57
"""Of a generated name of at most 63 characters: five are random, and there is a hyphen."""


# --- deciding ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Work:
    kind: Literal["pod", "claim"]
    key: Key


def named(pod: Obj) -> Iterator[tuple[Obj, str | None, bool]]:
    """Each entry of a pod's `spec.resourceClaims`, the name of its claim and whether the pod must own it. The name is
    "" where none has been made yet, None where none is needed."""
    made = {each["name"]: each for each in (pod.get("status") or {}).get("resourceClaimStatuses") or ()}
    for entry in pod["spec"].get("resourceClaims") or ():
        if entry.get("resourceClaimName") is not None:
            yield entry, entry["resourceClaimName"], False
        elif entry.get("name") in made:
            yield entry, made[entry["name"]].get("resourceClaimName"), True
        else:
            yield entry, "", True


def is_done(pod: Obj) -> bool:
    """It will not run any more, or never will."""
    return is_finished(pod) or (meta.deletion_timestamp(pod) is not None and not pod["spec"].get("nodeName"))


def owned(claim: Obj, pod: Obj) -> bool:
    return (meta.controller_of(claim) or {}).get("uid") == meta.uid(pod)


def from_template(pod: Obj, name: str, template: Obj) -> Obj:
    """The claim for the pod's entry `name`."""
    spec, owner = template["spec"], meta.name(pod)
    given = spec.get("metadata") or {}
    base = f"{owner}-{name}-"
    if len(base) > LONGEST_BASE:  # both are cut, each by its share
        base = f"{owner[: len(owner) * LONGEST_BASE // len(base)]}-{name[: len(name) * LONGEST_BASE // len(base)]}"
    reference = {"apiVersion": "v1", "kind": "Pod", "name": owner, "uid": meta.uid(pod), "controller": True}
    return {
        "metadata": {
            "generateName": base,
            "ownerReferences": [reference],
            "annotations": {**(given.get("annotations") or {}), MADE_FOR: name},
            "labels": given.get("labels") or {},
        },
        "spec": spec.get("spec") or {},
    }


def unreserved(pod: Obj, claim: Obj) -> bool:
    """A pod that was given its node past the scheduler holds no reservation yet."""
    status = claim.get("status") or {}
    users = status.get("reservedFor") or []
    free = status.get("allocation") is not None and len(users) < MOST_CONSUMERS
    return free and meta.uid(pod) not in [user.get("uid") for user in users]


def without(claim: Obj, remaining: list[Obj]) -> Obj:
    """The claim with these consumers; when the last has gone, what the scheduler allocated is given back."""
    status = {name: value for name, value in claim["status"].items() if name != "reservedFor"}
    if remaining:
        status["reservedFor"] = remaining
    elif FINALIZER in meta.finalizers(claim):
        status.pop("allocation", None)
    return {**claim, "status": status}


# --- acting -----------------------------------------------------------------------------------------------------------


class ResourceClaimController:
    def __init__(self, context: Context) -> None:
        self._context, self._client = context, context.client
        self._queue = context.queue()
        self._recorder = context.recorders("resource_claim")
        self._made: dict[tuple[str, str], str] = {}
        """By a pod's uid and an entry's name: claims that the cache may not have yet."""
        self._pods = context.informer("pods")
        self._pods.store.add_index("resource claim", _claims_of)
        self._pods.store.add_index("resource claim template", _templates_of)
        self._pods.add_handler(self._pod, lambda old, new: self._pod(new), self._pod_gone)
        self._claims = context.informer(CLAIMS.group_resource)
        self._claims.store.add_index("pod", _owner_of)
        self._claims.add_handler(self._claim, lambda old, new: self._claim(new), self._claim_gone)
        self._templates = context.informer("resourceclaimtemplates.resource.k8s.io")
        self._templates.add_handler(self._template, lambda old, new: self._template(new))

    def _pod(self, pod: Obj) -> None:
        if not pod["spec"].get("resourceClaims"):
            return
        if is_done(pod):
            self._release(pod)
        elif meta.deletion_timestamp(pod) is None:
            self._queue.add(Work("pod", key_of(pod)))

    def _pod_gone(self, pod: Obj) -> None:
        for entry in pod["spec"].get("resourceClaims") or ():
            self._made.pop((meta.uid(pod), entry.get("name", "")), None)
        self._release(pod)

    def _release(self, pod: Obj) -> None:
        for _, name, _ in named(pod):
            if name:
                self._queue.add(Work("claim", Key(meta.namespace(pod), name)))

    def _claim(self, claim: Obj) -> None:
        self._queue.add(Work("claim", key_of(claim)))
        self._claim_gone(claim)

    def _claim_gone(self, claim: Obj) -> None:
        for pod in self._pods.store.by_index("resource claim", str(key_of(claim))):
            self._pod(pod)

    def _template(self, template: Obj) -> None:
        for pod in self._pods.store.by_index("resource claim template", str(key_of(template))):
            self._pod(pod)

    async def run(self) -> None:
        await self._context.controller(self._queue, self.sync).run()

    async def sync(self, work: Work) -> None:
        if work.kind == "pod":
            pod = self._pods.store.get(work.key)
            if pod is not None and meta.deletion_timestamp(pod) is None and not is_done(pod):
                await self._sync_pod(pod)
        elif (claim := self._claims.store.get(work.key)) is not None:
            await self._sync_claim(claim)

    async def _sync_pod(self, pod: Obj) -> None:
        new: dict[str, str] = {}
        for entry, name, _ in named(pod):
            if name is None or entry.get("resourceClaimTemplateName") is None:
                continue
            found = self._claims.store.get(Key(meta.namespace(pod), name)) if name else None
            if found is not None and owned(found, pod):
                continue
            try:
                new[entry["name"]] = await self._make(pod, entry)
            except (ApiError, LookupError) as error:
                why = str(error.args[0]) if isinstance(error, LookupError) else str(error)
                said = f"PodResourceClaim {entry['name']}: {why}"
                self._recorder.event(pod, "Warning", "FailedResourceClaimCreation", said)
                raise
        if new:
            await self._tell(pod, new)
        elif pod["spec"].get("nodeName"):
            await self._reserve(pod)

    async def _make(self, pod: Obj, entry: Obj) -> str:
        """The name of the claim that is made for an entry, now or before. Raises ApiError, LookupError."""
        name, uid = entry["name"], meta.uid(pod)
        for claim in self._claims.store.by_index("pod", uid):
            if meta.annotations(claim).get(MADE_FOR) == name:  # made, and not told of
                return meta.name(claim)
        if (known := self._made.get((uid, name))) is not None and await self._there(pod, known):
            return known
        template_name = entry["resourceClaimTemplateName"]
        template = self._templates.store.get(Key(meta.namespace(pod), template_name))
        if template is None:
            missing = f'resourceclaimtemplate.resource.k8s.io "{template_name}" not found'
            raise LookupError(f'resource claim template "{template_name}": {missing}')
        made = await self._client.create(CLAIMS, from_template(pod, name, template), meta.namespace(pod))
        self._made[uid, name] = meta.name(made)
        return meta.name(made)

    async def _there(self, pod: Obj, name: str) -> bool:
        try:
            await self._client.get(CLAIMS, name, meta.namespace(pod))
        except ApiError as error:
            if not is_not_found(error):
                raise
            return False
        return True

    async def _tell(self, pod: Obj, new: Mapping[str, str]) -> None:
        """Those that it has already are said again: what is not applied any more would be taken away."""
        told = {entry["name"]: name for entry, name, generated in named(pod) if generated and name} | dict(new)
        statuses = [{"name": entry, "resourceClaimName": name} for entry, name in told.items()]
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": meta.name(pod), "namespace": meta.namespace(pod)},
            "status": {"resourceClaimStatuses": statuses},
        }
        await self._client.patch(
            PODS, meta.name(pod), body, meta.namespace(pod), APPLY_PATCH, "status", MANAGER, force=True
        )

    async def _reserve(self, pod: Obj) -> None:
        consumer = {"resource": "pods", "name": meta.name(pod), "uid": meta.uid(pod)}
        for _, name, generated in named(pod):
            claim = self._claims.store.get(Key(meta.namespace(pod), name)) if name else None
            if claim is None or (generated and not owned(claim, pod)) or not unreserved(pod, claim):
                continue
            users = [*(claim["status"].get("reservedFor") or []), consumer]
            await self._client.update(CLAIMS, {**claim, "status": {**claim["status"], "reservedFor": users}}, "status")

    async def _sync_claim(self, claim: Obj) -> None:
        before = (claim.get("status") or {}).get("reservedFor") or []
        remaining = [user for user in before if await self._uses(claim, user)]
        if len(remaining) < len(before):
            claim = await self._client.update(CLAIMS, without(claim, remaining), "status")
            await self._let_go(claim)
        elif meta.deletion_timestamp(claim) is not None and not remaining and FINALIZER in meta.finalizers(claim):
            if (claim.get("status") or {}).get("allocation") is not None:
                claim = await self._client.update(CLAIMS, without(claim, []), "status")
            await self._let_go(claim)
        if not remaining and meta.deletion_timestamp(claim) is None:
            await self._delete_if_done(claim)

    async def _uses(self, claim: Obj, user: Obj) -> bool:
        """Whether a consumer is still there; only pods are known here."""
        if user.get("apiGroup") or user.get("resource") != "pods":
            return True
        pod = self._pods.store.get(Key(meta.namespace(claim), user["name"]))
        if pod is None:  # the cache may be behind a pod that is just being scheduled: ask the server before letting go
            try:
                pod = await self._client.get(PODS, user["name"], meta.namespace(claim))
            except ApiError as error:
                if not is_not_found(error):
                    raise
                return False
            return meta.uid(pod) == user.get("uid")
        return meta.uid(pod) == user.get("uid") and not is_done(pod)

    async def _let_go(self, claim: Obj) -> None:
        if FINALIZER in meta.finalizers(claim) and (claim.get("status") or {}).get("allocation") is None:
            kept = [each for each in meta.finalizers(claim) if each != FINALIZER]
            await self._client.update(CLAIMS, {**claim, "metadata": {**claim["metadata"], "finalizers": kept}})

    async def _delete_if_done(self, claim: Obj) -> None:
        """A claim that was made for a pod goes with the pod's end; the pod itself may stay for long."""
        owner = meta.controller_of(claim) or {}
        pod = self._pods.store.get(Key(meta.namespace(claim), owner.get("name", ""))) if _owner_of(claim) else None
        if pod is None or meta.uid(pod) != owner.get("uid") or not is_done(pod):
            return
        try:
            await self._client.delete(CLAIMS, meta.name(claim), meta.namespace(claim), uid=meta.uid(claim))
        except ApiError as error:
            if not is_not_found(error):
                raise


def _owner_of(claim: Obj) -> list[str]:
    owner = meta.controller_of(claim) or {}
    return [owner["uid"]] if (owner.get("apiVersion"), owner.get("kind")) == ("v1", "Pod") else []


def _claims_of(pod: Obj) -> list[str]:
    return [str(Key(meta.namespace(pod), name)) for _, name, _ in named(pod) if name]


def _templates_of(pod: Obj) -> list[str]:
    entries = pod["spec"].get("resourceClaims") or ()
    names = {entry.get("resourceClaimTemplateName") for entry in entries} - {None}
    return [str(Key(meta.namespace(pod), name)) for name in sorted(map(str, names))]
