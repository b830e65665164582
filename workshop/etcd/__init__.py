"""The etcd room."""
