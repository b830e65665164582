"""Allocators: the addresses and node ports of Services.

Read in this order:

- `bands.py`    choosing a free number: high ones at random, low ones left for those who name them
- `families.py` which of a Service's fields mean what: address families, clearing what a change of type makes void
- `ips.py`      ClusterIPs: an IPAddress object holds each
- `ports.py`    node ports: one record in the store says which are taken
- `services.py` both together, as one transaction a write; repair at start and every 3 minutes

Left out: ServiceCIDRs beside the flag's ranges.
Upstream: `pkg/registry/core/service/{ipallocator,portallocator,storage}`, KEP-1880, KEP-3070, KEP-3668.
"""
