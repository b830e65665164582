"""The multi-version store of etcd. Pure: no clock, no disk, no network.

- `key_index.py`: the versions of one key; revisions, generations, tombstones, compaction, with a worked example.
- `history.py`: all records in the order of time.
- `store.py`: all keys: reading at a revision, changing, compacting.
- `operations.py`: what the requests of the KV service do on it: Range, Put, DeleteRange, Txn.
- `watch.py`: who wants to hear of which change, and catching up with the past.
"""
