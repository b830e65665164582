"""What names may look like. Each function gives upstream's sentences about what is wrong with `value`; [] when it is
well formed.

Upstream: `apimachinery/pkg/util/validation/validation.go` and `apimachinery/pkg/api/validate/content`, v1.36.2. Where
the two word a sentence differently, the one that answers for API objects is used.

>>> dns1123_label("a.b")
['must not contain dots']
>>> qualified_name("example.com/")[0]
'name part must be non-empty'
"""

from __future__ import annotations

import re

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_DNS1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_WILDCARD = rf"\*\.{_SUBDOMAIN}"
_KEY = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE = f"({_KEY})?"
_C_IDENTIFIER = "[A-Za-z_][A-Za-z0-9_]*"
_HEADER = "[-A-Za-z0-9]+"
_CONFIG_KEY = "[-._a-zA-Z0-9]+"
_PERCENT = "[0-9]+%"

_KEY_SENTENCE = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
)


def _matches(pattern: str, value: str) -> bool:
    return re.fullmatch(pattern, value) is not None


def max_length(length: int, unit: str = "characters") -> str:
    return f"must be no more than {length} {unit}"


def regex_sentence(message: str, pattern: str, *examples: str) -> str:
    """`… (e.g. 'my-name',  or '123-abc', regex used for validation is '…')`."""
    if not examples:
        return f"{message} (regex used for validation is '{pattern}')"
    listed = " or ".join(f"'{example}', " for example in examples)
    return f"{message} (e.g. {listed}regex used for validation is '{pattern}')"


def _length(value: str) -> int:
    return len(value.encode(errors="surrogatepass"))


def dns1123_label(value: str) -> list[str]:
    """Namespaces, containers, ports of a service."""
    found = [max_length(63)] if _length(value) > 63 else []
    if not _matches(_LABEL, value):
        if _matches(_SUBDOMAIN, value):
            found.append("must not contain dots")
        else:
            text = (
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start"
                " and end with an alphanumeric character"
            )
            found.append(regex_sentence(text, _LABEL, "my-name", "123-abc"))
    return found


def dns1123_subdomain(value: str) -> list[str]:
    """Names of most objects."""
    found = [max_length(253)] if _length(value) > 253 else []
    if not _matches(_SUBDOMAIN, value):
        text = (
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
            "start and end with an alphanumeric character"
        )
        found.append(regex_sentence(text, _SUBDOMAIN, "example.com"))
    return found


def wildcard_dns1123_subdomain(value: str) -> list[str]:
    found = [max_length(253)] if _length(value) > 253 else []
    if not _matches(_WILDCARD, value):
        text = (
            "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must "
            "consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character"
        )
        found.append(regex_sentence(text, _WILDCARD, "*.example.com"))
    return found


def dns1035_label(value: str) -> list[str]:
    """Services (before relaxed names) and much of what becomes a DNS name."""
    found = [max_length(63)] if _length(value) > 63 else []
    if not _matches(_DNS1035, value):
        text = (
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
            "character, and end with an alphanumeric character"
        )
        found.append(regex_sentence(text, _DNS1035, "my-name", "abc-123"))
    return found


def qualified_name(value: str) -> list[str]:
    """Label and annotation keys, resource names, finalizers: `name` or `prefix.example.com/name`."""
    parts = value.split("/")
    found: list[str] = []
    if len(parts) > 2:
        sentence = regex_sentence(_KEY_SENTENCE, _KEY, "MyName", "my.name", "123-abc")
        return [
            f"a valid label key {sentence} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        ]
    if len(parts) == 2:
        if not parts[0]:
            found.append("prefix part must be non-empty")
        found += [f"prefix part {text}" for text in (_prefix(parts[0]) if parts[0] else [])]
    name = parts[-1]
    if not name:
        found.append("name part must be non-empty")
    elif _length(name) > 63:
        found.append(f"name part {max_length(63, 'bytes')}")
    if not _matches(_KEY, name):
        found.append(f"name part {regex_sentence(_KEY_SENTENCE, _KEY, 'MyName', 'my.name', '123-abc')}")
    return found


def _prefix(value: str) -> list[str]:
    return [
        text.replace("characters", "bytes") if text == max_length(253) else text for text in dns1123_subdomain(value)
    ]


def label_value(value: str) -> list[str]:
    found = [max_length(63, "bytes")] if _length(value) > 63 else []
    if not _matches(_VALUE, value):
        text = (
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must "
            "start and end with an alphanumeric character"
        )
        found.append(regex_sentence(text, _VALUE, "MyValue", "my_value", "12345"))
    return found


def c_identifier(value: str) -> list[str]:
    if _matches(_C_IDENTIFIER, value):
        return []
    text = (
        "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric "
        "characters or '_'"
    )
    return [regex_sentence(text, _C_IDENTIFIER, "my_name", "MY_NAME", "MyName")]


def port_name(value: str) -> list[str]:
    """Names of container ports, and target ports given by name."""
    found = [max_length(15)] if _length(value) > 15 else []
    if not _matches("[-a-z0-9]+", value):
        found.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", value):
        found.append("must contain at least one letter (a-z)")
    if "--" in value:
        found.append("must not contain consecutive hyphens")
    if value.startswith("-") or value.endswith("-"):
        found.append("must not begin or end with a hyphen")
    return found


def port_number(value: int) -> list[str]:
    return [] if 1 <= value <= 65535 else [inclusive_range(1, 65535)]


def inclusive_range(low: int, high: int) -> str:
    return f"must be between {low} and {high}, inclusive"


def percent(value: str) -> list[str]:
    if _matches(_PERCENT, value):
        return []
    text = "a valid percent string must be a numeric string followed by an ending '%'"
    return [regex_sentence(text, _PERCENT, "1%", "93%")]


def http_header_name(value: str) -> list[str]:
    if _matches(_HEADER, value):
        return []
    text = "a valid HTTP header must consist of alphanumeric characters or '-'"
    return [regex_sentence(text, _HEADER, "X-Header-Name")]


def env_var_name(value: str) -> list[str]:
    """A container's `env[].name`: any printable ASCII but `=`."""
    found = [] if value else ["environment variable name must be non-empty"]
    if any(not " " <= char <= "~" or char == "=" for char in value):
        found.append("a valid environment variable name must consist only of printable ASCII characters other than '='")
    return found


def config_map_key(value: str) -> list[str]:
    """Keys of ConfigMaps and Secrets."""
    found = [max_length(253)] if _length(value) > 253 else []
    if not _matches(_CONFIG_KEY, value):
        text = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
        found.append(regex_sentence(text, _CONFIG_KEY, "key.name", "KEY_NAME", "key-name"))
    return found + _change_dir(value)


def _change_dir(value: str) -> list[str]:
    if value in (".", ".."):
        return [f"must not be '{value}'"]
    return ["must not start with '..'"] if value.startswith("..") else []


def path_segment(value: str) -> list[str]:
    """Names that only have to fit a URL: roles, bindings, leases of old."""
    if value in (".", ".."):
        return [f"may not be '{value}'"]
    return [f"may not contain '{part}'" for part in "/%" if part in value]


def mask_trailing_dash(prefix: str) -> str:
    """`generateName` is checked as if its random end were there already: `web-` as `wea`."""
    return prefix[:-2] + "a" if len(prefix) > 1 and prefix.endswith("-") else prefix


_UNDERSCORED = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?"


def dns1123_subdomain_with_underscore(value: str) -> list[str]:
    """What a resolver may search."""
    pattern = rf"{_UNDERSCORED}(\.{_UNDERSCORED})*"
    found = [max_length(253)] if _length(value) > 253 else []
    if not _matches(pattern, value):
        text = (
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and "
            "must start and end with an alphanumeric character"
        )
        found.append(regex_sentence(text, pattern, "example.com"))
    return found
