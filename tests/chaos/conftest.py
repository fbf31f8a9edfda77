"""A bed of hosts for each test, and what they logged if it fails."""

from tests.docker.conftest import bed, pytest_runtest_makereport

__all__ = ["bed", "pytest_runtest_makereport"]
