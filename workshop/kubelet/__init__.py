"""The kubelet room."""
