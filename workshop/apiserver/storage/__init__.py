"""The API server's storage: the only place of it that speaks etcd.

Upstream: `staging/src/k8s.io/apiserver/pkg/storage` (`interfaces.go`, `etcd3/`, `cacher/`).

Read in this order:
- `interface.py`: what the registry may ask, the values and the errors. gRPC never leaks through it.
- `memory.py`: the same semantics in two hundred lines, without a network: for tests and simulations.
- `etcd3.py`: over etcd v3 gRPC, in the transaction shapes that upstream uses; `watch_stream.py`: its watches.
- `leases.py`: one lease for many short-lived keys (Events).
- `compaction.py`: forgets old revisions every five minutes; several API servers agree by `compact_rev_key`.
- `encryption.py`: an EncryptionConfiguration; `ciphers.py`: its providers; `encrypted.py`: the storage that uses them;
  `kms.py`: keys that a plugin keeps; `tending.py`: plugins are looked after, a changed file is taken again.
"""
