"""Fixtures that several rooms' tests share."""

from tests.docker_engine import engine as engine
