"""Docker hosts made of namespaces: one machine that is several, each with a dockerd of its own.

A host has its own mounts, processes, name and network, and shares kernel, clock and file system.
Its process 1 ends when the pipe from this process closes, and everything on it ends with that: a
test run that is killed leaves names and files, which the next run takes away.
"""

import ctypes
import fcntl
import http.client
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

# A file for each run that says where its bed is, locked while the run lives. Names of namespaces
# are the whole machine's, so this is in one place whatever TMPDIR says.
RUNS: Final = Path("/run/mooring-testbeds")
CGROUPS: Final = Path("/sys/fs/cgroup")
# How many times longer all takes than on a machine whose processor is not emulated.
SLOWNESS: Final = float(os.environ.get("MOORING_TEST_SLOWNESS", "1"))
COMMAND_S: Final = 60.0 * SLOWNESS  # for whatever is run to its end
DEADLINE_S: Final = 60.0 * SLOWNESS  # for whatever is waited for
LEFTOVERS_S: Final = 20.0
FIRST_PAUSE_S: Final = 0.02  # between two looks at what is waited for
LONGEST_PAUSE_S: Final = 0.1
LOGGED_AT_MOST: Final = 3000  # characters of a log that are shown
API: Final = "/v1.41"  # of dockerd 20.10
CLONE_NEWNET: Final = 0x40000000  # from <sched.h>
# Of each host its own: what dockerd keeps there says nothing about another host, nor about the
# same one after a reboot. In a new process namespace an old pid file names somebody else.
# Mounts are shared with namespaces within the host, as systemd has it, and with none outside. What
# a Mooring outside has mounted is not kept here: it would be in use there for as long as we live.
PROCESS_1: Final = """
mount --make-rprivate / && mount --make-rshared / || exit
while read -r _ _ _ _ point _; do
    case $point in */mounts/*/fs) umount $point ;; esac
done </proc/self/mountinfo
for place in /run/docker /etc/docker; do
    mkdir -p $place && mount -t tmpfs tmpfs $place && mkdir $place/plugins || exit
done
hostname "$1" && echo ready && cat >/dev/null
:"""  # it is not replaced by its last command, as only a shell collects orphans


@cache
def lacking() -> str:
    """The first thing that this machine lacks for hosts of namespaces, or empty."""
    if os.geteuid() != 0:
        return "hosts of namespaces need root"
    for program in ("dockerd", "docker", "ip", "nsenter", "unshare", "busybox"):
        if shutil.which(program) is None:
            return f"there is no {program} (`make programs` as root brings it on Debian)"
    probe = ["unshare", "--mount", "--uts", "--pid", "--net", "--fork", "mount", "-t", "tmpfs"]
    done = subprocess.run([*probe, "tmpfs", "/mnt"], capture_output=True, timeout=COMMAND_S)
    return "" if done.returncode == 0 else "this machine does not let root make namespaces"


def eventually(look: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Wait for a condition, not for a time. What cannot be asked yet is not so yet."""
    ends, pause_s = time.monotonic() + deadline_s, FIRST_PAUSE_S
    while True:
        with suppress(OSError, http.client.HTTPException):
            if look():
                return
        if time.monotonic() > ends:
            raise AssertionError(f"still not so: {what}")
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, LONGEST_PAUSE_S)  # a look is often a whole process


class Done(NamedTuple):
    """A command that ended."""

    code: int
    out: str
    err: str


def done(
    command: list[str],
    *,
    stdin: bytes = b"",
    environment: dict[str, str] | None = None,
    deadline_s: float = COMMAND_S,
) -> Done:
    """Run it to its end. The environment comes on top of this process's."""
    ended = subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        timeout=deadline_s,
        env={**os.environ, **(environment or {})},
    )
    texts = (
        stream.decode(errors="replace").rstrip("\n") for stream in (ended.stdout, ended.stderr)
    )
    return Done(ended.returncode, *texts)


def checked(command: list[str], **how: Any) -> str:
    """What it printed. It must succeed."""
    ended = done(command, **how)
    assert ended.code == 0, f"{' '.join(command)}: {ended.code}: {ended.err} {ended.out}"
    return ended.out


def _ip(*arguments: str) -> str:
    return checked(["ip", *arguments])


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("docker", timeout=COMMAND_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Host:
    """A machine with a Docker on it, in a bed. What it has on disk outlives a crash."""

    def __init__(self, bed: "Bed", name: str, ip: str) -> None:
        self.name, self.ip = name, ip
        self.place = bed.place / name
        self.socket = self.place / "docker.sock"
        self._switch, self._full_name = bed.switch, f"{bed.prefix}-{name}"
        self._box: subprocess.Popen[bytes] | None = None
        self.init = 0  # its process 1, as this process sees it
        self._dockerd: subprocess.Popen[bytes] | None = None
        self._is_frozen = False

    @property
    def is_up(self) -> bool:
        return self._box is not None

    def up(self) -> None:
        """Power on. Nothing is started on it."""
        self.place.mkdir(exist_ok=True)
        net, port = self._full_name, f"p-{self.name}"
        _ip("netns", "add", net)
        _ip(*f"link add eth0 netns {net} type veth peer name {port} netns {self._switch}".split())
        _ip(*f"-n {self._switch} link set {port} master br0 up".split())
        for line in ("link set lo up", f"addr add {self.ip}/24 dev eth0", "link set eth0 up"):
            _ip("-n", net, *line.split())
        # Not `ip netns exec`, which mounts /sys anew, without the control groups dockerd needs.
        outer = ["nsenter", f"--net=/run/netns/{net}", "unshare", "--mount", "--uts", "--pid"]
        box = subprocess.Popen(
            [
                *outer,
                "--fork",
                "--mount-proc",
                "--kill-child",
                "sh",
                "-c",
                PROCESS_1,
                "1",
                self.name,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._box = box
        assert box.stdout is not None
        assert box.stdout.readline() == b"ready\n", f"host {self.name} does not start"
        self.init = _child(box)

    def dockerd(self, *flags: str, within: tuple[str, ...] = ()) -> None:
        """Start it, and wait until it answers. May have run before.

        within  the beginning of a command that ends by running what follows, like `unshare`
        """
        self._dockerd = self.popen(
            *(*within, "dockerd", "--host", f"unix://{self.socket}", *flags),
            *("--data-root", f"{self.place}/docker", "--exec-root", "/run/docker"),
            *("--pidfile", "/run/docker/docker.pid", "--cgroup-parent", f"/{self._full_name}"),
            *("--log-level", "warn"),
            log="dockerd.log",
        )
        eventually(lambda: self.api("GET", "/_ping")[0] == 200, f"dockerd answers on {self.name}")

    @property
    def has_dockerd(self) -> bool:
        """Whether it was started and not stopped since."""
        return self._dockerd is not None

    def dockerd_pid(self) -> int:
        """As this process sees it, not as the host's own processes do."""
        assert self._dockerd is not None, "dockerd comes first"
        return _child(self._dockerd)

    def stop_dockerd(self, number: int = signal.SIGTERM) -> None:
        """SIGTERM stops the containers in good order; SIGKILL leaves them running."""
        assert self._dockerd is not None, "dockerd comes first"
        os.kill(self.dockerd_pid(), number)
        self._dockerd.wait(DEADLINE_S)
        self._dockerd = None

    def freeze_dockerd(self) -> None:
        """It listens, and does nothing more. What runs it on the host stops with it by itself."""
        os.kill(self.dockerd_pid(), signal.SIGSTOP)
        self._is_frozen = True

    def thaw_dockerd(self) -> None:
        assert self._dockerd is not None, "dockerd comes first"
        self._is_frozen = False
        for pid in (self.dockerd_pid(), self._dockerd.pid):
            os.kill(pid, signal.SIGCONT)

    def docker(self, *arguments: str, stdin: bytes = b"") -> str:
        """What the docker command prints. It must succeed."""
        return checked(["docker", *arguments], stdin=stdin, environment=self.environment)

    def try_docker(self, *arguments: str) -> Done:
        """The docker command, however it ends."""
        return done(["docker", *arguments], environment=self.environment)

    @property
    def environment(self) -> dict[str, str]:
        """For programs that talk to this Docker, and keep nothing in the user's home."""
        return {
            "DOCKER_HOST": f"unix://{self.socket}",
            "DOCKER_CONFIG": str(self.place / "client"),
            "HOME": str(self.place),
        }

    def api(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Status and answer of dockerd; the answer as it is where it is not JSON."""
        connection = UnixConnection(self.socket)
        try:
            url = path if path == "/_ping" else API + path
            sent = None if body is None else json.dumps(body)
            connection.request(method, url, sent, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            read = answer.read()
        finally:
            connection.close()
        with suppress(ValueError):
            return answer.status, json.loads(read)
        return answer.status, read

    def run(self, *command: str, stdin: bytes = b"", deadline_s: float = COMMAND_S) -> Done:
        """A command on the host, however it ends."""
        how: dict[str, Any] = {"stdin": stdin, "deadline_s": deadline_s}
        return done(self.inside(command), environment=self.environment, **how)

    def connected(self, address: str, port: int, within_s: float = COMMAND_S) -> socket.socket:
        """A TCP connection of the host, as if a program on it had made it."""
        with ThreadPoolExecutor(1) as apart, open(f"/proc/{self.init}/ns/net", "rb") as net:
            there = (address, port)
            return apart.submit(_connected_from, net.fileno(), there, within_s).result()

    def popen(self, *command: str, log: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a program on the host. The process here is its parent, outside of the host.

        log  the file in the host's place that gets its output
        """
        with (self.place / log).open("ab") as output:
            return subprocess.Popen(
                self.inside(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **environment},
            )

    def pid_of(self, process: subprocess.Popen[bytes]) -> int:
        """The program that `popen` started, as this process sees it."""
        return _child(process)

    def seen(self, path: str | Path) -> Path:
        """A path of the host as one of this process: what is mounted there is mounted for it."""
        return Path(f"/proc/{self.init}/root") / str(path).lstrip("/")

    def cut(self) -> None:
        """Unplug the network."""
        _ip(*f"-n {self._switch} link set p-{self.name} down".split())

    def heal(self) -> None:
        _ip(*f"-n {self._switch} link set p-{self.name} up".split())

    def crash(self) -> None:
        """Power off: every process, mount and loop device of the host goes, files stay.

        The page cache is the machine's and stays too, so this cannot show writes that get lost.
        """
        assert self._box is not None, "up comes first"
        if self._is_frozen:
            self.thaw_dockerd()  # else the host would not end before it
        if self._box.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.init, signal.SIGKILL)
        self._box.communicate(timeout=DEADLINE_S)
        self._box = self._dockerd = None
        _ip("netns", "del", self._full_name)
        # The kernel takes the pair of interfaces away in its own time.
        gone = f"the network of {self.name} is gone"
        eventually(lambda: f"p-{self.name}@" not in _ip("-n", self._switch, "-br", "link"), gone)
        _remove_cgroups(self._full_name)

    def halt(self) -> None:
        """Power off without a word: no connection of its own is closed or reset."""
        self.cut()
        # Else the network stays for minutes, until nobody waits for an answer any more.
        self.run("sysctl", "-qw", "net.ipv4.tcp_orphan_retries=1")
        self.crash()

    def inside(self, command: tuple[str, ...]) -> list[str]:
        """What runs a command on the host, from outside of it."""
        assert self._box is not None, "up comes first"
        return ["nsenter", "-t", str(self.init), "-m", "-u", "-n", "-p", "--", *command]


class Bed:
    """The hosts of one test run and the switch they hang on."""

    def __init__(self) -> None:
        self.prefix = f"mbed-{secrets.token_hex(3)}"
        self.place = Path(tempfile.gettempdir()) / self.prefix
        with _cleaning():
            self._run = _run_file(self.prefix)
            self._run.write(str(self.place))
            self._run.flush()
        self.place.mkdir(mode=0o711)
        self.switch = f"{self.prefix}-switch"
        self._hosts: list[Host] = []
        # A namespace of its own for the bridge: no rule of the machine's firewall touches it.
        _ip("netns", "add", self.switch)
        _ip(*f"-n {self.switch} link add br0 type bridge".split())
        _ip(*f"-n {self.switch} link set br0 up".split())

    def host(self, name: str) -> Host:
        """A new host, not up yet. No route leads from it to the outside."""
        made = Host(self, name, f"10.77.0.{11 + len(self._hosts)}")
        self._hosts.append(made)
        return made

    def logs(self) -> dict[str, str]:
        """The ends of what was logged on each host, by file."""
        files = sorted(self.place.glob("*/*.log"))
        return {
            str(file.relative_to(self.place)): file.read_text(errors="replace")[-LOGGED_AT_MOST:]
            for file in files
        }

    def teardown(self) -> None:
        for host in self._hosts:
            if host.is_up:
                host.crash()
        with _cleaning():
            _clean(self.prefix, self._run)


@contextmanager
def a_bed() -> Iterator[Bed]:
    clean_leftovers()
    bed = Bed()
    try:
        yield bed
    finally:
        bed.teardown()


def clean_leftovers() -> None:
    """Take away the beds of test runs that ended without doing so themselves."""
    with _cleaning():
        for path in RUNS.glob("mbed-*"):
            with suppress(BlockingIOError):  # its run goes on
                run = _run_file(path.name)
                try:
                    _clean(path.name, run)
                except (AssertionError, OSError) as error:  # no fault of this run; the next tries
                    print(f"leftovers of {path.name} stay: {error}", file=sys.stderr)


def _clean(prefix: str, run: IO[str]) -> None:
    """Everything of a bed, and at last the note that there was one."""
    for line in _ip("netns", "list").splitlines():
        name = line.split()[0]
        if not name.startswith(f"{prefix}-"):
            continue
        # They end with the pipe of their run, some of them after more than a moment.
        eventually(partial(_is_deserted, name), f"nothing runs in {name}", LEFTOVERS_S)
        _ip("netns", "del", name)
    _remove_cgroups(f"{prefix}-*")
    run.seek(0)
    if place := run.read():
        _remove(Path(place))
    os.unlink(RUNS / prefix)
    run.close()


def _is_deserted(net: str) -> bool:
    """Also where nobody can tell: a run in a mount namespace of its own took its names with it."""
    asked = done(["ip", "netns", "pids", net])
    return asked.code != 0 or not asked.out


def _run_file(prefix: str) -> IO[str]:
    """Ours as long as it is open. Raises BlockingIOError if another process has it."""
    run = (RUNS / prefix).open("a+")
    try:
        fcntl.flock(run, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        run.close()
        raise
    return run


@contextmanager
def _cleaning() -> Iterator[None]:
    """One at a time: a bed that is being made or taken away has no owner for a moment."""
    RUNS.mkdir(mode=0o711, exist_ok=True)
    with (RUNS / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _remove(place: Path) -> None:
    if not place.exists():
        return
    try:
        shutil.rmtree(place)
    except PermissionError:  # what a volume would cover is immutable while it is bare
        done(["chattr", "-R", "-f", "-i", str(place)])
        shutil.rmtree(place)


def _remove_cgroups(pattern: str) -> None:
    """Those of a host; a group is busy for a moment after its last process ended."""

    def removed() -> bool:
        for root in (*CGROUPS.glob(pattern), *CGROUPS.glob(f"*/{pattern}")):
            for group, _, _ in os.walk(root, topdown=False):
                os.rmdir(group)
        return True

    eventually(removed, f"the control groups {pattern} are gone", LEFTOVERS_S)


def _connected_from(net: int, address: tuple[str, int], within_s: float) -> socket.socket:
    """To be run in a thread of its own, which goes to that network and stays there."""
    if ctypes.CDLL(None, use_errno=True).setns(net, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "the network of the host cannot be entered")
    return socket.create_connection(address, within_s)


def _child(process: subprocess.Popen[bytes]) -> int:
    """The one child of a process that only passes on how it ended."""
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    eventually(lambda: bool(path.read_text().split()), f"process {process.pid} has a child")
    return int(path.read_text().split()[0])
