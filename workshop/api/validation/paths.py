"""Paths within volumes, modes of files, and names that stand in the path of a URL.

Upstream: core/validation (ValidateLocalNonReservedPath), v1.36.2."""

from __future__ import annotations

from workshop.api import names
from workshop.api.meta import Obj
from workshop.api.validation.field import ErrorList

FILE_MODE = "must be a number between 0 and 0777 (octal), both inclusive"


def no_backsteps(errors: ErrorList, path: str, value: str) -> None:
    if ".." in value.split("/"):
        errors.invalid(path, value, "must not contain '..'")


def descending(errors: ErrorList, path: str, value: str) -> None:
    if value.startswith("/"):
        errors.invalid(path, value, "must be a relative path")
    no_backsteps(errors, path, value)


def not_reserved(errors: ErrorList, path: str, value: str) -> None:
    """kubelet keeps its own files under names that begin with two dots."""
    descending(errors, path, value)
    if value.startswith("..") and not value.startswith("../"):
        errors.invalid(path, value, "must not start with '..'")


def file_mode(errors: ErrorList, path: str, mode: int | None) -> None:
    if mode is not None and not 0 <= mode <= 0o777:
        errors.invalid(path, mode, FILE_MODE)


def key_to_path(errors: ErrorList, at: str, item: Obj) -> None:
    errors.needed(item, at, "key", "path")
    not_reserved(errors, f"{at}.path", item.get("path", ""))
    file_mode(errors, f"{at}.mode", item.get("mode"))


def segments(errors: ErrorList, at: str, found: Obj, *fields: str) -> None:
    """Names that have to be there and to fit into the path of a URL."""
    for name in fields:
        if not found.get(name):
            errors.required(f"{at}.{name}")
        else:
            errors.each(f"{at}.{name}", found[name], names.path_segment(found[name]))
