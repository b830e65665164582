"""A component for tests of zygote and supervisor."""
