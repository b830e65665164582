"""How members talk to each other: HTTP under upstream's paths, on the peer URLs.

    GET  /raft/stream/message/ID   member ID listens: consensus messages for it, as long as the connection holds
    POST /raft/snapshot            a whole state, streamed, for a member that is too far behind
    GET  /raft/probing             is somebody there?
    GET  /members                  who belongs to the cluster, for those who join
    POST /leases, /leases/internal keep-alive and time to live of a lease, which the leader counts
    POST /members/promote/ID       only the leader knows whether a learner is in sync

Each request names the cluster (`X-Etcd-Cluster-ID`) and is refused by members of another one (412), and by all when
its sender was removed (410).

What the stream carries is our own form (`codec.py`), not upstream's protobuf: members of this etcd and of upstream's
do not mix in one cluster. `/members`, `/leases` and `/members/promote` answer as upstream's do.

- `codec.py`: messages as bytes. `http.py`: the little of HTTP/1.1 that is needed.
- `stream.py`: both ends of a stream. `transport.py`: those to and from every other member.
- `doors.py`: what this member answers on its peer URLs; `tls.py`: to whom.
- `join.py`: what a member asks the others before it starts.

Upstream: `server/etcdserver/api/rafthttp`, `server/etcdserver/api/etcdhttp/peer.go`.
"""
