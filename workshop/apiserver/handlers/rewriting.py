"""Links in a page that came through a proxy subresource: they are given the way back through the API server. Pure.

Upstream: apimachinery/pkg/util/proxy/transport.go.
"""

from __future__ import annotations

import html
import re
from collections.abc import Container
from urllib.parse import urlsplit, urlunsplit

#: Element -> attributes that hold URLs.
ATTRIBUTES = {
    "a": ("href",), "applet": ("codebase",), "area": ("href",), "audio": ("src",), "base": ("href",),
    "blockquote": ("cite",), "body": ("background",), "button": ("formaction",), "command": ("icon",),
    "del": ("cite",), "embed": ("src",), "form": ("action",), "frame": ("longdesc", "src"), "head": ("profile",),
    "html": ("manifest",), "iframe": ("longdesc", "src"), "img": ("longdesc", "src", "usemap"),
    "input": ("src", "usemap", "formaction"), "ins": ("cite",), "link": ("href",),
    "object": ("classid", "codebase", "data", "usemap"), "q": ("cite",), "script": ("src",), "source": ("src",),
    "video": ("poster", "src"),
}  # fmt: skip
_VALUE = r"""\s*=\s*(?:"[^"]*"|'[^']*'|[^\s"'>]+)"""
_TAG = rf"<(?P<name>[a-z][a-z0-9]*)(?P<rest>(?:\s+[^\s=>/]+(?:{_VALUE})?|\s*/)*\s*)>"
#: A comment, or a tag.
_PIECE = re.compile(rf"<!--.*?-->|{_TAG}", re.IGNORECASE | re.DOTALL)
#: The text of scripts and their like is none of our business.
_RAW = re.compile(r"(<(script|style|textarea|title)\b[^>]*>)(.*?)(</\2)", re.IGNORECASE | re.DOTALL)
_ATTRIBUTE = re.compile(r"""([^\s=>/]+)(\s*=\s*)("[^"]*"|'[^']*'|[^\s"'>]+)""")


def rewrite_html(page: str, prepend: str, hosts: Container[str]) -> str:
    """`prepend` is the path of the proxy subresource, `hosts` are names of the server behind it.

    >>> rewrite_html('<a href="/x">', "/api/v1/namespaces/n/pods/p/proxy", ())
    '<a href="/api/v1/namespaces/n/pods/p/proxy/x">'
    """
    made, at = [], 0
    for raw in _RAW.finditer(page):
        made += [_tags(page[at : raw.end(1)], prepend, hosts), raw[3]]
        at = raw.end(3)
    return "".join([*made, _tags(page[at:], prepend, hosts)])


def _tags(text: str, prepend: str, hosts: Container[str]) -> str:
    def tag(found: re.Match[str]) -> str:
        wanted = ATTRIBUTES.get((found["name"] or "").lower())
        if not wanted:
            return found[0]

        def attribute(one: re.Match[str]) -> str:
            if one[1].lower() not in wanted:
                return one[0]
            url = html.unescape(one[3].strip("\"'"))
            return f'{one[1]}{one[2]}"{html.escape(rewrite_url(url, prepend, hosts))}"'

        return f"<{found['name']}{_ATTRIBUTE.sub(attribute, found['rest'])}>"

    return _PIECE.sub(tag, text)


def rewrite_url(url: str, prepend: str, hosts: Container[str]) -> str:
    """A URL on the server behind, as a path through this one; other servers' and relative ones stay."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    if (parts.netloc and parts.netloc not in hosts) or not parts.path.startswith("/"):
        return url
    path = parts.path if parts.path.startswith(prepend) else prepend.rstrip("/") + parts.path
    return urlunsplit(("", "", path, parts.query, parts.fragment))
