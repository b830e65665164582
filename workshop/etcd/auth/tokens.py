"""Simple tokens: sixteen letters and the index of the log's entry that made them. Upstream: `auth/simple_token.go`.

(The other kind is in `jwt.py`.)
"""

from __future__ import annotations

from random import Random
from typing import Protocol

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#: Seconds that a token lives after it was last shown (`--auth-token-ttl`).
TTL = 300.0


def make_prefix(random: Random) -> str:
    """The secret part of a token; `random` must be one that nobody can guess."""
    return "".join(random.choice(LETTERS) for _ in range(16))


class TokenProvider(Protocol):
    """Makes tokens and says whose they are. `now` in seconds is monotonic."""

    def assign(self, prefix: str, index: int, user: str, revision: int, now: float) -> str:
        """A token for `user`. Raises VerifyOnly."""
        ...

    def find(self, token: str, revision: int, now: float) -> tuple[str, int] | None:
        """(user, revision of users and roles for which it counts); None where it does not hold."""
        ...

    def forget(self, user: str) -> None: ...

    def clear(self) -> None: ...


class Tokens:
    """Whose each token is. Pure: `now` in seconds is handed in."""

    def __init__(self, ttl: float = TTL) -> None:
        self.ttl = ttl
        self._known: dict[str, tuple[str, float]] = {}  # token -> user, until when

    def assign(self, prefix: str, index: int, user: str, revision: int, now: float) -> str:
        token = f"{prefix}.{index}"
        self._known = {token: known for token, known in self._known.items() if known[1] > now}
        self._known[token] = (user, now + self.ttl)
        return token

    def find(self, token: str, revision: int, now: float) -> tuple[str, int] | None:
        """Whose it is, under the present revision; that it was shown prolongs its life."""
        user, until = self._known.get(token, (None, 0.0))
        if user is None or until <= now:
            return None
        self._known[token] = (user, now + self.ttl)
        return user, revision

    def forget(self, user: str) -> None:
        """All tokens of a user."""
        self._known = {token: known for token, known in self._known.items() if known[0] != user}

    def clear(self) -> None:
        self._known.clear()
