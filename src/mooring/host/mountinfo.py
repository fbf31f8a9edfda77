"""What the kernel says is mounted, in mountinfo. See proc(5)."""

import re
from collections.abc import Iterator, Set
from pathlib import PurePosixPath
from typing import Final, NamedTuple

# Clients of servers that know nothing of each other: what is in their memory they write when they
# can, however late.
LATE_TYPES: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "afs", "fuse"})
_DELETED: Final = "//deleted"
_SHARED_AND_SLAVE: Final = re.compile(r" shared:(\d+) master:(\d+) ")
# On these the kernel does not tell which directory a mount shows, so where it came from counts.
NFS_TYPES: Final = frozenset({"nfs", "nfs4"})
_NFS_SIGN: Final = " - nfs"
_ESCAPES: Final = (("\\", "134"), (" ", "040"), ("\t", "011"), ("\n", "012"))


class Place(NamedTuple):
    """A directory or file, whether it is mounted anywhere or not.

    device  "major:minor" of its file system; "nfs SERVER" of exports, which have several numbers
    root    where it is in that file system or on that server, "/" for all of it
    """

    device: str
    root: str

    def around(self) -> Iterator["Place"]:
        """It, and all that it is inside of."""
        root = self.root
        while root != "/":
            yield Place(self.device, root)
            root = root.rpartition("/")[0] or "/"
        yield Place(self.device, "/")


class Mount(NamedTuple):
    """One line of mountinfo, proc(5).

    id          of the mount, see mount_id
    device      "major:minor" of the file system
    root        the directory or file of that file system which is seen at the point; ends in
                "//deleted" once that was removed
    point       where, as the process sees it that was asked about
    peer_group  number of the group in which all get what is mounted in one of them; 0: in none
    master      number of the peer group whose mounts it gets as well; 0: of none
    """

    id: int
    parent: int
    device: str
    root: str
    point: str
    options: frozenset[str]
    type: str
    source: str
    peer_group: int = 0
    master: int = 0

    @property
    def writes_late(self) -> bool:
        """Whether what processes that have ended wrote may reach the data any time later, also when
        another host writes there."""
        return self.type in LATE_TYPES or self.type.startswith("fuse.")

    @property
    def place(self) -> Place:
        """What is seen at its point. Of NFS, a part of a mount that is bound is as all of it."""
        if self.type in NFS_TYPES:
            server, _, path = self.source.partition(":/")
            return Place(f"nfs {server}", "/" + path.rstrip("/"))
        return Place(self.device, self.root.removesuffix(_DELETED))

    def place_of(self, path: str) -> Place:
        """What is seen of this mount at a path at or below its point."""
        device, root = self.place
        below = path[len(self.point.rstrip("/")) :]
        return Place(device, root.rstrip("/") + below or "/")


class Mountinfo:
    """The mounts of one mount namespace, in the kernel's order: a later one covers an earlier one.

    There may be thousands, so a line is taken apart only when it is asked for.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._numbered: dict[str, str] = {}  # lines by the ids of their mounts, once needed

    @classmethod
    def of(cls, process: int | str = "self") -> "Mountinfo":
        """As a process has it. Raises OSError if that is gone, or not ours to look into."""
        # A carriage return in a name is not the end of a line.
        with open(
            f"/proc/{process}/mountinfo", encoding="utf-8", errors="surrogateescape", newline=""
        ) as file:
            return cls(file.read())

    def all(self) -> list[Mount]:
        return [_parsed_line(line) for line in self._lines()]

    def at(self, point: str) -> list[Mount]:
        """What is mounted exactly there, the one that is seen last."""
        found = map(_parsed_line, self._lines(f" {_escaped(point)} "))
        return [mount for mount in found if mount.point == point]

    def covering(self, path: str) -> Mount | None:
        """The one that a path is in, which is absolute and free of links. None: outside of all."""
        for one in (PurePosixPath(path), *PurePosixPath(path).parents):
            if found := self.at(str(one)):
                return found[-1]
        return None

    def showing(self, places: Set[Place]) -> Iterator[tuple[Place, Mount]]:
        """The mounts of some places, or of something inside them."""
        signs = [_sign(place) for place in places]
        devices = {place.device for place in places}
        for line in self._lines(signs[0] if len(signs) == 1 else ""):
            shown = _shown(line)
            if shown.device not in devices:
                continue
            if found := [place for place in shown.around() if place in places]:
                mount = _parsed_line(line)
                yield from ((place, mount) for place in found)

    def mount(self, number: int) -> Mount | None:
        """The one with this id; None also if it is outside of the root of that process."""
        if not self._numbered:
            self._numbered = {line.partition(" ")[0]: line for line in self._text.split("\n")}
        line = self._numbered.get(str(number))
        return None if line is None else _parsed_line(line)

    def parent(self, mount: Mount) -> Mount | None:
        """What a mount is mounted in."""
        return self.mount(mount.parent)

    def masters(self) -> Iterator[tuple[int, int]]:
        """The peer groups that get the mounts of another one, and which that is."""
        for found in _SHARED_AND_SLAVE.finditer(self._text):
            yield int(found[1]), int(found[2])

    def _lines(self, sign: str = "") -> Iterator[str]:
        """Those with a text in them, which none has as a rule."""
        if sign in self._text:
            for line in self._text.split("\n"):
                if line and sign in line:
                    yield line


def _sign(place: Place) -> str:
    """A text in every line whose mount shows a place, or something in it."""
    if place.device.startswith("nfs "):
        return _NFS_SIGN
    return f" {place.device} {_escaped(place.root)}"


def _shown(line: str) -> Place:
    """The place of a mount, by its line: only what is needed of that is looked at."""
    if _NFS_SIGN in line:
        return _parsed_line(line).place
    _, _, device, root, _ = line.split(" ", 4)
    return Place(device, _unescaped(root).removesuffix(_DELETED))


def _parsed_line(line: str) -> Mount:
    before, _, after = line.partition(" - ")
    number, parent, device, root, point, options, *optional = before.split(" ")
    kind, source, *_ = after.split(" ")
    tags = dict(field.split(":", 1) for field in optional if ":" in field)
    return Mount(
        id=int(number),
        parent=int(parent),
        device=device,
        root=_unescaped(root),
        point=_unescaped(point),
        options=frozenset(options.split(",")),
        type=kind,
        source=_unescaped(source.replace("\\043", "#")),
        peer_group=int(tags.get("shared", 0)),
        master=int(tags.get("master", 0)),
    )


def _unescaped(text: str) -> str:
    """Blanks and the like are written as three octal digits; the backslash last, it is one too."""
    if "\\" in text:
        for character, digits in reversed(_ESCAPES):
            text = text.replace(f"\\{digits}", character)
    return text


def _escaped(text: str) -> str:
    """As paths are written in mountinfo."""
    for character, digits in _ESCAPES:
        text = text.replace(character, f"\\{digits}")
    return text
