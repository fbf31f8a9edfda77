"""Hosts with a Docker on them, as the tests of tests/docker have them."""

from tests.docker.conftest import bed, plain_host

__all__ = ["bed", "plain_host"]
