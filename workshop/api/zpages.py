"""`/statusz` and `/flagz`: what a component says of itself, as text for people or as an object for programs.

    curl -k …/flagz                                                                          text
    curl -k -H 'Accept: application/json;g=config.k8s.io;v=v1beta1;as=Flagz' …/flagz         an object

Pure. Upstream: `apiserver/pkg/server/{flagz,statusz}`, KEP-4827 and KEP-4828.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

from workshop.api import codec, errors
from workshop.clock import rfc3339

WARNING = (
    "Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees and is "
    "for debugging purposes only."
)
_GROUP, _OLD = "config.k8s.io", "v1alpha1"
_VERSIONS = (_OLD, "v1beta1")
_OBJECTS = ("application/json", "application/yaml")
_TEXT = "text/plain"


@dataclass(frozen=True)
class Page:
    """An answer of 200. `warning` is the header's value, "" for none."""

    content_type: str
    body: bytes
    warning: str = ""


def flagz(component: str, flags: Mapping[str, str], accept: str) -> Page:
    """All flags and their values, as pflag writes them. Raises ApiError (406)."""
    lines = "".join(f"{name}={value}\n" for name, value in sorted(flags.items()))
    return _answer("Flagz", component, accept, lines, {"flags": dict(sorted(flags.items()))})


def statusz(component: str, version: str, started: float, now: float, paths: Iterable[str], accept: str) -> Page:
    """`version` as `1.36.2`; `started` and `now` in seconds since 1970; `paths` that the component answers.

    Raises ApiError (406)."""
    up = max(0, int(now - started))
    folders = sorted({"/" + path.split("/")[1] for path in paths if path.split("/")[1:2] != [""]} - _NO_DEBUGGING)
    python, emulated = f"python{platform.python_version()}", ".".join(version.split(".")[:2])
    text = {
        "Started": datetime.fromtimestamp(started, UTC).strftime("%a %b %e %H:%M:%S UTC %Y"),
        "Up": f"{up // 3600} hr {up // 60 % 60:02} min {up % 60:02} sec",
        "Go version": python,
        "Binary version": version,
        "Emulation version": emulated,
        "Paths": " ".join(folders),
    }
    fields = {
        "startTime": rfc3339(started),
        "uptimeSeconds": up,
        "goVersion": python,
        "binaryVersion": version,
        "emulationVersion": emulated,
        "paths": folders,
    }
    lines = "".join(f"{name}: {value}\n" for name, value in text.items())
    return _answer("Statusz", component, accept, "\n" + lines, fields)


_NO_DEBUGGING = {"/apis", "/api", "/openid", "/openapi", "/.well-known"}


def _answer(kind: str, component: str, accept: str, text: str, fields: Mapping[str, Any]) -> Page:
    for wanted, parameters in _clauses(accept or _TEXT):
        named = (parameters.get("g"), parameters.get("as")) == (_GROUP, kind) and parameters.get("v") in _VERSIONS
        media_type = next((known for known in _OBJECTS if named and fnmatchcase(known, wanted)), "")
        if media_type:
            version = parameters["v"]
            obj = {"kind": kind, "apiVersion": f"{_GROUP}/{version}", "metadata": {"name": component}, **fields}
            old = f"This version of the {kind.lower()} endpoint is deprecated. Please use a newer version."
            content_type = f"{media_type};g={_GROUP};v={version};as={kind}"
            return Page(content_type, _encoded(media_type, obj), f'299 - "{old}"' if version == _OLD else "")
        if "as" not in parameters and fnmatchcase(_TEXT, wanted):
            head = f"\n{component} {kind.lower()}\n{WARNING}\n"
            return Page(f"{_TEXT}; charset=utf-8", (head + text).encode())
    raise errors.not_acceptable([*_OBJECTS, _TEXT])


def _encoded(media_type: str, obj: Mapping[str, Any]) -> bytes:
    if media_type == "application/json":
        return codec.dumps(obj)
    import yaml

    return yaml.safe_dump(dict(obj), default_flow_style=False).encode()


def _clauses(accept: str) -> Iterable[tuple[str, dict[str, str]]]:
    for clause in accept.split(","):
        kind, *rest = (part.strip() for part in clause.split(";"))
        yield kind.lower(), {name.strip(): value.strip() for name, _, value in (part.partition("=") for part in rest)}
