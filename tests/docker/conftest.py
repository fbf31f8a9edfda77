"""A bed of hosts for each file of tests, and a host with Docker in it."""

from collections.abc import Generator, Iterator

import pytest

from tests.docker import images
from tests.docker.mooring import Mooring
from tests.docker.testbed import Bed, Host, a_bed


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Function,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that failed shows what its hosts logged."""
    report = yield
    bed = item.funcargs.get("bed")
    if report.failed and isinstance(bed, Bed):
        report.sections += bed.logs().items()
    return report


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    with a_bed() as made:
        yield made


@pytest.fixture(scope="module")
def plain_host(bed: Bed) -> Host:
    """With Docker and images, without Mooring."""
    host = bed.host("plain")
    host.up()
    host.dockerd()
    images.load(host)
    return host


@pytest.fixture(scope="module")
def moored(bed: Bed) -> Mooring:
    """A host with Mooring, then Docker: in the order in which a machine should start them."""
    host = bed.host("here")
    host.up()
    mooring = Mooring(host).start()
    host.dockerd()
    images.load(host)
    return mooring
