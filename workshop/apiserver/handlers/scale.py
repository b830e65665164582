"""The scale subresource: the number of replicas of any workload, in one form (autoscaling/v1 Scale).

Upstream: pkg/registry/apps/*/storage/storage.go (`scaleUpdatedObjectInfo`).
"""

from __future__ import annotations

from typing import Any

from workshop.api import errors, labels, schema, validation
from workshop.api.meta import Obj
from workshop.api.patch import apply, managed_fields, scale_fields
from workshop.api.patch import request as patch_request
from workshop.api.patch.request import Patch
from workshop.api.resources import Resource
from workshop.apiserver.extensions import scale as custom_scale
from workshop.apiserver.registry.options import WriteOptions, write_options
from workshop.apiserver.registry.preconditions import check_number, check_uid
from workshop.apiserver.registry.reader import served_obj
from workshop.apiserver.server.http import Request, Response
from workshop.apiserver.server.negotiate import accepted

from . import forms, patches
from .resources import Resources, read_body

SCALES_OF_OLD = ("extensions/v1beta1", "apps/v1beta1", "apps/v1beta2")
SCALE = schema.for_kind("autoscaling/v1", "Scale")


class Scales:
    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    async def handle(self, request: Request, res: Resource) -> Response:
        info, form = request.info, accepted(request.header("accept"))
        if info.verb == "get":
            stored = await self._resources.reader.get(res, info.namespace, info.name, request.option("resourceVersion"))
            if res.definition is not None:
                custom_scale.check(res.definition, stored.obj)
            return forms.one(request, res, shown(res, served_obj(res, stored)), form, self._resources.clock.now())
        options = write_options(request)
        given = await self._given(request, options) if info.verb == "update" else None
        patch = None
        if given is None:
            patch = patch_request.read(
                request.header("content-type"), await request.body(),
                custom=res.custom, field_validation=options.field_validation,
            )  # fmt: skip
            if patch.kind == "apply":
                patch_request.check_applied(patch.body, "autoscaling/v1", "Scale", info.name)

        async def change(old: Obj | None) -> Obj:
            if old is None:
                raise errors.not_found(res, info.name)
            return self._changed(res, old, given, patch, options)

        written = await self._resources.writer.update(
            res, info.namespace, info.name, change, options, "scale", applying=True
        )
        return forms.one(request, res, shown(res, written.obj), form, self._resources.clock.now())

    async def _given(self, request: Request, options: WriteOptions) -> Obj:
        """The Scale of a PUT. Raises ApiError 400."""
        body, header, wanted = await request.body(), request.header("content-type"), request.info.name
        try:
            given, warnings = read_body(body, header, "autoscaling/v1", "Scale", options.field_validation)
        except errors.ApiError as error:
            for old in SCALES_OF_OLD:
                if f'no kind "Scale" is registered for version "{old}"' in error.message:  # it is, in upstream
                    said = f"the API version in the data ({old}) does not match the expected API version"
                    raise errors.bad_request(f"{said} (autoscaling/v1)") from None
            raise
        request.warnings.extend(warnings)
        name = given.get("metadata", {}).get("name")
        if not name:
            raise errors.bad_request(errors.unnamed(wanted))
        if name != wanted:
            raise errors.bad_request(f"the name of the object ({name}) does not match the name on the URL ({wanted})")
        namespace = request.info.namespace
        if given["metadata"].get("namespace", namespace) not in ("", namespace):
            raise errors.bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        return given

    def _changed(self, res: Resource, old: Obj, given: Obj | None, patch: Patch | None, options: WriteOptions) -> Obj:
        """The workload with the replicas of the written Scale, and with who manages them. Raises ApiError."""
        now, name, path = self._resources.clock.now(), old["metadata"]["name"], path_of(res)
        entries = old["metadata"].get("managedFields") or []
        before = managed_fields.with_entries(shown(res, old), scale_fields.to_scale(entries, path))
        new: Obj
        if patch is not None and patch.kind == "apply":
            new = apply.apply(before, patch.body, options.manager, options.force, SCALE, now, "scale")
            held = new["metadata"].get("managedFields") or []
            new = patches.read(patch, new, "autoscaling/v1", "Scale", options)
        else:
            new = _patched(patch, before, options) if patch is not None else given or {}
            held = managed_fields.track_update(before, new, options.manager, SCALE, now, "scale")
        replicas = new.get("spec", {}).get("replicas", 0)
        if problems := validation.scale(new):
            raise errors.invalid("Scale.autoscaling", name, problems.causes())
        version, uid = (new.get("metadata", {}).get(field) for field in ("resourceVersion", "uid"))
        check_uid(res, old, uid, options.dry_run)
        if version:
            check_number(version)
            if version != old["metadata"]["resourceVersion"]:
                raise errors.conflict(res, name)
        if res.definition is not None:
            scaled = custom_scale.scaled(res.definition, old, replicas)
        else:
            scaled = {**old, "spec": {**old["spec"], "replicas": replicas}}
        return managed_fields.with_entries(scaled, scale_fields.to_parent(entries, held, path, old["apiVersion"]))


def path_of(res: Resource) -> tuple[str, ...]:
    """Where the workload keeps its replicas."""
    if res.definition is None:
        return scale_fields.REPLICAS
    return custom_scale.path_of(res.definition)


def shown(res: Resource, obj: Obj) -> Obj:
    """A workload as a Scale."""
    return scale_of(obj) if res.definition is None else custom_scale.scale_of(res.definition, obj)


def scale_of(obj: Obj) -> Obj:
    """A workload as a Scale. A ReplicationController's selector is a plain map, the others' is a LabelSelector."""
    metadata, spec, status = obj["metadata"], obj.get("spec", {}), obj.get("status", {})
    selector: Any = spec.get("selector")
    if obj["kind"] == "ReplicationController":
        selector = {"matchLabels": selector or {}}
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {field: metadata[field] for field in kept if field in metadata},
        "spec": {"replicas": spec["replicas"]} if spec.get("replicas") else {},
        "status": {"replicas": status.get("replicas", 0), "selector": str(labels.from_selector(selector))},
    }


def _patched(patch: Patch, current: Obj, options: WriteOptions) -> Obj:
    return patches.read(patch, patch_request.change(patch, current, SCALE), "autoscaling/v1", "Scale", options)
