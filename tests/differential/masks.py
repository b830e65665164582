"""An answer without what two servers cannot have in common: what is made up anew, and what only one of them adds.

Every mask is named here with its reason; all else is compared to the letter.
"""

from __future__ import annotations

import json
import re
from typing import Any

from .servers import Answer

MASKS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "UID"),
    # What a server writes is of now; what a case writes is of 2026-01-01 at midnight, and stays.
    (re.compile(r"20[2-9]\d-(?!01-01T00)\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( \+0000 UTC|Z)"), "TIME"),
    (re.compile(r"kube-api-access-[a-z0-9]{5}"), "kube-api-access-x"),
    # Addresses and ports out of the pools, at random; those of the cases stay.
    (re.compile(r"10\.96\.(?!77\.77)\d+\.\d+"), "10.96.x.x"),
    (re.compile(r'(odePort\\?": ?)(?!31111|31112)3[0-2]\d{3}\b'), r"\g<1>0"),
    # The rest of a message that shows a difference between two of Go's own structures, field by field.
    (re.compile(r"\\n(@@|  )(?:[^\"\\]|\\.)*"), "DIFF"),
    # Pointers, as Go's %v prints them.
    (re.compile(r"0xc[0-9a-f]{9}"), "POINTER"),
    # A version that etcd gave.
    (re.compile(r'(resourceVersion\\*": ?\\*")\d+'), r"\1VERSION"),
    (re.compile(r"(Too large resource version: \d+, current: )\d+"), r"\1VERSION"),
    (re.compile(r"(ResourceVersion in (?:record \(|object meta: ))\d+"), r"\1VERSION"),
    # The server's own address.
    (re.compile(r"192\.0\.2\.1:\d+"), "ADDRESS"),
)
DISTRIBUTION = ', {"configMap": {"name": "openshift-service-ca.crt", "items": [{"key": "service-ca.crt", "path": "service-ca.crt"}]}}'
"""What a build of a distribution adds to each pod."""
OWN_WARNING = re.compile("is stored, but|chooses no devices here yet")
"""What only ours says: nobody looks after this kind."""
MADE_UP = ("managedFields", "resourceVersion")


def comparable(answer: Answer) -> Any:
    """Without uids, times and versions; causes in the order of their texts (Go walks its maps in any order)."""
    text = json.dumps(answer.body).replace(DISTRIBUTION, "")
    for pattern, instead in MASKS:
        text = pattern.sub(instead, text)
    body = json.loads(text)
    if isinstance(body, dict) and body.get("kind") == "Status":
        _status(body)
    elif isinstance(body, dict) and isinstance(body.get("metadata"), dict):
        body = _object(body)
    told = sorted(each for each in answer.warnings if not OWN_WARNING.search(each))
    return {"code": answer.code, "body": body, "warnings": told}


VALUE = re.compile(r"^([A-Z][a-z]+ value: )(?=[{[])")


def _plain(value: Any) -> Any:
    """A value that a message shows: some show Go's internal type, whose fields have other names than the API's, stand
    on another level and are written even when they are empty. Names in small letters, only what is not empty."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if not isinstance(value, dict):
        return value
    made: dict[str, Any] = {}
    for name, inner in value.items():
        shown = _plain(inner)
        if name.lower() in ("metadata", "objectmeta") and isinstance(shown, dict):
            made |= shown
        elif shown not in (None, "", 0, [], {}) and name != "managedFields":
            made[_KUBERNETES.sub("x", name).replace("-", "").lower()] = shown
    if "schema" in made and made.keys() <= {"schema", "allows"}:  # apiextensions' unions
        return made["schema"]
    return dict(sorted(made.items()))


_KUBERNETES = re.compile("^x-kubernetes-")


def _message(text: str) -> str:
    found = VALUE.match(text)
    if found is None:
        return text
    try:
        value, end = json.JSONDecoder().raw_decode(text, found.end())
    except ValueError:
        return text
    return f"{found[1]}{json.dumps(_plain(value))}{text[end:]}"


def _status(body: dict[str, Any]) -> None:
    causes = body.get("details", {}).get("causes")
    if causes:
        for each in causes:
            each["message"] = _message(each.get("message", ""))
        causes.sort(key=lambda c: (c.get("field", ""), c.get("reason", ""), c.get("message", "")))
        if body.get("reason") == "Invalid":  # the same texts again, in their accidental order
            body.pop("message", None)


def _object(body: dict[str, Any]) -> dict[str, Any]:
    for name in MADE_UP:
        body["metadata"].pop(name, None)
    if str(body.get("kind")).endswith(("AccessReview", "RulesReview")):  # who may what is no matter of validation
        body.pop("status", None)
    if body.get("kind") == "TokenRequest" and isinstance(body.get("status"), dict):
        body["status"].pop("token", None)
    if body.get("kind") == "CertificateSigningRequest":  # who asks
        for name in ("username", "groups", "extra"):
            body["spec"].pop(name, None)
    return body
