"""What Docker calls a volume, and which claim that is. Docker volumes §4."""

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, NamedTuple

from mooring.dockerplugin.errors import BadName, NamespaceNotAllowed
from mooring.model.claim import Claim
from mooring.model.names import ANONYMOUS, DOCKER_NAME
from mooring.objects.kinds.common import is_subdomain

NAME_AT_MOST: Final = 255  # letters, of a name without its namespace
STEM_AT_MOST: Final = 240  # so that a dash and the hash fit into 253
HASH_DIGITS: Final = 8

_PART: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_ANONYMOUS: Final = re.compile(r"[0-9a-f]{64}")
_FOREIGN: Final = re.compile(r"[^a-z0-9.-]")
_DOT_AT_EDGE: Final = re.compile(r"(?<=[.-])\.|\.(?=[.-])")  # no part may begin or end there


@dataclass(frozen=True)
class Namespaces:
    """Those that Docker reaches.

    default  of names that say none
    also     of names that say them: ns/name
    """

    default: str = "default"
    also: frozenset[str] = frozenset()

    def reaches(self, namespace: str) -> bool:
        return namespace == self.default or namespace in self.also


class DockerName(NamedTuple):
    """A name that Docker said, and the claim that it means.

    shown  as Docker says it; a claim has one such name only
    bare   the same without its namespace
    """

    namespace: str
    claim: str
    shown: str
    bare: str
    is_anonymous: bool

    @property
    def key(self) -> str:
        """ "namespace/name" of the claim."""
        return f"{self.namespace}/{self.claim}"

    @property
    def annotations(self) -> dict[str, str]:
        """Of the claim that is made for it."""
        return {DOCKER_NAME: self.bare} if self.bare != self.claim else {}

    @property
    def labels(self) -> dict[str, str]:
        """Of the claim that is made for it."""
        return {ANONYMOUS: "true"} if self.is_anonymous else {}


def claim_named(name: str, namespaces: Namespaces) -> DockerName:
    """The claim that a name means; whether it exists is not looked at.

    raises  BadName, NamespaceNotAllowed
    """
    said, slash, bare = name.rpartition("/")
    parts = (said, bare) if slash else (bare,)
    if len(bare) > NAME_AT_MOST or not all(_PART.fullmatch(part) for part in parts):
        raise BadName(name)
    # Not even if it is said to be allowed: one claim would be two volumes to Docker, and used by
    # the one name it could be removed by the other.
    if slash and (said == namespaces.default or said not in namespaces.also):
        raise NamespaceNotAllowed(name, said, namespaces.default, sorted(namespaces.also))
    return DockerName(
        namespace=said or namespaces.default,
        claim=_claim_of(bare),
        shown=name,
        bare=bare,
        is_anonymous=not slash and _ANONYMOUS.fullmatch(bare) is not None,
    )


def shown_name(claim: Claim, namespaces: Namespaces) -> str | None:
    """What Docker calls a claim; None if it is of a namespace that Docker does not reach.

    It is the claim of a name if this is that name, and another's if not (NameTaken).
    """
    if not namespaces.reaches(claim.namespace):
        return None
    # Anybody may have written the annotation: it counts only if the name leads back here.
    kept = claim.annotations.get(DOCKER_NAME, "").removeprefix(f"{claim.namespace}/")
    leads_here = _PART.fullmatch(kept) and len(kept) <= NAME_AT_MOST
    bare = kept if leads_here and _claim_of(kept) == claim.name else claim.name
    return bare if claim.namespace == namespaces.default else f"{claim.namespace}/{bare}"


def _claim_of(bare: str) -> str:
    if is_subdomain(bare):
        return bare
    plain = _DOT_AT_EDGE.sub("-", _FOREIGN.sub("-", bare.lower()))
    digest = sha256(bare.encode()).hexdigest()[:HASH_DIGITS]
    return f"{plain[:STEM_AT_MOST].strip('-.')}-{digest}"
