"""What is particular to devices when they are asked for, offered and given away.

Access to devices that are in use (`adminAccess`) is for namespaces with a label of their own. Whoever may write a
claim's status may not yet write all of it: what was allocated, and for whom, is for those who may bind claims; what a
driver tells of its devices is for that driver, on the node where the devices are or on any.

    PUT …/resourceclaims/c/status     update resourceclaims/status
      .status.allocation              update resourceclaims/binding, in all namespaces
      .status.devices[driver: d]      associated-node:update or arbitrary-node:update resourceclaims/driver "d"

Upstream: pkg/registry/resource/{utils.go,*/strategy.go}, v1.36.2.
"""

from __future__ import annotations

from workshop.api import names
from workshop.api.meta import Obj
from workshop.api.resources import Resource, resource
from workshop.api.validation import ErrorList
from workshop.api.validation.claim_statuses import device_id
from workshop.apiserver.authorization.modes import forbidden
from workshop.apiserver.interfaces import Attributes, Context, Decision, UserInfo
from workshop.clock import rfc3339

from .strategy import Strategy, Write

ADMIN_LABEL = "resource.kubernetes.io/admin-access"
NODE_NAME = "authentication.kubernetes.io/node-name"


class _InNamespaces(Strategy):
    def __init__(self, resource: Resource, context: Context) -> None:
        super().__init__(resource)
        self.context = context

    async def _admin(self, namespace: str, path: str) -> ErrorList:
        """Whether devices may be had that others use; `path` asks for it ("" for nobody does)."""
        errors = ErrorList()
        if not path:
            return errors
        found = await self.context.get_live(resource("namespaces"), namespace)
        if found is None:
            said = f'could not retrieve namespace to verify admin access: namespaces "{namespace}" not found'
            errors.internal(path, said)
        elif (found["metadata"].get("labels") or {}).get(ADMIN_LABEL) != "true":
            needed = f"the `{ADMIN_LABEL}: true` label on the containing namespace"
            errors.forbidden(path, f"admin access to devices requires {needed}")
        return errors


def _asks_for_admin(requests: list[Obj]) -> str:
    for index, each in enumerate(requests):
        if (each.get("exactly") or {}).get("adminAccess"):
            return f"spec.devices.requests[{index}].adminAccess"
    return ""


def _gives_admin(results: list[Obj]) -> str:
    for index, each in enumerate(results):
        if each.get("adminAccess"):
            return f"status.allocation.devices.results[{index}].adminAccess"
    return ""


class ResourceClaimTemplates(_InNamespaces):
    async def problems(self, new: Obj, old: Obj | None, write: Write) -> ErrorList:
        if old is not None:  # its spec never changes
            return ErrorList()
        devices = ((new.get("spec") or {}).get("spec") or {}).get("devices") or {}
        return await self._admin(new["metadata"]["namespace"], _asks_for_admin(devices.get("requests") or []))


class ResourceClaims(_InNamespaces):
    def prepare_for_status_update(self, new: Obj, old: Obj) -> None:
        """What drivers told of a device goes with its allocation."""
        super().prepare_for_status_update(new, old)
        had, has = ({device_id(each) for each in _results(obj)} for obj in (old, new))
        devices = new.get("status", {}).get("devices")
        if devices and had - has:
            kept = [each for each in devices if device_id(each) not in had - has]
            new["status"] = (
                {**new["status"], "devices": kept}
                if kept
                else {name: value for name, value in new["status"].items() if name != "devices"}
            )

    async def problems(self, new: Obj, old: Obj | None, write: Write) -> ErrorList:
        namespace = new["metadata"]["namespace"]
        if old is None:
            devices = (new.get("spec") or {}).get("devices") or {}
            return await self._admin(namespace, _asks_for_admin(devices.get("requests") or []))
        if write.subresource != "status":
            return ErrorList()
        had = _gives_admin(_results(old))
        errors = await self._admin(namespace, "" if had else _gives_admin(_results(new)))
        await self._may_bind(errors, new, old, write)
        await self._may_tell(errors, new, old, write)
        return errors

    async def _may_bind(self, errors: ErrorList, new: Obj, old: Obj, write: Write) -> None:
        statuses = new.get("status") or {}, old.get("status") or {}
        if all(_same(*(each.get(name) for each in statuses)) for name in ("allocation", "reservedFor")):
            return
        verb = write.options.verb
        if why := await self._refused(write, verb, "binding", "", ""):
            asked = f'resource="resourceclaims/binding", verb="{verb}"'
            said = f"changing status.allocation or status.reservedFor requires {asked} permission: {why}"
            errors.forbidden("status.allocation", said)

    async def _may_tell(self, errors: ErrorList, new: Obj, old: Obj, write: Write) -> None:
        allocation = (new.get("status") or {}).get("allocation")
        if allocation is None:  # what was told goes with it
            return
        verbs = [f"arbitrary-node:{write.options.verb}"]
        if _on_node(write.options.user, _node_of(allocation)):
            verbs.insert(0, f"associated-node:{write.options.verb}")
        for driver in _changed_drivers(new, old):
            refusals = []
            for verb in verbs:
                refusals.append(await self._refused(write, verb, "driver", new["metadata"]["namespace"], driver))
                if not refusals[-1]:
                    break
            else:
                asked = f'resource="resourceclaims/driver", verb="[{" ".join(verbs)}]"'
                errors.forbidden(
                    "status.devices", f"changing status.devices requires {asked} permission: {refusals[0]}"
                )

    async def _refused(self, write: Write, verb: str, subresource: str, namespace: str, name: str) -> str:
        """Why he may not; "" if he may."""
        of = write.resource
        asked = Attributes(
            write.options.user, verb, of.group, of.version, of.plural, subresource, namespace=namespace, name=name
        )
        decision, reason = await self.context.authorizer.authorize(asked)
        return "" if decision is Decision.ALLOW else forbidden(asked, reason).message


def _results(claim: Obj) -> list[Obj]:
    allocation = (claim.get("status") or {}).get("allocation") or {}
    return list((allocation.get("devices") or {}).get("results") or [])


def _same(new: object, old: object) -> bool:
    """Nothing, and an empty list, are one."""
    return (new or None) == (old or None) if isinstance(new or old, list) else new == old


def _changed_drivers(new: Obj, old: Obj) -> list[str]:
    """Those of whose devices another thing is told than before."""
    after, before = (
        {device_id(each): each for each in (obj.get("status") or {}).get("devices") or []} for obj in (new, old)
    )
    changed = {key for key in {*after, *before} if after.get(key) != before.get(key)}
    return sorted({str(driver) for driver, *_ in changed})


def _node_of(allocation: Obj) -> str:
    """The one node where the devices are; "" where they are elsewhere too."""
    terms = (allocation.get("nodeSelector") or {}).get("nodeSelectorTerms") or []
    fields = (terms[0].get("matchFields") or []) if len(terms) == 1 else []
    if len(fields) != 1 or terms[0].get("matchExpressions"):
        return ""
    values = fields[0].get("values") or []
    named = (fields[0].get("key"), fields[0].get("operator")) == ("metadata.name", "In") and len(values) == 1
    return str(values[0]) if named else ""


def _on_node(user: UserInfo, node: str) -> bool:
    """Whether it is a service account whose pod is there."""
    at = user.extra.get(NODE_NAME) or ()
    parts = user.name.removeprefix("system:serviceaccount:").split(":")
    account = user.name.startswith("system:serviceaccount:") and len(parts) == 2 and all(parts)
    return bool(node) and account and list(at) == [node] and not names.dns1123_subdomain(node)


# --- what bears taints ------------------------------------------------------------------------------------------------


class ResourceSlices(Strategy):
    def __init__(self, resource: Resource) -> None:
        super().__init__(resource)
        self.counts_generation = True

    def prepare_for_create(self, obj: Obj, write: Write) -> None:
        _date(obj, write)
        super().prepare_for_create(obj, write)

    def prepare_for_update(self, new: Obj, old: Obj, write: Write) -> None:
        _date(new, write)
        super().prepare_for_update(new, old, write)


def _date(found: Obj, write: Write) -> None:
    """A taint knows since when it is there."""
    for device in (found.get("spec") or {}).get("devices") or []:
        for taint in device.get("taints") or []:
            taint.setdefault("timeAdded", rfc3339(write.now))
