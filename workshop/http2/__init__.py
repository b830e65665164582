"""HTTP/2 as far as gRPC needs it, without a library that owns our sockets, threads and time.

- `frames.py`: frames in and out of bytes, and gRPC's messages inside them. Pure.
- `hpack.py`: the compression of headers. Pure.
- `connection.py`: what both ends of a connection do; flow control.
- `client.py`: gRPC calls: unary ones, and streams; many on one connection.

The server's side stands in `etcd/rpc/`. gRPC's own Python package costs 300 µs of the processor a call,
14 MB a process, and wakes up when nothing happens; this costs a quarter of that, and nothing while it is idle.
Sources: RFC 9113 (HTTP/2), RFC 7541 (HPACK), https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md.
"""
