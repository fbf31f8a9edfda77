"""Images made of the distribution's own packages, without a registry and without their scripts."""

import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from testbed.hosts import Host

POSTGRES: Final = "mooring-tests/postgres:1"
POSTGRES_UID: Final = 101  # of the user postgres in the image, and of the group
DOWNLOAD_S: Final = 600.0
UNPACK_S: Final = 300.0
# What is left out of every package: nothing that runs reads it.
LEFT_OUT: Final = ("doc", "man", "locale", "i18n", "perl", "info", "zoneinfo/right")
PASSWD: Final = f"root:x:0:0::/:/bin/sh\npostgres:x:{POSTGRES_UID}:{POSTGRES_UID}::/:/bin/sh\n"
GROUP: Final = f"root:x:0:\npostgres:x:{POSTGRES_UID}:\n"


class NoPackages(Exception):
    """This machine cannot bring Debian's packages, and why."""


def load_postgres(host: Host) -> None:
    """Give the host's Docker an image with PostgreSQL and a shell. Raises NoPackages.

    Its programs are in the PATH, the user postgres is POSTGRES_UID, and it runs `sh`.
    """
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        root = _unpacked(_downloaded(("postgresql", "busybox-static"), place), place / "root")
        for directory in ("etc", "tmp", "run/postgresql", "var/lib/postgresql"):
            (root / directory).mkdir(parents=True, exist_ok=True)
        (root / "var/run").symlink_to("/run")
        # Docker gives an empty volume the owner that the image has there.
        os.chown(root / "var/lib/postgresql", POSTGRES_UID, POSTGRES_UID)
        for directory in ("tmp", "run/postgresql"):
            (root / directory).chmod(0o1777)
        (root / "etc/passwd").write_text(PASSWD)
        (root / "etc/group").write_text(GROUP)
        programs = next(root.glob("usr/lib/postgresql/*/bin")).relative_to(root)
        _run("/bin/busybox", "--install", "-s", "/usr/bin", beside=root)
        archive = place / "image.tar"
        _run("tar", "-C", str(root), "-cf", str(archive), ".")
        host.docker(
            *("import", "--change", f"ENV PATH=/{programs}:/usr/bin:/usr/sbin"),
            *("--change", 'CMD ["sh"]', str(archive), POSTGRES),
        )


def _downloaded(packages: Sequence[str], place: Path) -> list[Path]:
    """These packages with all that they depend on, as apt finds it for an empty system."""
    cache = place / "archives"
    (cache / "partial").mkdir(parents=True)
    (place / "status").touch()
    options = {
        "Dir::State::status": place / "status",
        "Dir::Cache::archives": cache,
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "Debug::NoLocking": "1",
        "APT::Sandbox::User": "root",
    }
    command = ["apt-get", "-qq", "-y", "--no-install-recommends", "--download-only"]
    for key, value in options.items():
        command += ["-o", f"{key}={value}"]
    try:
        _run(*command, "install", *packages, deadline_s=DOWNLOAD_S)
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or b""
        raise NoPackages(f"{error} {said.decode(errors='replace')[-500:]}") from error
    return sorted(cache.glob("*.deb"))


def _unpacked(packages: Sequence[Path], root: Path) -> Path:
    """The root of a file system with what is in them, /bin and /lib being those of /usr."""
    for directory in ("bin", "sbin", "lib", "lib64"):
        (root / "usr" / directory).mkdir(parents=True)
        (root / directory).symlink_to(f"usr/{directory}")
    exclude = [f"--exclude=./usr/share/{one}/*" for one in LEFT_OUT]
    for package in packages:
        with subprocess.Popen(
            ["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE
        ) as files:
            assert files.stdout is not None
            subprocess.run(
                ["tar", "-x", "-C", str(root), "--keep-directory-symlink", *exclude],
                stdin=files.stdout,
                check=True,
                timeout=UNPACK_S,
            )
        assert files.returncode == 0, f"{package.name} cannot be read"
    return root


def _run(*command: str, beside: Path | None = None, deadline_s: float = UNPACK_S) -> None:
    subprocess.run(
        [*(("chroot", str(beside)) if beside else ()), *command],
        check=True,
        capture_output=True,
        timeout=deadline_s,
    )
