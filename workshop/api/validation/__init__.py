"""Validation: what the API server refuses with 422, with field paths and upstream's words.

field.py       ErrorList: errors with their paths
metadata.py    names, labels, annotations, owners, finalizers, selectors
table.py       which rule holds for which kind, on creation, on update and at each subresource
amounts.py addresses.py paths.py signers.py schedules.py    what many kinds have in them
pods.py containers.py volumes.py projected.py probes.py security.py scheduling.py pod_*.py    a pod, part by part
pod_updates.py job_updates.py    what may change of them
admission.py   what webhooks and policies of admission share; webhooks.py where a webhook is
device_*.py    what `resource.k8s.io` says of devices
ingresses.py workloads.py jobs.py …    one file a family of kinds

Objects are expected to be decoded and defaulted. The rules are those of upstream's hand-written and declarative
validation of 1.36.2; `python -m tests.differential` holds them against a real server. Custom resources and their
definitions are judged in `workshop.api.custom`.
"""

from __future__ import annotations

from workshop.api.meta import Obj
from workshop.api.resources import Resource
from workshop.api.validation import metadata, table
from workshop.api.validation.field import ErrorList, FieldError

__all__ = ["ErrorList", "FieldError", "scale", "validate", "validate_update"]

CRDS = "customresourcedefinitions.apiextensions.k8s.io"


def _definition(errors: ErrorList, new: Obj, old: Obj | None, subresource: str) -> None:
    from workshop.api.custom import checks  # it stands on this package's fields and names

    if subresource:
        checks.status(errors, new)
        return
    if old is None:
        checks.new_name(errors, new)
    checks.definition(errors, new, old)


def validate(resource: Resource, obj: Obj, allow_loopback: bool = False) -> ErrorList:
    """Everything that is wrong with a new object. `allow_loopback` relaxes the one rule that mode plain breaks."""
    errors = ErrorList()
    errors.allow_loopback = allow_loopback
    kind = resource.group_resource
    if kind not in table.OWN_METADATA:
        metadata.metadata(errors, resource, obj)
    if resource.definition is not None:
        return ErrorList(errors + resource.definition.validate(obj))
    if kind == CRDS:
        _definition(errors, obj, None, "")
        return errors
    table.rules(errors, resource, _with_spec(obj))
    if not errors:  # what is asked of every object, once its own kind has nothing to say
        metadata.common(errors, obj)
    return errors


def validate_update(
    resource: Resource, new: Obj, old: Obj, subresource: str = "", allow_loopback: bool = False
) -> ErrorList:
    """Everything that is wrong with `new` in the place of `old`. A subresource writes a part that has its own rules."""
    errors = ErrorList()
    errors.allow_loopback = allow_loopback
    if subresource == "binding":  # the server's own change
        return errors
    if resource.definition is not None:
        metadata.metadata_update(errors, new, old)
        return ErrorList(errors + resource.definition.validate_update(new, old, subresource))
    if resource.group_resource == CRDS:
        metadata.common(errors, new)
        metadata.metadata_update(errors, new, old)
        _definition(errors, new, old, subresource)
        return errors
    metadata.common(errors, new)
    metadata.metadata_update(errors, new, old)
    new, old = _with_spec(new), _with_spec(old)
    if subresource:
        table.at_subresource(errors, resource, new, old, subresource)
    else:
        table.on_update(errors, resource, new, old)
    return errors


def scale(obj: Obj) -> ErrorList:
    """What is wrong with a Scale, in whose form the number of replicas of any workload is written."""
    errors = ErrorList()
    metadata.of_scale(errors, obj)
    errors.not_negative(obj.get("spec") or {}, "spec", "replicas")
    return errors


def _with_spec(obj: Obj) -> Obj:
    return obj if obj.get("spec") is not None else {**obj, "spec": {}}
