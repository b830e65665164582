"""Allocators: ClusterIPs and node ports."""
