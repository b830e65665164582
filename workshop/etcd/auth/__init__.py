"""Who may do what: users, roles, and permissions on ranges of keys. Off until somebody enables it.

    user ── has ──> role ── is granted ──> READ, WRITE or READWRITE on [key, range_end)

The user `root` with the role `root` may do everything; both must be there before authentication can be enabled.
A client shows a token that it got for its password, or a certificate whose common name is the user's.

- `store.py`: users and roles, changed by commands of the log. Each change makes a new revision; a request that was
  checked under an older one is refused when its turn comes, and the client tries again.
- `permissions.py`: which ranges a user's roles add up to, and what each request needs.
- `tokens.py`: what a client shows in the place of its password. Each member knows them all, and forgets them.
- `jwt.py`: tokens that need not be known, because they are signed.

Passwords are hashed before they enter the log (`services/auth.py`).
Upstream: `server/auth`, `server/etcdserver/apply/apply_auth.go`.
"""
