"""Auth: users, roles, passwords for tokens. Upstream: `server/etcdserver/api/v3rpc/auth.go`, `v3_server.go`.

A password never enters the log: what does is its bcrypt hash. Hashing is slow on purpose, so it is done in a thread.
"""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import bcrypt

from workshop.etcd import errors
from workshop.etcd.auth import permissions, store
from workshop.etcd.auth.tokens import make_prefix
from workshop.etcd.mvcc.operations import Message
from workshop.etcd.rpc.call import Call, Method
from workshop.etcd.services.base import Member, Unary, unary
from workshop.wire import etcd_pb2 as pb


class Auth:
    def __init__(self, member: Member) -> None:
        self._member = member

    @property
    def _store(self) -> store.AuthStore:
        return self._member.machine.auth

    def methods(self) -> dict[str, Method]:
        return {
            "AuthEnable": unary(self._command(store.ENABLE)),
            "AuthDisable": unary(self._command(store.DISABLE)),
            "AuthStatus": unary(self.status),
            "Authenticate": unary(self.authenticate),
            "UserAdd": unary(self.user_add),
            "UserGet": unary(self.user_get),
            "UserList": unary(self.user_list),
            "UserDelete": unary(self._command(store.USER_DELETE)),
            "UserChangePassword": unary(self.user_change_password),
            "UserGrantRole": unary(self._command(store.USER_GRANT_ROLE)),
            "UserRevokeRole": unary(self._command(store.USER_REVOKE_ROLE)),
            "RoleAdd": unary(self._command(store.ROLE_ADD)),
            "RoleGet": unary(self.role_get),
            "RoleList": unary(self.role_list),
            "RoleDelete": unary(self._command(store.ROLE_DELETE)),
            "RoleGrantPermission": unary(self._command(store.ROLE_GRANT_PERMISSION)),
            "RoleRevokePermission": unary(self._command(store.ROLE_REVOKE_PERMISSION)),
        }

    def _command(self, kind: int) -> Unary:
        """A method that is one command of the log, as it came."""

        async def handle(data: bytes, call: Call) -> bytes:
            return await self._member.write(kind, store.MESSAGES[kind].FromString(data), call, data)

        return handle

    # Passwords

    async def authenticate(self, data: bytes, call: Call) -> bytes:
        request = pb.AuthenticateRequest.FromString(data)
        await self._member.node.read_barrier()
        while True:
            revision = await self._check_password(request.name, request.password)
            proposal = pb.InternalAuthenticateRequest(name=request.name, simple_token=make_prefix(self._member.random))
            applied = await self._member.node.propose(store.AUTHENTICATE, proposal)
            if revision == self._store.revision:  # else the password may have been another's when it was checked
                return self._member.head(applied.revision) + applied.body

    async def _check_password(self, name: str, password: str) -> int:
        """The revision under which it is right. Raises AuthNotEnabled, AuthFailed, NoPasswordUser."""
        if not self._store.enabled:
            raise errors.AuthNotEnabled
        user, revision = self._store.users.get(name), self._store.revision
        if user is None:
            raise errors.AuthFailed
        if user.options.no_password:
            raise errors.NoPasswordUser
        if not await asyncio.to_thread(_is_right, password, bytes(user.password)):
            raise errors.AuthFailed
        return revision

    async def user_add(self, data: bytes, call: Call) -> bytes:
        request = pb.AuthUserAddRequest.FromString(data)
        if not request.options.no_password:
            request.hashedPassword = await self._hashed(request.password)
        request.password = ""
        return await self._member.write(store.USER_ADD, request, call)

    async def user_change_password(self, data: bytes, call: Call) -> bytes:
        request = pb.AuthUserChangePasswordRequest.FromString(data)
        user = self._store.users.get(request.name)
        if user is None or not user.options.no_password:
            request.hashedPassword = await self._hashed(request.password)
        request.password = ""
        return await self._member.write(store.USER_CHANGE_PASSWORD, request, call)

    async def _hashed(self, password: str) -> str:
        salt = bcrypt.gensalt(self._member.bcrypt_cost, prefix=b"2a")
        try:
            hashed = await asyncio.to_thread(bcrypt.hashpw, password.encode(), salt)
        except ValueError:
            raise errors.PasswordTooLong from None
        return base64.b64encode(hashed).decode()

    # Looking; all of it is linearizable

    async def status(self, data: bytes, call: Call) -> bytes:
        await self._for_admins(call)
        answer = pb.AuthStatusResponse(enabled=self._store.enabled, authRevision=self._store.revision)
        return self._answer(answer)

    async def user_list(self, data: bytes, call: Call) -> bytes:
        await self._for_admins(call)
        return self._answer(pb.AuthUserListResponse(users=sorted(self._store.users)))

    async def role_list(self, data: bytes, call: Call) -> bytes:
        await self._for_admins(call)
        return self._answer(pb.AuthRoleListResponse(roles=sorted(self._store.roles)))

    async def user_get(self, data: bytes, call: Call) -> bytes:
        name = pb.AuthUserGetRequest.FromString(data).name
        await self._member.node.read_barrier()
        who = self._member.who(call)
        if name != who.name:
            self._store.require_admin(who)
        return self._answer(pb.AuthUserGetResponse(roles=self._store.user(name).roles))

    async def role_get(self, data: bytes, call: Call) -> bytes:
        name = pb.AuthRoleGetRequest.FromString(data).role
        await self._member.node.read_barrier()
        who = self._member.who(call)
        user = self._store.users.get(who.name)
        if user is None or name not in user.roles:
            self._store.require_admin(who)
        granted: list[Message] = list(self._store.role(name).keyPermission)
        if name == store.ROOT:
            granted = [pb.Permission(permType=permissions.READWRITE, range_end=b"\0")]
        return self._answer(pb.AuthRoleGetResponse(perm=granted))

    async def _for_admins(self, call: Call) -> None:
        await self._member.node.read_barrier()
        self._store.require_admin(self._member.who(call))

    def _answer(self, answer: Any) -> bytes:
        return self._member.head() + bytes(answer.SerializeToString())


def _is_right(password: str, hashed: bytes) -> bool:
    try:
        return bcrypt.checkpw(password.encode(), hashed)
    except ValueError:  # longer than any password can be, or a hash that is none
        return False
