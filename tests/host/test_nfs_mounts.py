"""What the kernel says of NFS mounts, and what Mooring makes of it. Real ones: tests/vm."""

from mooring.host.mountinfo import Mountinfo, Place

TABLE = Mountinfo("""\
20 1 8:1 / / rw - ext4 /dev/sda rw
30 20 0:40 / /srv/pool rw - nfs4 nas:/export/pool rw,vers=4.2
31 30 0:40 / /srv/pool/one/data rw - nfs4 nas:/export/pool/one/data rw
32 20 0:41 / /var/lib/a/fs rw - nfs4 nas:/export/pool/one/data rw,hard
33 20 0:40 / /var/lib/b/fs rw - nfs4 nas:/export/pool/two/data rw
34 20 0:50 / /mnt/other rw - nfs4 [fd00::1]:/export/pool/one rw
35 20 0:51 / /mnt/all rw - nfs nas:/ rw
""")


def points(place: Place) -> list[str]:
    return sorted(mount.point for _, mount in TABLE.showing({place}))


def test_mounts_of_an_asset_are_known_by_where_they_came_from() -> None:
    pool = TABLE.at("/srv/pool")[-1]
    asset = pool.place_of("/srv/pool/one")
    assert asset == Place("nfs nas", "/export/pool/one")
    assert points(asset) == ["/srv/pool/one/data", "/var/lib/a/fs"]


def test_those_of_several_places_are_told_apart() -> None:
    one, two = (Place("nfs nas", f"/export/pool/{name}/data") for name in ("one", "two"))
    found = {(place, mount.point) for place, mount in TABLE.showing({one, two})}
    assert (two, "/var/lib/b/fs") in found
    assert (two, "/var/lib/a/fs") not in found


def test_another_server_is_another_place() -> None:
    assert points(Place("nfs [fd00::1]", "/export")) == ["/mnt/other"]


def test_all_of_a_server_is_its_root() -> None:
    assert TABLE.at("/mnt/all")[-1].place == Place("nfs nas", "/")
    assert points(Place("nfs nas", "/"))[0] == "/mnt/all"


def test_other_file_systems_have_their_numbers() -> None:
    assert points(Place("8:1", "/")) == ["/"]


def test_what_a_path_is_in_tells_whether_it_is_written_late() -> None:
    for path, writes_late in {
        "/": False,
        "/srv": False,
        "/srv/pool": True,
        "/srv/pool/two/data": True,
        "/srv/pools": False,
        "/mnt/all/x": True,
    }.items():
        found = TABLE.covering(path)
        assert found is not None
        assert found.writes_late is writes_late, path
    assert Mountinfo("").covering("/srv") is None
