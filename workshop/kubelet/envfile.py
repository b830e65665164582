"""Files of variables that an init container leaves in a volume, for `valueFrom.fileKeyRef`. Pure.

A strict part of a shell's syntax: `NAME='value'`, in single quotes only, over several lines if need be, a comment
after it. Upstream: `pkg/kubelet/util/env/env_util.go`.
"""

from __future__ import annotations

WRONG = "invalid environment variable format"


def value(text: str, key: str) -> str:
    """The value of `key`, "" if it has none. Raises ValueError where the file is not such a one up to there.

    >>> value("A='1'  # one\\n B='two\\nlines'\\n", "B")
    'two\\nlines'
    """
    lines = iter(enumerate(text.splitlines(), 1))
    for number, raw in lines:
        line = raw.lstrip(" \t")
        if not line or line.startswith("#"):
            continue
        name, equals, rest = line.partition("=")
        if not equals:
            raise ValueError(f"{WRONG} at line {number}: missing '='")
        if not name.strip(" \t"):
            raise ValueError(f"{WRONG} at line {number}: empty variable name")
        if name != name.rstrip(" \t"):
            raise ValueError(f"{WRONG} at line {number}: whitespace before '=' is not allowed")
        if rest[:1] in (" ", "\t"):
            if name == key:
                return ""
            continue
        if not rest.startswith("'"):
            raise ValueError(f"{WRONG} at line {number}: value must be enclosed in single quotes")
        found, rest = [], rest[1:]
        while "'" not in rest:
            found.append(rest)
            number_and_line = next(lines, None)
            if number_and_line is None:
                raise ValueError(f"{WRONG} starting at line {number}: unclosed single quote")
            rest = number_and_line[1]
        last, _, after = rest.partition("'")
        if (after := after.lstrip(" \t")) and not after.startswith("#"):
            raise ValueError(f"{WRONG} at line {number + len(found)}: unexpected content after closing quote")
        if name == key:
            return "\n".join([*found, last])
    return ""
