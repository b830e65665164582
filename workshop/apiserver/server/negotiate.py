"""Content negotiation: which form of an answer a client asks for, and which form of body it sent.

Answers are JSON always. `Accept: application/json;as=Table;v=v1;g=meta.k8s.io` asks for a Table,
`as=PartialObjectMetadata` (or …List) for metadata only.
Upstream: apiserver/pkg/endpoints/handlers/{negotiation,response.go}.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from workshop.api import errors
from workshop.api.remembered import remembered

JSON = "application/json"
PROTOBUF = "application/vnd.kubernetes.protobuf"
YAML = "application/yaml"
_PARAMETER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+=([^\s;,\"]+|\"[^\"]*\")")
_JSON_RANGES = ("*/*", "application/*", JSON)


@dataclass(frozen=True, slots=True)
class Accepted:
    """`form` is "" for whole objects, else Table, PartialObjectMetadata or PartialObjectMetadataList."""

    form: str = ""
    content_type: str = JSON
    pretty: bool = False
    parameters: dict[str, str] = field(default_factory=dict)


def media_types(header: str) -> list[tuple[str, dict[str, str]]]:
    """The clauses of an Accept or Content-Type header in the client's order, parameters apart."""
    found = []
    for clause in header.split(","):
        kind, *rest = [part.strip() for part in clause.split(";")]
        if kind:
            found.append(
                (kind.lower(), {k.strip(): v.strip().strip('"') for k, _, v in (p.partition("=") for p in rest)})
            )
    return found


def readable(header: str) -> bool:
    """Does the client take JSON, or another form that upstream has and for which it gets JSON here?"""
    known = (*_JSON_RANGES, YAML, PROTOBUF)
    return not header or any(kind in known for kind, _ in media_types(header))


def no_representation(*kinds: str) -> errors.ApiError:
    """406 where the answer exists in these media types only."""
    text = f"406: Not Acceptable\n\nAvailable representations: {', '.join(kinds)}"
    return errors.failure(406, "NotAcceptable", text, {})


@remembered(256)
def accepted(header: str, table: bool = True, streams: bool = False) -> Accepted:
    """The first clause that we can serve; `table` where the answer has a Table's form, `streams` where it may be a
    watch. Raises ApiError 406."""
    if not header:
        return Accepted()
    clauses = media_types(header)
    for kind, parameters in clauses:
        form = parameters.get("as", "")
        if kind in _JSON_RANGES and form in ("", "Table", "PartialObjectMetadata", "PartialObjectMetadataList"):
            if (
                form
                and (parameters.get("g"), parameters.get("v"))
                not in (
                    ("meta.k8s.io", "v1"),
                    ("meta.k8s.io", "v1beta1"),
                )
            ) or (form == "Table" and not table):
                continue
            return Accepted(form, parameters=parameters)
    if not any(kind in _JSON_RANGES for kind, _ in clauses):
        streaming = [f"{kind};stream=watch" for kind in (JSON, PROTOBUF) if streams]
        raise no_representation(JSON, YAML, PROTOBUF, *streaming)
    raise errors.not_acceptable([JSON, YAML, PROTOBUF])


def routed(header: str) -> bool:
    """Whether a request with this Accept header reaches a handler at all."""
    return not header or any(kind in _JSON_RANGES for kind, _ in media_types(header))


@remembered(256)
def body_type(header: str, supported: tuple[str, ...] = (JSON, YAML, PROTOBUF)) -> str:
    """The media type of a body; JSON if none is named. Raises ApiError 415."""
    kind, *parameters = [part.strip() for part in header.split(";")] if header else [JSON]
    if kind.lower() not in supported or not all(_PARAMETER.fullmatch(each) for each in parameters if each):
        raise errors.unsupported_media_type(supported)
    return kind.lower()
