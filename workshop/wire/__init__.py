"""Generated messages of the protocols that the workshop speaks: the only generated code of the house.

- `etcd.proto` → `etcd_pb2.py`: the etcd v3 protocol. `python tools/wire.py` generates, `--check` compares.
- `kms.proto` → `kms_pb2.py`: what kube-apiserver asks a plugin that keeps keys.

The `.proto` files are written here; the facts in them (names, field numbers, types) are upstream's.
"""
