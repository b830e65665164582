"""`etcdctl snapshot restore`: a data directory of ours out of a snapshot, be it from ours or from upstream's etcd.

The members of the old cluster are forgotten: a restored member belongs to a new cluster, whose members and token the
flags give, so that it can never be taken for one of the old. Every member is restored from the same file.

Upstream: `etcdutl/snapshot/v3_snapshot.go`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from workshop.component import FlagParser
from workshop.etcd import backup, membership, snapshot
from workshop.etcd.auth.store import AuthStore
from workshop.etcd.bootstrap import IDENTITY, identity
from workshop.etcd.config import Config, Fatal, parse_initial_cluster
from workshop.etcd.raft import HardState
from workshop.etcd.snapshot import Snapshot
from workshop.etcd.wal import WriteAheadLog


def restore(
    data: bytes, config: Config, skip_hash_check: bool = False, bump: int = 0, compact: bool = False
) -> Snapshot:
    """Write the data directory of `config.name`; what it holds now. With `bump` the store goes on at a revision that
    is so much later, with `compact` none before that can be read or watched: what clients remember of the old cluster
    is then outdated for sure. Raises Fatal, ValueError, OSError."""
    config.check_members()
    folder = Path(config.data_dir)
    if folder.exists() and any(folder.iterdir()):
        raise Fatal(f'data-dir "{folder}" not empty or could not be read')
    found = backup.read(backup.check_digest(data, skip_hash_check))
    founders = membership.founders(config.members, config.initial_cluster_token)
    cluster = membership.Cluster()
    for member in founders:
        cluster.add(membership.Member(member.id, member.peer_urls))
    auth = AuthStore()
    auth.restore(found.auth)
    taken = found.snapshot
    taken.index, taken.term = len(founders), 1
    taken.cluster, taken.auth = cluster.encode(), auth.encode()
    taken.revision += bump
    if compact:
        taken.compacted = taken.revision
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    cluster_id, own = identity(config)
    member_folder = folder / "member"
    snapshot.save(member_folder / "snap", taken)
    log, _ = WriteAheadLog.open(member_folder / "wal", lambda: IDENTITY.pack(cluster_id, own), taken.index, taken.term)
    log.save([], HardState(taken.term, 0, taken.index), (taken.index, taken.term))
    log.close()
    return taken


def parser() -> FlagParser:
    flags = FlagParser(
        "etcdctl snapshot restore", "Restores a member's snapshot to a data directory of the workshop's etcd."
    )
    flags.add_argument("filename")
    flags.add_argument("--data-dir", default="", help="where to; ${name}.etcd by default")
    flags.add_argument("--name", default="default", help="human-readable name of this member")
    flags.strings("--initial-cluster", "name=URL of every member", ["default=http://localhost:2380"])
    flags.add_argument("--initial-cluster-token", default="etcd-cluster", help="what tells clusters apart")
    flags.strings("--initial-advertise-peer-urls", "this member's peer URLs", ["http://localhost:2380"])
    flags.boolean("--skip-hash-check", False, "the file has no hash: it was copied from a data directory")
    flags.add_argument("--bump-revision", type=int, default=0, help="how much later the revision shall be")
    flags.boolean("--mark-compacted", False, "the old revisions cannot be read; with --bump-revision")
    return flags


def main(argv: Sequence[str]) -> int:
    """Restore; the exit status."""
    f = parser().parse_args(argv)
    config = Config(
        name=f.name,
        data_dir=f.data_dir or f"{f.name}.etcd",
        initial_cluster=parse_initial_cluster(f.initial_cluster),
        initial_cluster_token=f.initial_cluster_token,
        initial_advertise_peer_urls=f.initial_advertise_peer_urls,
    )
    try:
        data = Path(f.filename).read_bytes()
        taken = restore(data, config, f.skip_hash_check, f.bump_revision, f.mark_compacted)
    except OSError as error:
        sys.stderr.write(f"Error: {error.filename}: {str(error.strerror).lower()}\n")
        return 1
    except (Fatal, ValueError) as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1
    sys.stdout.write(f"restored {len(taken.records)} versions at revision {taken.revision} to {config.data_dir}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
