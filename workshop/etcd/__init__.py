"""etcd: the cluster's memory. A consistent key-value store with history, watches and leases, over gRPC.

Read in this order:
- `mvcc/key_index.py`, `mvcc/store.py`: revisions; every change is kept until it is compacted.
- `mvcc/operations.py`: Range, Put, DeleteRange and Txn, the compare-and-swap that all of Kubernetes stands on.
- `mvcc/watch.py`: events to whom they concern, none missed, none twice.
- `lease.py`: keys that end with their owner's interest.
- `raft/`: how members agree on one log. Pure, in ticks.
- `wal.py`, `snapshot.py`, `storage.py`: log and state on disk (`disk.py`); what a crash may do to them.
- `state.py`: what an entry of the log does; `membership.py`: who belongs to the cluster, which the log says too.
- `replica.py`: consensus and state machine as one. `node.py`: the loop around it, group commit;
  `waiting.py`, `leadership.py`, `surroundings.py`, `lease_expiry.py`.
- `peer/`: how members reach each other. `peers.py`: what they ask of each other: leases, joining, voting, leading.
- `bootstrap.py`, `config.py`, `self_signed.py`: from flags and a data directory to a member, or the reason why not.
- `services/`: the gRPC services; `encode.py`: protobuf by concatenation; `errors.py`: upstream's texts.
- `rpc/`: gRPC itself, frame by frame, with HTTP/1 on the same port.
- `auth/`: users, roles and what they may. `backup.py`, `bolt.py`, `restore.py`: snapshots that upstream's tools read.
- `run.py`, `__main__.py`: a member's life, and its flags (`config_file.py`: or variables, or a file).
- `compactor.py`: forgetting, in slices. `corruption.py`: do the members hold the same data? `http.py`, `health.py`,
  `metrics.py`: what is told without gRPC.

Left out: the JSON gateway, discovery, going back to an older version's storage.
Upstream: https://github.com/etcd-io/etcd, `server/`.
"""
