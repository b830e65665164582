"""Users and roles, as the log's commands change them. Upstream: `server/auth/store.go`."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from workshop.etcd import encode, errors
from workshop.etcd.auth import permissions
from workshop.etcd.auth.permissions import Need, Ranges
from workshop.etcd.auth.tokens import TokenProvider, Tokens
from workshop.etcd.mvcc.operations import Message
from workshop.wire import etcd_pb2 as pb

ROOT = "root"

ENABLE, DISABLE, AUTHENTICATE = range(64, 67)
USER_ADD, USER_DELETE, USER_CHANGE_PASSWORD, USER_GRANT_ROLE, USER_REVOKE_ROLE = range(67, 72)
ROLE_ADD, ROLE_DELETE, ROLE_GRANT_PERMISSION, ROLE_REVOKE_PERMISSION = range(72, 76)

MESSAGES = {
    ENABLE: pb.AuthEnableRequest,
    DISABLE: pb.AuthDisableRequest,
    AUTHENTICATE: pb.InternalAuthenticateRequest,
    USER_ADD: pb.AuthUserAddRequest,
    USER_DELETE: pb.AuthUserDeleteRequest,
    USER_CHANGE_PASSWORD: pb.AuthUserChangePasswordRequest,
    USER_GRANT_ROLE: pb.AuthUserGrantRoleRequest,
    USER_REVOKE_ROLE: pb.AuthUserRevokeRoleRequest,
    ROLE_ADD: pb.AuthRoleAddRequest,
    ROLE_DELETE: pb.AuthRoleDeleteRequest,
    ROLE_GRANT_PERMISSION: pb.AuthRoleGrantPermissionRequest,
    ROLE_REVOKE_PERMISSION: pb.AuthRoleRevokePermissionRequest,
}


class Identity(NamedTuple):
    """Who asks, and the revision of the store under which that was found out."""

    name: str = ""
    revision: int = 0


ANYONE = Identity()
#: The member itself, when it ends leases. Never outdated.
MEMBER = Identity(ROOT, (1 << 64) - 1)


class AuthStore:
    """All users and roles by name, as upstream stores them. `apply` changes them; the rest only looks."""

    def __init__(self) -> None:
        self.enabled = False
        self.revision = 1
        self.users: dict[str, Message] = {}
        self.roles: dict[str, Message] = {}
        self.tokens: TokenProvider = Tokens()
        self._ranges: dict[str, dict[int, Ranges]] = {}  # user -> kind -> what its roles add up to
        self._commands: dict[int, Callable[[Message, int, float], bytes]] = {
            ENABLE: self._enable,
            DISABLE: self._disable,
            AUTHENTICATE: self._authenticate,
            USER_ADD: self._user_add,
            USER_DELETE: self._user_delete,
            USER_CHANGE_PASSWORD: self._user_change_password,
            USER_GRANT_ROLE: self._user_grant_role,
            USER_REVOKE_ROLE: self._user_revoke_role,
            ROLE_ADD: self._role_add,
            ROLE_DELETE: self._role_delete,
            ROLE_GRANT_PERMISSION: self._role_grant_permission,
            ROLE_REVOKE_PERMISSION: self._role_revoke_permission,
        }

    # Who may

    def require(self, who: Identity, needs: Iterable[Need]) -> None:
        """Raise unless `who` may do all of it: UserEmpty, AuthOldRevision, PermissionDenied."""
        if not self.enabled:
            return
        for need in needs:
            if not who.revision:
                raise errors.UserEmpty
            if who.revision < self.revision:
                raise errors.AuthOldRevision
            user = self.users.get(who.name)
            if user is None or not (ROOT in user.roles or self._may(who.name, need)):
                raise errors.PermissionDenied

    def require_admin(self, who: Identity) -> None:
        """Raise unless `who` has the role root: UserEmpty, UserNotFound, PermissionDenied."""
        if not self.enabled:
            return
        if not who.name:
            raise errors.UserEmpty
        if who.name not in self.users:
            raise errors.UserNotFound
        if not self.is_admin(who):
            raise errors.PermissionDenied

    def is_admin(self, who: Identity) -> bool:
        user = self.users.get(who.name)
        return not self.enabled or (user is not None and ROOT in user.roles)

    def _may(self, name: str, need: Need) -> bool:
        known = self._ranges.get(name)
        if known is None:
            granted = [
                permission
                for role in self.users[name].roles
                if role in self.roles
                for permission in self.roles[role].keyPermission
            ]
            known = self._ranges[name] = {
                kind: permissions.ranges_of(granted, kind) for kind in (permissions.READ, permissions.WRITE)
            }
        return known[need.kind].cover(need.key, need.range_end)

    # Looking

    def user(self, name: str) -> Message:
        """Raises UserNotFound."""
        if name not in self.users:
            raise errors.UserNotFound
        return self.users[name]

    def role(self, name: str) -> Message:
        """Raises RoleNotFound."""
        if name not in self.roles:
            raise errors.RoleNotFound
        return self.roles[name]

    # Commands of the log

    def handles(self, kind: int) -> bool:
        return kind in self._commands

    def apply(self, kind: int, message: Message, who: Identity, index: int, now: float) -> bytes:
        """Do one command; the answer's fields without the header. Raises EtcdError, having changed nothing."""
        if kind != AUTHENTICATE:
            self.require_admin(who)
        return self._commands[kind](message, index, now)

    def _changed(self) -> bytes:
        self.revision += 1
        self._ranges.clear()
        return b""

    def _enable(self, message: Message, index: int, now: float) -> bytes:
        if self.enabled:
            return b""
        if ROOT not in self.users:
            raise errors.RootUserNotExist
        if ROOT not in self.users[ROOT].roles:
            raise errors.RootRoleNotExist
        self.enabled = True
        return b""

    def _disable(self, message: Message, index: int, now: float) -> bytes:
        if not self.enabled:
            return b""
        self.enabled = False
        self.tokens.clear()
        return self._changed()

    def _authenticate(self, message: Message, index: int, now: float) -> bytes:
        if not self.enabled:
            raise errors.AuthNotEnabled
        user = self.users.get(message.name)
        if user is None or user.options.no_password:
            raise errors.AuthFailed
        token = self.tokens.assign(message.simple_token, index, message.name, self.revision, now)
        return encode.data(2, token.encode())

    def _user_add(self, message: Message, index: int, now: float) -> bytes:
        if not message.name:
            raise errors.UserEmpty
        if message.name in self.users:
            raise errors.UserAlreadyExists
        user = pb.User(name=message.name.encode(), options=message.options)
        if not message.options.no_password:
            user.password = _decoded(message.hashedPassword)
        self.users[message.name] = user
        return self._changed()

    def _user_delete(self, message: Message, index: int, now: float) -> bytes:
        if self.enabled and message.name == ROOT:
            raise errors.InvalidAuthManagement
        self.user(message.name)
        del self.users[message.name]
        self.tokens.forget(message.name)
        return self._changed()

    def _user_change_password(self, message: Message, index: int, now: float) -> bytes:
        user = self.user(message.name)
        user.password = b"" if user.options.no_password else _decoded(message.hashedPassword)
        self.tokens.forget(message.name)
        return self._changed()

    def _user_grant_role(self, message: Message, index: int, now: float) -> bytes:
        user = self.user(message.user)
        if message.role != ROOT:
            self.role(message.role)
        if message.role in user.roles:
            return b""
        user.roles[:] = sorted([*user.roles, message.role])
        return self._changed()

    def _user_revoke_role(self, message: Message, index: int, now: float) -> bytes:
        if self.enabled and message.name == ROOT and message.role == ROOT:
            raise errors.InvalidAuthManagement
        user = self.user(message.name)
        if message.role not in user.roles:
            raise errors.RoleNotGranted
        user.roles.remove(message.role)
        return self._changed()

    def _role_add(self, message: Message, index: int, now: float) -> bytes:
        if not message.name:
            raise errors.RoleEmpty
        if message.name in self.roles:
            raise errors.RoleAlreadyExists
        self.roles[message.name] = pb.Role(name=message.name.encode())
        return self._changed()

    def _role_delete(self, message: Message, index: int, now: float) -> bytes:
        if self.enabled and message.role == ROOT:
            raise errors.InvalidAuthManagement
        self.role(message.role)
        del self.roles[message.role]
        for user in self.users.values():
            if message.role in user.roles:
                user.roles.remove(message.role)
        return self._changed()

    def _role_grant_permission(self, message: Message, index: int, now: float) -> bytes:
        if not message.HasField("perm"):
            raise errors.PermissionNotGiven
        if not permissions.is_valid(message.perm.key, message.perm.range_end):
            raise errors.InvalidAuthManagement
        role = self.role(message.name)
        others = [p for p in role.keyPermission if (p.key, p.range_end) != (message.perm.key, message.perm.range_end)]
        granted = sorted([*others, message.perm], key=lambda p: bytes(p.key))
        self.roles[message.name] = pb.Role(name=role.name, keyPermission=granted)
        return self._changed()

    def _role_revoke_permission(self, message: Message, index: int, now: float) -> bytes:
        role = self.role(message.role)
        left = [p for p in role.keyPermission if (p.key, p.range_end) != (message.key, message.range_end)]
        if len(left) == len(role.keyPermission):
            raise errors.PermissionNotGranted
        self.roles[message.role] = pb.Role(name=role.name, keyPermission=left)
        return self._changed()

    # As a whole

    def buckets(self) -> dict[bytes, list[tuple[bytes, bytes]]]:
        """What upstream's store holds of it, by bucket."""
        head = [(b"authEnabled", bytes([self.enabled])), (b"authRevision", self.revision.to_bytes(8, "big"))]
        return {
            b"auth": head,
            b"authUsers": sorted((name.encode(), u.SerializeToString()) for name, u in self.users.items()),
            b"authRoles": sorted((name.encode(), r.SerializeToString()) for name, r in self.roles.items()),
        }

    def encode(self) -> bytes:
        users, roles = list(self.users.values()), list(self.roles.values())
        state = pb.AuthState(enabled=self.enabled, revision=self.revision, users=users, roles=roles)
        return bytes(state.SerializeToString())

    def decode(self, data: bytes) -> None:
        """Become what `encode` said; tokens are forgotten. Nothing at all is a store that nobody ever changed."""
        state = pb.AuthState.FromString(data)
        self.enabled, self.revision = state.enabled, state.revision or 1
        self.users = {user.name.decode(): user for user in state.users}
        self.roles = {role.name.decode(): role for role in state.roles}
        self.tokens.clear()
        self._ranges.clear()

    def restore(self, buckets: Mapping[bytes, Iterable[tuple[bytes, bytes]]]) -> None:
        """Become what `buckets` said; tokens are forgotten."""
        head = dict(buckets.get(b"auth", ()))
        self.enabled = head.get(b"authEnabled") == b"\x01"
        self.revision = int.from_bytes(head.get(b"authRevision", b"\x01"), "big")
        self.users = {name.decode(): pb.User.FromString(data) for name, data in buckets.get(b"authUsers", ())}
        self.roles = {name.decode(): pb.Role.FromString(data) for name, data in buckets.get(b"authRoles", ())}
        self.tokens.clear()
        self._ranges.clear()


def _decoded(hashed: str) -> bytes:
    try:
        return base64.b64decode(hashed, validate=True)
    except binascii.Error:
        raise errors.NoPasswordUser from None
