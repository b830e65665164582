"""The gRPC services of etcd v3: they check a request's form, hand it to the node, and put a header on the answer.

Handlers get and give bytes. What is frequent is joined from bytes that are encoded already (`encode.py`).

- `base.py`: what all of them share: the member, its header, how a refusal becomes a gRPC status.
- `kv.py` `watch.py` `lease.py` `maintenance.py` `cluster.py` `auth.py`: one file a service.
- `concurrency.py`: lock and election, made of keys, leases and watches.
- `guard.py`: who is served at all. `server.py`: all of them at one door.

How bytes become calls is the business of `rpc/`.
"""
