"""What etcd answers when it refuses. Clients match these texts, so they are upstream's to the letter.

Upstream: `api/v3rpc/rpctypes/error.go` of etcd 3.6. `code` is gRPC's number of the status
(https://grpc.github.io/grpc/core/md_doc_statuscodes.html).
"""

from __future__ import annotations

UNKNOWN, INVALID_ARGUMENT, NOT_FOUND, PERMISSION_DENIED, UNAUTHENTICATED = 2, 3, 5, 7, 16
RESOURCE_EXHAUSTED, FAILED_PRECONDITION, OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS = 8, 9, 11, 14, 15

GO_NAMES = {
    INVALID_ARGUMENT: "InvalidArgument",
    PERMISSION_DENIED: "PermissionDenied",
    UNAUTHENTICATED: "Unauthenticated",
}


class EtcdError(Exception):
    """A refusal. Part of the protocol, not a fault: every member that applies the same log refuses alike."""

    code: int = UNKNOWN
    text: str = ""

    def __str__(self) -> str:
        return self.text

    def as_go_says(self) -> str:
        """As Go prints the gRPC error, which is what a watch that is refused gives as its reason."""
        return f"rpc error: code = {GO_NAMES.get(self.code, 'Unknown')} desc = {self.text}"


class EmptyKey(EtcdError):
    code, text = INVALID_ARGUMENT, "etcdserver: key is not provided"


class KeyNotFound(EtcdError):
    code, text = INVALID_ARGUMENT, "etcdserver: key not found"


class ValueProvided(EtcdError):
    code, text = INVALID_ARGUMENT, "etcdserver: value is provided"


class LeaseProvided(EtcdError):
    code, text = INVALID_ARGUMENT, "etcdserver: lease is provided"


class TooManyOps(EtcdError):
    code, text = INVALID_ARGUMENT, "etcdserver: too many operations in txn request"


class DuplicateKey(EtcdError):
    code, text = INVALID_ARGUMENT, "etcdserver: duplicate key given in txn request"


class InvalidSortOption(EtcdError):
    code, text = INVALID_ARGUMENT, "etcdserver: invalid sort option"


class Compacted(EtcdError):
    code, text = OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted"


class FutureRevision(EtcdError):
    code, text = OUT_OF_RANGE, "etcdserver: mvcc: required revision is a future revision"


class NoSpace(EtcdError):
    code, text = RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded"


class LeaseNotFound(EtcdError):
    code, text = NOT_FOUND, "etcdserver: requested lease not found"


class LeaseExists(EtcdError):
    code, text = FAILED_PRECONDITION, "etcdserver: lease already exists"


class LeaseTtlTooLarge(EtcdError):
    code, text = OUT_OF_RANGE, "etcdserver: too large lease TTL"


class RequestTooLarge(EtcdError):
    code, text = INVALID_ARGUMENT, "etcdserver: request is too large"


class RootUserNotExist(EtcdError):
    code, text = FAILED_PRECONDITION, "etcdserver: root user does not exist"


class RootRoleNotExist(EtcdError):
    code, text = FAILED_PRECONDITION, "etcdserver: root user does not have root role"


class UserAlreadyExists(EtcdError):
    code, text = FAILED_PRECONDITION, "etcdserver: user name already exists"


class UserEmpty(EtcdError):
    code, text = INVALID_ARGUMENT, "etcdserver: user name is empty"


class UserNotFound(EtcdError):
    code, text = FAILED_PRECONDITION, "etcdserver: user name not found"


class RoleAlreadyExists(EtcdError):
    code, text = FAILED_PRECONDITION, "etcdserver: role name already exists"


class RoleNotFound(EtcdError):
    code, text = FAILED_PRECONDITION, "etcdserver: role name not found"


class RoleEmpty(EtcdError):
    code, text = INVALID_ARGUMENT, "etcdserver: role name is empty"


class AuthFailed(EtcdError):
    code, text = INVALID_ARGUMENT, "etcdserver: authentication failed, invalid user ID or password"


class NoPasswordUser(EtcdError):
    code, text = UNKNOWN, "auth: authentication failed, password was given for no password user"


class PasswordTooLong(EtcdError):
    code, text = UNKNOWN, "bcrypt: password length exceeds 72 bytes"


class PermissionNotGiven(EtcdError):
    code, text = INVALID_ARGUMENT, "etcdserver: permission not given"


class PermissionDenied(EtcdError):
    code, text = PERMISSION_DENIED, "etcdserver: permission denied"


class RoleNotGranted(EtcdError):
    code, text = FAILED_PRECONDITION, "etcdserver: role is not granted to the user"


class PermissionNotGranted(EtcdError):
    code, text = FAILED_PRECONDITION, "etcdserver: permission is not granted to the role"


class AuthNotEnabled(EtcdError):
    code, text = FAILED_PRECONDITION, "etcdserver: authentication is not enabled"


class InvalidAuthToken(EtcdError):
    code, text = UNAUTHENTICATED, "etcdserver: invalid auth token"


class VerifyOnly(EtcdError):
    text = "auth: token signing attempted with verify-only key"


class InvalidAuthManagement(EtcdError):
    code, text = INVALID_ARGUMENT, "etcdserver: invalid auth management"


class AuthOldRevision(EtcdError):
    code, text = INVALID_ARGUMENT, "etcdserver: revision of auth store is old"


class WrongDowngradeVersionFormat(EtcdError):
    code, text = INVALID_ARGUMENT, "etcdserver: wrong downgrade target version format"


class InvalidDowngradeTargetVersion(EtcdError):
    code, text = INVALID_ARGUMENT, "etcdserver: invalid downgrade target version"


class DowngradeInProcess(EtcdError):
    code, text = FAILED_PRECONDITION, "etcdserver: cluster has a downgrade job in progress"


class CorruptCluster(EtcdError):
    code, text = DATA_LOSS, "etcdserver: corrupt cluster"


class TooManyRequests(EtcdError):
    code, text = RESOURCE_EXHAUSTED, "etcdserver: too many requests"


class MemberNotFound(EtcdError):
    code, text = NOT_FOUND, "etcdserver: member not found"


class MemberExists(EtcdError):
    code, text = FAILED_PRECONDITION, "etcdserver: member ID already exist"


class PeerUrlExists(EtcdError):
    code, text = FAILED_PRECONDITION, "etcdserver: Peer URLs already exists"


class NotEnoughStartedMembers(EtcdError):
    code, text = FAILED_PRECONDITION, "etcdserver: re-configuration failed due to not enough started members"


class BadMemberUrls(EtcdError):
    code, text = INVALID_ARGUMENT, "etcdserver: given member URLs are invalid"


class MemberNotLearner(EtcdError):
    code, text = FAILED_PRECONDITION, "etcdserver: can only promote a learner member"


class LearnerNotReady(EtcdError):
    code = FAILED_PRECONDITION
    text = "etcdserver: can only promote a learner member which is in sync with leader"


class TooManyLearners(EtcdError):
    code, text = FAILED_PRECONDITION, "etcdserver: too many learner members in cluster"


class NotSupportedForLearner(EtcdError):
    code, text = FAILED_PRECONDITION, "etcdserver: rpc not supported for learner"


class BadLeaderTransferee(EtcdError):
    code, text = FAILED_PRECONDITION, "etcdserver: bad leader transferee"


class LeaderTransferTimeout(EtcdError):
    code, text = UNKNOWN, "etcdserver: request timed out, leader transfer took too long"


class UnhealthyCluster(EtcdError):
    code, text = UNAVAILABLE, "etcdserver: unhealthy cluster"


class NotLeader(EtcdError):
    code, text = FAILED_PRECONDITION, "etcdserver: not leader"


class LeaderChanged(EtcdError):
    """For reads alone: clients take it for leave to try again, and a write may have been done."""

    code, text = UNAVAILABLE, "etcdserver: leader changed"


class TimeoutDueToLeaderFail(EtcdError):
    code, text = UNAVAILABLE, "etcdserver: request timed out, possibly due to previous leader failure"


class TimeoutDueToConnectionLost(EtcdError):
    code, text = UNAVAILABLE, "etcdserver: request timed out, possibly due to connection lost"


class NoLeader(EtcdError):
    code, text = UNAVAILABLE, "etcdserver: no leader"


class Stopped(EtcdError):
    code, text = UNAVAILABLE, "etcdserver: server stopped"


class Timeout(EtcdError):
    code, text = UNAVAILABLE, "etcdserver: request timed out"


#: The texts of a watch that is refused, which are not gRPC errors.
WATCH_ID_TAKEN = "mvcc: duplicate watch ID provided on the WatchStream"
WATCH_EMPTY_RANGE = "mvcc: watcher range is empty"
