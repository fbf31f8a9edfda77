"""Certificates that the operator, an ACME client or a swarm secret puts in a directory. Edge §11.

Each is a file with certificate, chain and key in PEM, or a directory with `fullchain.pem` and
`privkey.pem`, as certbot leaves them. Names are those that the certificate itself is for.
"""

import os
import ssl
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha1, sha256
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID, PublicKeyAlgorithmOID

from mooring.edge.hosts import is_covered, is_pattern
from mooring.edge.labels import shown
from mooring.edge.routes import Problem

LARGEST: Final = 15 << 10  # bytes of PEM: what HAProxy takes at runtime
STOPGAP_DAYS: Final = 3650
_KINDS: Final = {
    PublicKeyAlgorithmOID.EC_PUBLIC_KEY: "ecdsa",
    PublicKeyAlgorithmOID.RSAES_PKCS1_v1_5: "rsa",
}
_UNREADABLE: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


@dataclass(frozen=True, slots=True)
class Certificate:
    """One that can be served.

    source       of the operator: a file, or a directory
    pem          certificate, chain and key
    names        hosts and *.NAME that it is for; once chosen, that it is served for
    begins       when it is good from, and until when
    kind         of its key; of each kind one may be served for a name
    fingerprint  SHA-1 of the certificate, in upper case, as HAProxy shows it
    """

    source: str
    pem: str
    names: frozenset[str]
    begins: datetime
    expires: datetime
    kind: str
    fingerprint: str

    @property
    def file(self) -> str:
        """Its name beside the proxy: nothing of the operator's own. Another for other names."""
        text = "\n".join((self.source, *sorted(self.names)))
        return f"{sha256(text.encode()).hexdigest()[:16]}.pem"

    def is_good(self, now: datetime) -> bool:
        return self.begins <= now < self.expires

    @property
    def digest(self) -> str:
        """Of all that is served: a chain may be another where the certificate is the same."""
        return sha256(self.pem.encode()).hexdigest()[:32]


class _Bad(Exception):
    pass


def certificates_in(
    directory: Path, before: Mapping[str, Certificate]
) -> tuple[dict[str, Certificate], list[Problem]]:
    """All of a directory by source; one that is bad now stays as it was before.

    What cannot be read stays as well, the whole directory too: only what is no longer there goes.
    """
    try:
        entries = sorted(directory.iterdir())
    except OSError as error:
        return dict(before), [_problem(f"certificates: {error}")]
    found: dict[str, Certificate] = {}
    problems = []
    for entry in entries:
        source = entry.name
        try:
            files = _files(entry)
            if files:
                pem = "\n".join(one.read_text() for one in files)
                known = before.get(source)
                found[source] = known if known and known.pem == _tidy(pem) else _read(source, pem)
        except (_Bad, OSError, UnicodeDecodeError) as error:
            if source in before:
                found[source] = before[source]
            problems.append(_problem(f"certificate {shown(source)}: {error}"))
    return found, problems


def chosen(found: Iterable[Certificate], now: datetime) -> list[Certificate]:
    """What is served of these, each with the names that it is served for.

    For each name the one that is good the longest; one that is not good now only where no other is
    for that name.
    """
    ranked = sorted(found, key=lambda one: (one.is_good(now), one.expires, one.source))
    good = frozenset().union(*(one.names for one in ranked if one.is_good(now)))
    taken: set[tuple[str, str]] = set()
    made = []
    for one in reversed(ranked):
        is_good = one.is_good(now)
        names = {name for name in one.names if is_good or not is_covered(name, good)}
        names = {name for name in names if (name, one.kind) not in taken}
        taken |= {(name, one.kind) for name in names}
        if names:
            made.append(replace(one, names=frozenset(names)))
    return made


def chosen_in(directory: str, now: datetime) -> list[Certificate]:
    """What is served of a directory; empty: there is none."""
    found = certificates_in(Path(directory), {})[0] if directory else {}
    return chosen(found.values(), now)


class Covered(NamedTuple):
    """Names that certificates are served for; and those of them where none is good now."""

    names: frozenset[str] = frozenset()
    expired: frozenset[str] = frozenset()


def covered(served: Collection[Certificate], now: datetime) -> Covered:
    """By what is served."""
    bad = (one.names for one in served if not one.is_good(now))
    return Covered(frozenset().union(*(one.names for one in served)), frozenset().union(*bad))


def stopgap() -> Certificate:
    """One that nobody believes: what a client gets that asks for a name without a certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "no certificate for this name")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=STOPGAP_DAYS))
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(Encoding.PEM) + key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    return _certificate("", _tidy(pem.decode()), made)


def _problem(message: str) -> Problem:
    return Problem("BadCertificate", "", "", message)


def _files(entry: Path) -> list[Path]:
    """Of one that may be a certificate, its files; empty if it is none. Raises OSError."""
    if entry.name.startswith(".") or entry.name == "README":  # certbot's is beside the others
        return []
    mode = entry.stat().st_mode
    if stat.S_ISREG(mode):
        return [entry]
    if not stat.S_ISDIR(mode):
        return []
    pair = [entry / "fullchain.pem", entry / "privkey.pem"]
    # Half of it is one that an ACME client is about to renew.
    return pair if {one.name for one in entry.iterdir()} & {one.name for one in pair} else []


def _read(source: str, pem: str) -> Certificate:
    """Raises _Bad, with what is wrong in words."""
    if len(pem) > LARGEST:
        raise _Bad(f"it has more than {LARGEST} bytes")
    try:
        # What is in it is parsed little by little, so each of these may find what it cannot read.
        chain = x509.load_pem_x509_certificates(pem.encode())
        key = load_pem_private_key(pem.encode(), None)
        leaf = chain[0]
        form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        is_its = key.public_key().public_bytes(*form) == leaf.public_key().public_bytes(*form)
        made = _certificate(source, _tidy(pem), leaf)
    except _UNREADABLE as error:
        raise _Bad(f"it has no certificate and key that can be read: {error}"[:200]) from error
    if not is_its:
        raise _Bad("its key belongs to another certificate")
    if not made.names:
        raise _Bad("it is for no DNS name (subjectAltName)")
    _try_to_serve(made.pem)
    return made


def _certificate(source: str, pem: str, leaf: x509.Certificate) -> Certificate:
    der = leaf.public_bytes(Encoding.DER)
    return Certificate(
        source=source,
        pem=pem,
        names=frozenset(_names(leaf)),
        begins=leaf.not_valid_before_utc,
        expires=leaf.not_valid_after_utc,
        kind=_KINDS.get(leaf.public_key_algorithm_oid, ""),
        fingerprint=sha1(der, usedforsecurity=False).hexdigest().upper(),
    )


def _try_to_serve(pem: str) -> None:
    """Raises _Bad if OpenSSL refuses it: a proxy would refuse all of its configuration."""
    # In memory: a key is written to no disk but where the proxy reads it.
    with os.fdopen(os.memfd_create("certificate"), "w") as file:
        file.write(pem)
        file.flush()
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
        except ssl.SSLError as error:
            why = (error.reason or str(error)).replace("_", " ").lower()
            raise _Bad(f"OpenSSL refuses it: {why}") from error


def _names(leaf: x509.Certificate) -> Iterator[str]:
    try:
        said = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return
    for name in said.get_values_for_type(x509.DNSName):
        if is_pattern(name.lower()):
            yield name.lower()


def _tidy(pem: str) -> str:
    """Without blank lines: one ends what HAProxy takes at runtime."""
    return "".join(f"{line.strip()}\n" for line in pem.splitlines() if line.strip())
