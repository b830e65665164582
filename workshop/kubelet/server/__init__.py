"""kubelet's HTTPS server on port 10250: what the API server (and, through it, kubectl) asks a node for.

`ports.py` opens its ports, `serving.py` routes and guards, `auth.py` says who may, `stats.py` tells what containers
use (`answers.py`: small things of all routes), `logs.py` reads container logs, `remote.py` is exec and attach
over WebSocket, `portforward.py` with `spdy.py` is port-forward (SPDY frames inside a WebSocket, as kubectl speaks it,
and v4.channel.k8s.io for the Python client). Upstream: `pkg/kubelet/server`, `staging/src/k8s.io/cri-streaming`.
"""
