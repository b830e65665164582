"""Addresses of one node's pods, handed out in turn, so that a freed one is not taken at once again.

Upstream: `plugins/ipam/host-local`. Pure: no I/O.
"""

from __future__ import annotations

import ipaddress

from workshop.kubelet.network import NetworkError


class Pool:
    """The usable addresses of a pod CIDR: all but network, .1 (the gateway) and broadcast.

    >>> pool = Pool("10.4.0.0/29"); [pool.take(x) for x in "abc"]
    ['10.4.0.2', '10.4.0.3', '10.4.0.4']
    """

    def __init__(self, cidr: str) -> None:
        self.network = ipaddress.ip_network(cidr)
        self.gateway = str(self.network[1])
        self._owner: dict[str, str] = {}
        self._address: dict[str, str] = {}
        self._size = self.network.num_addresses - 3
        self._next = 0

    def take(self, owner: str) -> str:
        """The owner's address; a new one when it has none. Raises NetworkError when all are taken."""
        if owner in self._address:
            return self._address[owner]
        for step in range(self._size):
            index = (self._next + step) % self._size
            address = str(self.network[index + 2])
            if address not in self._owner:
                self._next = index + 1
                self.keep(owner, address)
                return address
        raise NetworkError(f"no IP addresses available in range set: {self.network[2]}-{self.network[-2]}")

    def keep(self, owner: str, address: str) -> None:
        """Record that `owner` already uses `address`."""
        self._owner[address] = owner
        self._address[owner] = address

    def release(self, owner: str) -> str | None:
        """Free the owner's address, and return it."""
        address = self._address.pop(owner, None)
        if address is not None:
            self._owner.pop(address, None)
        return address
