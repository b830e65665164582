"""Where a webhook is, a url or a Service, and in which versions of a review it is asked.

Upstream: apiserver/pkg/util/webhook/validation.go, and the twin checks in admissionregistration's and apiextensions'
validation.go.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from workshop.api import names
from workshop.api.meta import Obj
from workshop.api.validation.field import ErrorList

REVIEWS = ("v1", "v1beta1")
"""Versions of reviews that the API server can ask in."""
_FORM = "; desired format: https://host[/path]"


def client_config(errors: ErrorList, path: str, config: Obj) -> None:
    """Exactly one of url and service, and that a good one."""
    if (config.get("url") is None) == (config.get("service") is None):
        errors.required(path, "exactly one of url or service is required")
    elif config.get("url") is not None:
        url(errors, f"{path}.url", config["url"])
    else:
        service(errors, f"{path}.service", config["service"])


def url(errors: ErrorList, path: str, value: str) -> None:
    try:
        parts = urlsplit(value)
    except ValueError as error:
        errors.required(path, f"url must be a valid URL: {error}{_FORM}")
        return
    if parts.scheme != "https":
        errors.invalid(path, parts.scheme, f"'https' is the only allowed URL scheme{_FORM}")
    if not parts.netloc:
        errors.invalid(path, "", f"host must be specified{_FORM}")
    if "@" in parts.netloc:
        errors.invalid(path, parts.netloc.rpartition("@")[0], "user information is not permitted in the URL")
    if parts.fragment:
        errors.invalid(path, parts.fragment, "fragments are not permitted in the URL")
    if parts.query:
        errors.invalid(path, parts.query, "query parameters are not permitted in the URL")


def service(errors: ErrorList, path: str, value: Obj) -> None:
    for name in ("name", "namespace"):
        if not value.get(name):
            errors.required(f"{path}.{name}")
    port = value.get("port")
    if port is not None and not 1 <= port <= 65535:
        errors.invalid(f"{path}.port", port, "port is not valid: must be between 1 and 65535, inclusive")
    if value.get("path") is not None:
        _path(errors, f"{path}.path", value["path"])


def _path(errors: ErrorList, path: str, value: str) -> None:
    if value in ("/", ""):
        return
    if value == "//":
        errors.invalid(path, value, "segment[0] may not be empty")
        return
    if not value.startswith("/"):
        errors.invalid(path, value, "must start with a '/'")
    for index, step in enumerate(re.sub("/$", "", value[1:]).split("/")):
        if not step:
            errors.invalid(path, value, f"segment[{index}] may not be empty")
        else:
            for failure in names.dns1123_subdomain(step):
                errors.invalid(path, value, f"segment[{index}]: {failure}")


def review_versions(errors: ErrorList, path: str, found: list[str], missing: str = "") -> None:
    """What a webhook takes, one of `REVIEWS` among it; `missing` is said where there is nothing."""
    if not found:
        errors.required(path, missing)
        return
    for index, version in enumerate(found):
        if version in found[:index]:
            errors.invalid(f"{path}[{index}]", version, "duplicate version")
        else:
            errors.each(f"{path}[{index}]", version, names.dns1035_label(version))
    if not set(found) & set(REVIEWS):
        errors.invalid(path, found, f"must include at least one of {', '.join(REVIEWS)}")
