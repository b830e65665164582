"""The apiserver room."""
