"""`--cors-allowed-origins`: pages of these origins may ask this server from a browser.

Upstream: apiserver/pkg/server/filters/cors.go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from workshop.apiserver.server.app import Handler

from .http import Request, Response

METHODS = "POST, GET, OPTIONS, PUT, DELETE, PATCH"
HEADERS = (
    "Content-Type, Content-Length, Accept-Encoding, X-CSRF-Token, Authorization, X-Requested-With, If-Modified-Since"
)


def allowing(patterns: Sequence[str]) -> Callable[[Handler], Handler]:
    """A link of the chain. `patterns` are regular expressions. Raises re.error."""
    compiled = [re.compile(pattern) for pattern in patterns]

    def link(inner: Handler) -> Handler:
        async def handle(request: Request) -> Response:
            origin = request.header("origin")
            if not origin or not any(pattern.search(origin) for pattern in compiled):
                return await inner(request)
            request.response_headers += [
                ("Access-Control-Allow-Origin", origin),
                ("Access-Control-Allow-Methods", METHODS),
                ("Access-Control-Allow-Headers", HEADERS),
                ("Access-Control-Expose-Headers", "Date"),
                ("Access-Control-Allow-Credentials", "true"),
            ]
            return Response(204) if request.method == "OPTIONS" else await inner(request)

        return handle

    return link
