"""An answer without what two servers cannot have in common: what is made up anew, and what only one of them adds.

Every mask is named here with its reason; all else is compared to the letter.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any

from .servers import Answer

UIDS = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
"""The first that an answer names is UID1, the next other one UID2."""
MASKS: tuple[tuple[re.Pattern[str], str], ...] = (
    # What a server writes is of now; what a case writes is of 2026-01-01 at midnight, and stays.
    (re.compile(r"2(?:0[2-9]|1\d)\d-(?!01-01T00)\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( \+0000 UTC|Z)"), "TIME"),
    (re.compile(r"kube-api-access-[a-z0-9]{5}"), "kube-api-access-x"),
    # Addresses and ports out of the pools, at random; those of the cases stay.
    (re.compile(r"10\.96\.(?!77\.77)\d+\.\d+"), "10.96.x.x"),
    (re.compile(r'(odePort\\?": ?)(?!31111|31112)3[0-2]\d{3}\b'), r"\g<1>0"),
    (re.compile(r"(\b8\d:)3[0-2]\d{3}(/TCP)"), r"\g<1>0\g<2>"),
    # The rest of a message that shows a difference between two of Go's own structures, field by field.
    (re.compile(r"\\n(@@|  )(?:[^\"\\]|\\.)*"), "DIFF"),
    # Pointers, as Go's %v prints them.
    (re.compile(r"0xc[0-9a-f]{9}"), "POINTER"),
    # A version that etcd gave.
    (re.compile(r'(resourceVersion\\*": ?\\*")\d+'), r"\1VERSION"),
    (re.compile(r"(Too large resource version: \d+, current: )\d+"), r"\1VERSION"),
    (re.compile(r"(ResourceVersion in (?:record \(|object meta: ))\d+"), r"\1VERSION"),
    # Which certificate the client showed.
    (re.compile(r"X509SHA256=[0-9a-f]{64}"), "X509SHA256=x"),
    # The server's own address.
    (re.compile(r"192\.0\.2\.1:\d+"), "ADDRESS"),
)
DISTRIBUTION = ', {"configMap": {"items": [{"key": "service-ca.crt", "path": "service-ca.crt"}], "name": "openshift-service-ca.crt"}}'
OF_A_DISTRIBUTION = {"nonResourceURLs": ["/.well-known", "/.well-known/*"], "verbs": ["get"]}
"""What a build of a distribution adds to each pod, and to what everybody may."""
OWN_WARNING = re.compile("is stored, but|chooses no devices here yet")
"""What only ours says: nobody looks after this kind."""
MADE_UP = "resourceVersion"
TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]+\.(eyJ[A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+")
"""A service account's token: what it claims is compared, who signed it is not."""
FAIRNESS = "api-priority-and-fairness-config-"
"""A controller inside the real server, which tells of each FlowSchema and level that it is there. Who wrote in which
second, after which the entries are ordered, is left out too."""
AGE = re.compile(r"\d+m?s")


def comparable(answer: Answer) -> Any:
    """Without uids, times and versions; causes in the order of their texts (Go walks its maps in any order)."""
    text = TOKEN.sub(_claims, json.dumps(answer.body, sort_keys=True).replace(DISTRIBUTION, ""))
    known: dict[str, str] = {}
    text = UIDS.sub(lambda found: known.setdefault(found[0], f"UID{len(known) + 1}"), text)
    for pattern, instead in MASKS:
        text = pattern.sub(instead, text)
    body = json.loads(text)
    if isinstance(body, dict) and body.get("kind") == "Status":
        _status(body)
    elif isinstance(body, dict) and body.get("kind") == "Table":
        _table(body)
    elif isinstance(body, dict) and isinstance(body.get("metadata"), dict):
        body = _object(body)
    told = sorted(each for each in answer.warnings if not OWN_WARNING.search(each))
    return {"code": answer.code, "body": body, "warnings": told, "headers": dict(answer.headers)}


def _claims(token: re.Match[str]) -> str:
    claims = json.loads(base64.urlsafe_b64decode(token[1] + "=" * (-len(token[1]) % 4)))
    begins = claims.pop("nbf", 0)
    for name in ("iat", "exp"):
        claims[name] = claims.get(name, 0) - begins
    if "warnafter" in claims.get("kubernetes.io", {}):
        claims["kubernetes.io"]["warnafter"] -= begins
    return json.dumps(json.dumps(claims, sort_keys=True))[1:-1]


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


PATCHED = re.compile(r'^Invalid value: ("(?:[^"\\]|\\.)*"): ')


def _of_patch(text: str) -> str:
    """A patched object, shown as a text: its fields by name, for where a default stands among them is of the server."""
    found = PATCHED.match(text)
    try:
        value = json.loads(json.loads(found[1])) if found else None
    except ValueError:
        return text
    return f"{json.dumps(value, sort_keys=True)}{text[found.end() :]}" if found else text


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
            shown = _of_patch if each.get("field") == "patch" else _message
            each["message"] = shown(each.get("message", ""))
        causes.sort(key=lambda c: (c.get("field", ""), c.get("reason", ""), c.get("message", "")))
        if body.get("reason") == "Invalid":  # the same texts again, in their accidental order
            body["message"] = body.get("message", "").partition(" is invalid")[0]


def _object(body: dict[str, Any]) -> dict[str, Any]:
    body["metadata"].pop(MADE_UP, None)
    if body.get("kind") == "SelfSubjectRulesReview":  # in the order of bindings in a map
        for rules in ("resourceRules", "nonResourceRules"):
            kept = [each for each in body.get("status", {}).get(rules) or () if each != OF_A_DISTRIBUTION]
            body.setdefault("status", {})[rules] = sorted(kept, key=lambda each: json.dumps(each, sort_keys=True))
    entries = body["metadata"].get("managedFields")
    if isinstance(entries, list) and all(isinstance(each, dict) for each in entries):
        others = [each for each in entries if not str(each.get("manager")).startswith(FAIRNESS)]
        for each in others:
            each.pop("time", None)
        body["metadata"]["managedFields"] = sorted(others, key=lambda each: json.dumps(each, sort_keys=True))
        if not others:
            del body["metadata"]["managedFields"]
    return body


def _table(body: dict[str, Any]) -> None:
    body["metadata"].pop(MADE_UP, None)
    for row in body.get("rows") or []:
        row["cells"] = ["AGE" if isinstance(each, str) and AGE.fullmatch(each) else each for each in row["cells"]]
        if isinstance(row.get("object"), dict):
            row["object"] = _object(row["object"])
