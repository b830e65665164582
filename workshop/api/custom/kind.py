"""One version of a definition, as the API server uses it: reads a body, fills it in, judges it, shows it.

    body ──decode──> object ──filled──> with defaults ──validate──> what is wrong with it

Upstream: apiextensions-apiserver/pkg/apiserver/customresource_handler.go (schemaCoercingDecoder,
unstructuredDefaulter), pkg/registry/customresource/{strategy,validator}.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from workshop.api import decode, errors, names
from workshop.api.conditions import is_true
from workshop.api.custom import jsonpath, lists, schema_checks, structural, values
from workshop.api.meta import Obj, copy
from workshop.api.patch import typed
from workshop.api.patch.typed import Node
from workshop.api.reading import Doubled
from workshop.api.schema import load
from workshop.api.self_reading import word
from workshop.api.validation import metadata
from workshop.api.validation.field import ErrorList, FieldError

if TYPE_CHECKING:
    from workshop.api.custom.rules import Place

BLOCKING = {"NotSupported", "Required", "TooLong", "TooMany", "TypeInvalid"}
"""After errors of these sorts rules are not run: they would stumble over the same fields."""
UNCHECKED = (
    "some validation rules were not checked because the object was invalid; correct the existing errors to complete "
    "validation"
)
MOST_REPLICAS = (1 << 31) - 1
_FINALIZERS = ("orphan", "foregroundDeletion", "kubernetes")


class CustomKind:
    """Equal to another one that was made of the same definition in the same generation and state."""

    def __init__(self, crd: Obj, version: Obj) -> None:
        self.crd, self.version = crd, version
        spec, meta = crd["spec"], crd["metadata"]
        self.group, self.name, self.kind = spec["group"], version["name"], spec["names"]["kind"]
        self.api_version = f"{self.group}/{self.name}"
        self.namespaced = spec["scope"] == "Namespaced"
        self.schema: Obj = (version.get("schema") or {}).get("openAPIV3Schema") or {}
        if spec.get("preserveUnknownFields"):
            self.schema = {**self.schema, structural.PRESERVE: True}
        self.root = structural.as_root(self.schema)
        doors = version.get("subresources") or {}
        self.has_status = doors.get("status") is not None
        self.scale: Obj | None = doors.get("scale")
        self.selectable = tuple(f["jsonPath"].removeprefix(".") for f in version.get("selectableFields") or ())
        self.columns: list[Obj] = version.get("additionalPrinterColumns") or []
        self.webhook: Obj | None = (spec.get("conversion") or {}).get("webhook")
        self.terminating = is_true(crd, "Terminating")
        self._identity = (meta.get("uid"), meta.get("generation"), self.name, _state(crd))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CustomKind) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @cached_property
    def node(self) -> Node:
        """What server-side apply asks of the type."""
        of = load("meta.v1", "ObjectMeta")
        assert of is not None
        return typed.of_custom(self.schema, typed.of_schema(of))

    @cached_property
    def has_rules(self) -> bool:
        return schema_checks.has_rules(self.schema)

    @cached_property
    def rules(self) -> Place:
        """The rules of its schema, compiled by the first object that they judge."""
        from workshop.api.custom import rules  # CEL is loaded by who needs it

        return rules.place(self.schema, root=True)

    @property
    def deprecation(self) -> str:
        """What each request for a deprecated version is told; "" for others."""
        if not self.version.get("deprecated"):
            return ""
        return str(self.version.get("deprecationWarning") or f"{self.api_version} {self.kind} is deprecated")

    # --- reading

    def decode(
        self, value: Any, field_validation: str, text: str = "", twice: Sequence[str] = ()
    ) -> tuple[Obj, list[str]]:
        """A body that is parsed already as an object of this kind, and warnings. `text` is the body as it was sent,
        `twice` tells of keys that stood twice in YAML.

        Raises ApiError 400."""
        if not isinstance(value, dict):
            go = r'struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }'
            what = word(value)
            why = (
                f"couldn't get version/kind; json parse error: json: cannot unmarshal {what} into Go value of type {go}"
            )
            raise self.unrecognized(why, text)
        if not value.get("kind") or not isinstance(value["kind"], str):
            raise self.unrecognized(f"Object 'Kind' is missing in '{text}'", text)
        given = value.get("apiVersion") or ""
        if given != self.api_version:
            told = f"the API version in the data ({given}) does not match the expected API version ({self.api_version})"
            raise errors.bad_request(told)
        complaints = doubled(value)
        obj = plain(value)
        unknown = self._coerce(obj)
        complaints += [f'unknown field "{path}"' for path in unknown]
        if (complaints or twice) and field_validation == "Strict":
            lead = ["yaml: unmarshal errors:" + "".join(f"\n  {each}" for each in twice)] if twice else []
            said = "strict decoding error: " + ", ".join([*lead, *complaints])
            raise structural.bad_request(self.api_version, self.kind, said)
        return obj, [*twice, *complaints] if field_validation == "Warn" else []

    def unrecognized(self, why: str, text: str) -> errors.ApiError:
        lead = f"the object provided is unrecognized (must be of type {self.kind})"
        return errors.bad_request(f"{lead}: {why} ({decode.summary(text)})")

    def _coerce(self, obj: Obj) -> list[str]:
        try:
            unknown = structural.read_metadata(obj, self.root)
        except structural.Malformed as error:
            raise structural.bad_request(self.api_version, self.kind, str(error)) from None
        return unknown + structural.prune(obj, self.root)

    def taken(self, obj: Obj) -> Obj:
        """An object out of the store, or out of a conversion, in this version: pruned and defaulted by its schema."""
        structural.read_metadata(obj, self.root, lenient=True)
        structural.prune(obj, self.root)
        structural.drop_nulls(obj, self.root)
        structural.default(obj, self.root)
        return obj

    def filled(self, obj: Obj) -> Obj:
        """A copy with defaults."""
        made = copy(obj)
        structural.drop_nulls(made, self.root)
        structural.default(made, self.root)
        return made

    # --- judging

    def validate(self, obj: Obj) -> ErrorList:
        """Everything that is wrong with a new object but its metadata."""
        return self._judged(obj, values.MISSING, values.check(obj, self._checked))

    def validate_update(self, new: Obj, old: Obj, subresource: str = "") -> ErrorList:
        if subresource == "status":
            status = (self.schema.get("properties") or {}).get("status")
            found = ErrorList()
            if "status" in new and status is not None:
                found = values.check(new["status"], status, "status", old.get("status", values.MISSING))
        else:
            found = values.check(new, self._checked, "", old)
        return self._judged(new, old, found, subresource)

    @cached_property
    def _checked(self) -> Obj:
        return {key: value for key, value in self.schema.items() if key != structural.EMBEDDED}

    def _judged(self, obj: Obj, old: Any, found: ErrorList, subresource: str = "") -> ErrorList:
        if wrong := self._type_meta(obj):
            return wrong
        if self.scale is not None:
            self._check_scale(found, obj, subresource)
        embedded_metadata(found, obj, self.schema)
        before = ErrorList()
        if old is not values.MISSING:
            lists.check(before, "", self.schema, old)
        if not before:
            lists.check(found, "", self.schema, obj)
        if self.has_rules:
            if any(error.reason.removeprefix("FieldValue") in BLOCKING for error in found):
                found.append(FieldError(values.NOWHERE, "FieldValueInvalid", f"Invalid value: null: {UNCHECKED}"))
            else:
                from workshop.api.custom import rules  # CEL is loaded by who needs it

                rules.check(found, self, obj, None if old is values.MISSING else old)
        return found

    def _type_meta(self, obj: Obj) -> ErrorList:
        wrong = ErrorList()
        if obj.get("kind") != self.kind:
            wrong.invalid("kind", obj.get("kind", ""), f"must be {self.kind}")
        if obj.get("apiVersion") != self.api_version:
            wrong.invalid("apiVersion", obj.get("apiVersion", ""), f"must be {self.api_version}")
        return wrong

    def _check_scale(self, found: ErrorList, obj: Obj, subresource: str) -> None:
        assert self.scale is not None
        paths = [self.scale["statusReplicasPath"]]
        if subresource != "status":
            paths.insert(0, self.scale["specReplicasPath"])
        for path in paths:
            count, wrong = nested(obj, path, int)
            if wrong:
                found.invalid(path, 0, wrong)
            elif count is not None and count < 0:
                found.invalid(path, count, "should be a non-negative integer")
            elif count is not None and count > MOST_REPLICAS:
                found.invalid(path, count, f"should be less than or equal to {MOST_REPLICAS}")
        if path := self.scale.get("labelSelectorPath"):
            _, wrong = nested(obj, path, str)
            if wrong:
                found.invalid(path, "", wrong)

    def finalizer_warnings(self, new: Obj, old: Obj | None) -> list[str]:
        """Names of finalizers that may meet others' are told, not refused."""
        before = {*((old or {}).get("metadata", {}).get("finalizers") or ())}
        told = []
        for each in sorted({*(new["metadata"].get("finalizers") or ())} - before):
            lead = f"metadata.finalizers: {errors.quote(each)}: "
            told += [lead + sentence for sentence in names.qualified_name(each)]
            if "/" not in each and each not in _FINALIZERS:
                path = "including a path (/) " if "." in each else ""
                wish = f"prefer a domain-qualified finalizer name {path}to avoid accidental conflicts with other"
                told.append(f"{lead}{wish} finalizer writers")
        return told

    # --- showing

    def fields_of(self, obj: Obj) -> dict[str, str]:
        """The selectable fields that the definition names."""
        found = {}
        for path in self.selectable:
            at = jsonpath.find(obj, "." + path)
            found[path] = "" if not at or at[0] is None else _go_text(at[0])
        return found


def _state(crd: Obj) -> tuple[Any, ...]:
    status = crd.get("status") or {}
    accepted = status.get("acceptedNames") or {}
    told = tuple((c["type"], c["status"]) for c in status.get("conditions") or ())
    return (told, *(str(accepted.get(name)) for name in ("plural", "singular", "kind", "listKind", "shortNames",
                                                         "categories")))  # fmt: skip


def _go_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def nested(obj: Any, path: str, wanted: type) -> tuple[Any, str]:
    """(the value at a dotted path or None, what is wrong with it in the words of Go's unstructured helpers)."""
    found: Any = obj
    for name in path.removeprefix(".").split("."):
        if not isinstance(found, dict):
            return None, wrong_type(path, found, "map[string]interface{}")
        if name not in found:
            return None, ""
        found = found[name]
    if isinstance(found, bool) or not isinstance(found, wanted):
        expected = "int64" if wanted is int else "string"
        return None, wrong_type(path, found, expected)
    return found, ""


def wrong_type(path: str, value: Any, expected: str) -> str:
    return f"{path} accessor error: {go_value(value)} is of the type {go_type(value)}, expected {expected}"


def go_value(value: Any) -> str:
    match value:
        case None:
            return "<nil>"
        case bool():
            return str(value).lower()
        case float():
            return values.go_number(value)
        case dict():
            return "map[" + " ".join(f"{key}:{go_value(value[key])}" for key in sorted(value)) + "]"
        case list():
            return "[" + " ".join(map(go_value, value)) + "]"
    return str(value)


def go_type(value: Any) -> str:
    names = {"null": "<nil>", "boolean": "bool", "integer": "int64", "number": "float64", "array": "[]interface {}"}
    kind = values.type_of(value)
    return names.get(kind, "map[string]interface {}" if kind == "object" else kind)


def doubled(value: Any, path: str = "") -> list[str]:
    """`duplicate field "spec.size"` for names that stand twice in one object of the body."""
    found: list[str] = []
    if isinstance(value, dict):
        if isinstance(value, Doubled):
            seen: set[str] = set()
            for name, _ in value.pairs:
                told = f'duplicate field "{structural.join(path, name)}"'
                if name in seen and told not in found:
                    found.append(told)
                seen.add(name)
        for name, each in value.items():
            found += doubled(each, structural.join(path, name))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            found += doubled(each, f"{path}[{index}]")
    return found


def plain(value: Any) -> Any:
    """A copy in ordinary dicts."""
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list) else value


def embedded_metadata(found: ErrorList, value: Any, schema: structural.Schema | None, path: str = "") -> None:
    """Objects inside an object: each must say what it is, under a name that can be one."""
    if schema is None:
        return
    if isinstance(value, dict):
        if path and schema.get(structural.EMBEDDED):
            for name in ("apiVersion", "kind"):
                if not value.get(name):
                    found.required(f"{path}.{name}", "must not be empty" if value.get(name) == "" else "")
            _embedded(found, value, path)
        for name, each in value.items():
            known = structural.child(schema, name)
            if known:
                embedded_metadata(found, each, known, structural.join(path, name))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            embedded_metadata(found, each, structural.items(schema), f"{path}[{index}]")


def _embedded(found: ErrorList, value: Obj, path: str) -> None:
    """Of embedded metadata only what is given is judged."""
    meta = value.get("metadata") or {}
    if name := meta.get("name"):
        found.each(f"{path}.metadata.name", name, names.path_segment(name))
    metadata.labels(found, f"{path}.metadata.labels", meta.get("labels"))
