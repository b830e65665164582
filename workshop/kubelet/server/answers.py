"""Small things that every route needs: flags of a query, a whole answer, a refusal."""

from __future__ import annotations

from workshop.serving import Send

Query = dict[str, list[str]]


class Refused(Exception):
    """An answer that is not 200."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def flag(query: Query, *names: str) -> bool:
    """True for `name=1` or `name=true`, under any of the names."""
    return any(query.get(name, ["0"])[0].lower() in ("1", "true") for name in names)


def number(query: Query, name: str) -> int | None:
    """An optional number. Raises Refused."""
    text = query.get(name, [""])[0]
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        raise Refused(400, f"invalid {name}: {text}") from None


async def respond(send: Send, code: int, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
    headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": code, "headers": headers})
    await send({"type": "http.response.body", "body": body})
