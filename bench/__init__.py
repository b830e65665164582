"""What a cluster costs: figures of this one, and of the real binaries where KUBE_BINARIES names a folder with them.

    make bench                                  all of it, about four minutes
    python -m bench cold --runs 7               only the cold start
    python -m bench etcd [--members 3] [--million]      our etcd beside Debian's
    KUBE_BINARIES=/usr/local/kube make bench    beside etcd, kube-apiserver, kube-controller-manager, kube-scheduler
                                                and hollow nodes (kubemark) of the real project

| file | measures |
|---|---|
| `clusters.py` | nothing: starts and ends a cluster of either sort |
| `figures.py` | cold start; memory and idle load; many pods of one Deployment |
| `apiserver.py` | requests a second, and how watches fan out |
| `etcd.py` | our etcd beside Debian's: puts, reads, watchers, a million keys |
| `http_load.py`, `grpc_load.py` | nothing: the cheap clients |

A limit is what the project promises, an aim what it would like. Medians of several runs; the machine should be quiet.
"""
