"""A load balancer before several API servers, in its first form: what HAProxy or a cloud's balancer does for kubeadm.

TCP only: TLS goes through, each API server shows its own certificate. A new connection goes to the server with the
fewest connections; one that refuses is passed over for a while. What is open stays where it is.

- `core.py`: PURE: which server is next. `run.py`: the sockets. `__main__.py`: the flags.
"""
