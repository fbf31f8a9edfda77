"""Claims that are filled from archives of the host before anybody can mount them. Semantics §18."""

import asyncio
import lzma
import os
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from mooring.drivers.interface import Place, asset_name
from mooring.drivers.registry import driver_for
from mooring.host import copies, files, unpacking
from mooring.host.scanning import Totals
from mooring.model.backup import VolumeArchive
from mooring.model.names import DIRECTORY_DRIVER
from mooring.node.intents import Intent, Intents
from mooring.objects.kind import Doc
from tests.controllers.clocked import a_claim_doc, a_volume_doc
from tests.controllers.plant import CLAIMS, VOLUMES
from tests.node.host_plant import HostPlant, a_pool

ARCHIVES = VolumeArchive.resource


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[HostPlant]:
    (tmp_path / "import").mkdir()
    made = HostPlant(tmp_path)
    yield made
    made.close()


@pytest.fixture
def imports(plant: HostPlant) -> Path:
    return plant.state.parent / "import"


def from_(name: str, kind: str = "VolumeArchive", group: str = "mooring.dev") -> dict[str, Any]:
    return {"dataSourceRef": {"apiGroup": group, "kind": kind, "name": name}}


def an_archive(name: str = "old", **spec: str) -> Doc:
    return {"metadata": {"name": name}, "spec": spec}


Entries = Callable[[tarfile.TarFile], None]


def a_tar(path: Path, mode: str = "w:gz", entries: Entries | None = None) -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        put(tar, "greeting", b"hello")
        if entries is not None:
            entries(tar)
    return path


def put(tar: tarfile.TarFile, name: str, content: bytes = b"", **fields: Any) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    tar.addfile(info, BytesIO(content))


def content(plant: HostPlant, name: str = "db") -> Path:
    """The directory of a bound claim."""
    return plant.root / plant.made(name).name / "data"


def test_a_claim_gets_what_an_archive_has(plant: HostPlant, imports: Path) -> None:
    plant.put(ARCHIVES, an_archive(tar=str(a_tar(imports / "a.tar.gz"))))
    plant.put(CLAIMS, a_claim_doc(class_="local", **from_("old")))
    assert plant.claim().phase == "Bound"
    assert (content(plant) / "greeting").read_text() == "hello"
    told = plant.told("db")
    assert ("Normal", "Populating") in told
    assert ("Normal", "PopulatorFinished") in told
    assert plant.intents() == []
    assert "conditions" not in plant.objects.one(CLAIMS, "default/db")["status"]  # type: ignore[index]


def test_a_claim_gets_what_a_directory_has(plant: HostPlant, imports: Path) -> None:
    (imports / "tree/below").mkdir(parents=True)
    (imports / "tree/below/a").write_text("one")
    os.link(imports / "tree/below/a", imports / "tree/b")
    plant.put(ARCHIVES, an_archive(directory=str(imports / "tree")))
    plant.put(CLAIMS, a_claim_doc(class_="local", **from_("old")))
    assert (content(plant) / "below/a").read_text() == "one"
    assert (content(plant) / "b").stat().st_nlink == 2


def test_it_waits_for_its_source(plant: HostPlant, imports: Path) -> None:
    plant.put(CLAIMS, a_claim_doc(class_="local", **from_("old")))
    failed = [one["message"] for one in plant.events("db") if one["reason"] == "ProvisioningFailed"]
    assert failed == ["VolumeArchive default/old does not exist; make it; the claim is filled then"]
    assert plant.assets() == []
    plant.put(ARCHIVES, an_archive(tar=str(a_tar(imports / "a.tar"))))
    assert plant.claim().phase == "Bound"


def test_only_what_the_host_allows_is_read(plant: HostPlant, imports: Path) -> None:
    outside = a_tar(imports.parent / "secret.tar")
    (imports / "link").symlink_to(outside)
    for name, path in (("a", outside), ("b", imports / "link")):
        plant.put(ARCHIVES, an_archive(name, tar=str(path)))
        plant.put(CLAIMS, a_claim_doc(name, class_="local", **from_(name)))
        (failed,) = [one for one in plant.events(name) if one["reason"] == "PopulatorFailed"]
        assert "is below no directory that this host allows" in failed["message"]
        assert plant.claim(name).phase == "Pending"
        condition = plant.objects.one(CLAIMS, f"default/{name}")["status"]["conditions"][0]  # type: ignore[index]
        assert (condition["type"], condition["status"]) == ("mooring.dev/Populating", "False")


def test_a_directory_stays_the_one_that_was_opened(
    plant: HostPlant, imports: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, text in (("import/a/tree", "ours"), ("secret/tree", "secret")):
        (imports.parent / place).mkdir(parents=True)
        (imports.parent / place / "file").write_text(text)
    look = copies.scanned

    async def then_swapped(original: Path | int, tell: copies.Tell) -> Totals:
        totals = await look(original, tell)
        (imports / "a").rename(imports / "b")
        (imports / "a").symlink_to(imports.parent / "secret")
        return totals

    monkeypatch.setattr(copies, "scanned", then_swapped)
    plant.put(ARCHIVES, an_archive(directory=str(imports / "a/tree")))
    plant.put(CLAIMS, a_claim_doc(class_="local", **from_("old")))
    assert plant.claim().phase == "Bound"
    assert (content(plant) / "file").read_text() == "ours"


def test_what_is_too_large_is_told(plant: HostPlant, imports: Path) -> None:
    a_tar(imports / "a.tar", "w", lambda tar: put(tar, "much", os.urandom(1 << 20)))
    plant.put(ARCHIVES, an_archive(tar=str(imports / "a.tar")))
    small = {"requests": {"storage": "100Ki"}}
    plant.put(CLAIMS, a_claim_doc(class_="local", resources=small, **from_("old")))
    (failed,) = [one for one in plant.events("db") if one["reason"] == "PopulatorFailed"]
    assert "does not fit into 100 KiB" in failed["message"]
    assert plant.claim().phase == "Pending"
    plant.drop()
    assert (plant.assets(), plant.intents()) == ([], [])


def test_what_a_crash_left_half_filled_is_made_anew(plant: HostPlant, imports: Path) -> None:
    plant.put(CLAIMS, a_claim_doc(class_="local", **from_("old")))  # its source is not there yet
    name = f"pvc-{plant.claim().uid}"
    pool = plant.objects.one("pools.mooring.dev", "local")
    assert pool is not None

    def crash() -> None:
        intents = Intents(plant.state)
        plant._run(intents.start())
        plant._run(intents.begin(Intent(name, "default/db", "local", pool["metadata"]["uid"])))
        driver = driver_for(DIRECTORY_DRIVER, Place("local", pool["metadata"]["uid"], plant.root))
        plant._run(driver.start(new=False))
        plant._run(driver.create(asset_name(name), 1 << 30))
        (plant.root / name / "data/half").write_text("of another content")

    plant.restart(crash)
    plant.put(ARCHIVES, an_archive(tar=str(a_tar(imports / "a.tar"))))
    assert plant.claim().phase == "Bound"
    assert [one.name for one in content(plant).iterdir()] == ["greeting"]


def crash_when_filled(plant: HostPlant, pool_uid: str) -> None:
    """As a kill at `fill.noted` leaves it, if the asset is lost then."""
    name = f"pvc-{plant.claim().uid}"

    async def noted() -> None:
        intents = Intents(plant.state)
        await intents.start()
        await intents.begin(Intent(name, "default/db", "local", pool_uid))
        await intents.filled(name)

    plant.restart(lambda: asyncio.run(noted()))
    plant.settle()


def uid_of_pool(plant: HostPlant, name: str = "local") -> str:
    pool = plant.objects.one("pools.mooring.dev", name)
    assert pool is not None
    return str(pool["metadata"]["uid"])


def test_what_was_filled_and_is_lost_is_filled_again(plant: HostPlant, imports: Path) -> None:
    plant.put(CLAIMS, a_claim_doc(class_="local", **from_("old")))  # its source is not there yet
    crash_when_filled(plant, uid_of_pool(plant))
    assert (plant.claim().phase, plant.assets()) == ("Pending", [])  # and not Bound, empty
    plant.put(ARCHIVES, an_archive(tar=str(a_tar(imports / "a.tar"))))
    assert plant.claim().phase == "Bound"
    assert (content(plant) / "greeting").read_text() == "hello"


def test_what_was_filled_in_another_pool_of_the_name_is_filled_again(
    plant: HostPlant, imports: Path
) -> None:
    plant.put(CLAIMS, a_claim_doc(class_="local", **from_("old")))
    former = uid_of_pool(plant)
    plant.root = imports.parent / "other"
    plant.delete("pools.mooring.dev", "local")
    plant.settle()
    plant.put("pools.mooring.dev", a_pool("local", plant.root))
    crash_when_filled(plant, former)
    assert (plant.claim().phase, plant.assets()) == ("Pending", [])
    plant.put(ARCHIVES, an_archive(tar=str(a_tar(imports / "a.tar"))))
    assert plant.claim().phase == "Bound"
    assert (content(plant) / "greeting").read_text() == "hello"
    assert plant.intents() == []


def test_what_was_begun_in_another_pool_is_taken_back_when_its_volume_is_elsewhere(
    plant: HostPlant,
) -> None:
    plant.put(CLAIMS, a_claim_doc(class_="local"))
    name = plant.made().name
    other = plant.state.parent / "other"
    plant.put("pools.mooring.dev", a_pool("other", other))
    uid = uid_of_pool(plant, "other")

    async def begun() -> None:
        intents = Intents(plant.state)
        await intents.start()
        await intents.begin(Intent(name, "default/db", "other", uid))
        driver = driver_for(DIRECTORY_DRIVER, Place("other", uid, other))
        await driver.start(new=not other.exists())
        await driver.create(asset_name(name), 1 << 30)
        await driver.stop()

    plant.restart(lambda: asyncio.run(begun()))
    plant.settle()
    assert [one.name for one in other.glob("pvc-*")] == []
    assert (plant.assets(), plant.intents()) == ([name], [])


@pytest.mark.rule("18.22")
@pytest.mark.parametrize("group", ["example.com", "mooring.dev", "snapshot.storage.k8s.io"])
def test_a_source_of_somebody_elses_kind_is_left_to_its_populator(
    plant: HostPlant, group: str
) -> None:
    plant.put(CLAIMS, a_claim_doc(class_="local", **from_("x", "Thing", group)))
    messages = [one["message"] for one in plant.events("db") if one["reason"] == "Provisioning"]
    assert messages == ["Assuming an external populator will provision the volume"]
    assert (plant.claim().phase, plant.assets()) == ("Pending", [])


@pytest.mark.rule("18.10")
@pytest.mark.parametrize("source", [from_("x"), from_("x", "Thing", "example.com")])
def test_a_volume_that_fits_is_taken_as_it_is_whatever_the_claim_is_to_be_filled_from(
    plant: HostPlant, source: dict[str, Any]
) -> None:
    plant.put(VOLUMES, a_volume_doc(storageClassName="local"))
    plant.put(CLAIMS, a_claim_doc(class_="local", **source))
    assert (plant.claim().phase, plant.claim().volume_name) == ("Bound", "v1")
    assert plant.assets() == []


# Archives


async def unpacked(archive: Path, target: Path, room_bytes: int = 1 << 30) -> str:
    """The code of what was wrong with it, "" if nothing was."""
    target.mkdir()
    with archive.open("rb") as file:
        try:
            await copies.unpacked(file.fileno(), target, room_bytes, lambda _: None)
        except Exception as error:
            return getattr(error, "code", repr(error))
    return ""


@pytest.mark.parametrize("form", ["w", "w:gz", "w:bz2", "w:xz", "zst"])
async def test_archives_of_all_forms_are_read(tmp_path: Path, form: str) -> None:
    path = a_tar(tmp_path / "a.tar", "w" if form == "zst" else form)
    if form == "zst":
        import zstandard

        path.write_bytes(zstandard.compress(path.read_bytes()))
    assert await unpacked(path, tmp_path / "to") == ""
    assert (tmp_path / "to/greeting").read_text() == "hello"


async def test_owners_modes_times_links_attributes_and_holes_are_kept(tmp_path: Path) -> None:
    made = tmp_path / "made"
    (made / "d").mkdir(parents=True)
    (made / "d/f").write_text("x")
    os.setxattr(made / "d/f", "user.colour", b"\x00red")
    os.link(made / "d/f", made / "g")
    os.symlink("d/f", made / "l")
    with (made / "holes").open("wb") as file:
        file.truncate(64 << 20)
        file.seek(32 << 20)
        file.write(b"middle")
    if os.geteuid() == 0:
        os.chown(made / "d/f", 1234, 4321)
    (made / "d").chmod(0o2751)
    (made / "g").chmod(0o640)
    os.utime(made / "d", (1000, 2000))
    options = ["--xattrs", "--format=pax", "--sparse"]
    tar = ["tar", "-C", str(made), *options, "-cf", str(tmp_path / "a.tar"), "."]
    await asyncio.to_thread(subprocess.run, tar, check=True)
    assert await unpacked(tmp_path / "a.tar", tmp_path / "to") == ""
    found = await copies.compared(made, tmp_path / "to", lambda _: None)
    assert found.differs.named == []
    assert (tmp_path / "to/holes").stat().st_blocks < 1000


REFUSED: dict[str, Entries] = {
    "an absolute name": lambda tar: put(tar, "/etc/x", b"x"),
    "a name that goes up": lambda tar: put(tar, "a/../../x", b"x"),
    "a device": lambda tar: put(tar, "null", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
    "a disk": lambda tar: put(tar, "disk", type=tarfile.BLKTYPE),
    "a link out": lambda tar: put(tar, "l", type=tarfile.SYMTYPE, linkname="../x"),
    "an absolute link": lambda tar: put(tar, "l", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    "a link that goes down and out": lambda tar: put(
        tar, "d/l", type=tarfile.SYMTYPE, linkname="a/../../../x"
    ),
    "a hard link out": lambda tar: put(tar, "h", type=tarfile.LNKTYPE, linkname="../secret"),
    "a hard link to the host": lambda tar: put(
        tar, "h", type=tarfile.LNKTYPE, linkname="/etc/passwd"
    ),
    "a file below a link": lambda tar: (
        put(tar, "l", type=tarfile.SYMTYPE, linkname="greeting"),
        put(tar, "l/x", b"x"),
    )[1],
    "another top": lambda tar: put(tar, ".", type=tarfile.SYMTYPE, linkname="x"),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_archives_that_lead_out_are_refused(tmp_path: Path, what: str) -> None:
    path = a_tar(tmp_path / "a.tar", "w", REFUSED[what])
    (tmp_path / "secret").write_text("as it was")
    assert await unpacked(path, tmp_path / "to") == "ArchiveRefused"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.tar", "secret", "to"]


async def test_a_damaged_archive_is_told(tmp_path: Path) -> None:
    path = a_tar(tmp_path / "a.tar", "w:gz", lambda tar: put(tar, "x", os.urandom(1 << 20)))
    path.write_bytes(path.read_bytes()[:500_000])
    assert await unpacked(path, tmp_path / "to") == "ArchiveDamaged"


async def test_an_archive_that_grows_beyond_all_measure_is_stopped(tmp_path: Path) -> None:
    path = a_tar(tmp_path / "a.tar", "w:gz", lambda tar: put(tar, "x", b"x" * (64 << 20)))
    assert await unpacked(path, tmp_path / "to", 1 << 20) == "DiskFull"
    assert sum(one.stat().st_blocks for one in (tmp_path / "to").iterdir()) * 512 <= 2 << 20


def refusal(plant: HostPlant, archive: Path) -> str:
    """Why a claim is not filled from it."""
    plant.put(ARCHIVES, an_archive(tar=str(archive)))
    plant.put(CLAIMS, a_claim_doc(class_="local", **from_("old")))
    (failed,) = [one for one in plant.events("db") if one["reason"] == "PopulatorFailed"]
    return str(failed["message"])


def a_header(type_: bytes, size: int) -> bytes:
    """The block that says that so much of a header follows."""
    info = tarfile.TarInfo("header")
    info.type, info.size = type_, size
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("type_", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_an_archive_with_a_header_of_gigabytes_is_refused(
    plant: HostPlant, imports: Path, type_: bytes
) -> None:
    with (imports / "a.tar").open("wb") as file:
        file.write(a_header(type_, 3 << 29))
        file.truncate(2 << 30)
    assert "a header in it has more than 1 MiB" in refusal(plant, imports / "a.tar")


def test_an_archive_that_takes_much_memory_is_refused(plant: HostPlant, imports: Path) -> None:
    packed = bytearray(lzma.compress(a_tar(imports / "a.tar", "w").read_bytes()))
    length = (packed[12] + 1) * 4  # of the header of its block, from byte 12 on, with a sum at last
    packed[16] = 37  # what it wants to be unpacked in: 3 << 29 bytes
    packed[8 + length : 12 + length] = crc32(packed[12 : 8 + length]).to_bytes(4, "little")
    (imports / "a.tar.xz").write_bytes(packed)
    assert "more than 512 MiB of memory" in refusal(plant, imports / "a.tar.xz")


def test_an_archive_of_headers_alone_is_refused(plant: HostPlant, imports: Path) -> None:
    block = a_header(tarfile.XHDTYPE, 0)
    (imports / "a.tar").write_bytes(block * 5000)
    assert "the archive is refused" in refusal(plant, imports / "a.tar")


def test_an_archive_of_too_many_entries_is_refused(imports: Path, tmp_path: Path) -> None:
    with tarfile.open(imports / "a.tar", "w") as tar:
        for number in range(5):
            put(tar, f"f{number}")
    (tmp_path / "to").mkdir()
    with (
        (imports / "a.tar").open("rb") as file,
        tarfile.open(fileobj=file, mode="r|") as archive,
        files.directory(tmp_path / "to") as target,
        pytest.raises(unpacking.ArchiveTooCostly, match="more than 4 entries"),
    ):
        unpacking.Unpacking(target, 1 << 20, entries=4).run(archive, unpacking._Counted(file, 0))
    assert len(list((tmp_path / "to").iterdir())) == 4
