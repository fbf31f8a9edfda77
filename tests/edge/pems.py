"""Certificates for tests, of keys that are quick to make."""

from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID


@cache
def a_pem(
    *names: str,
    serial: int = 1,
    is_weak: bool = False,
    days: tuple[int, int] = (-1, 30),
    odd: tuple[str, bytes] | None = None,
) -> tuple[str, str]:
    """A certificate of its own for these names, and its key.

    is_weak  OpenSSL refuses it
    days     from now, from when and until when it is good
    odd      an extension, by its number, with what may be none
    """
    weak, strong = rsa.generate_private_key, ec.generate_private_key
    key = weak(65537, 1024) if is_weak else strong(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
    )
    if names:
        alternative = x509.SubjectAlternativeName([x509.DNSName(one) for one in names])
        builder = builder.add_extension(alternative, critical=False)
    if odd is not None:
        unread = x509.UnrecognizedExtension(x509.ObjectIdentifier(odd[0]), odd[1])
        builder = builder.add_extension(unread, critical=False)
    made = builder.sign(key, hashes.SHA256())
    form = (
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return (
        made.public_bytes(serialization.Encoding.PEM).decode(),
        key.private_bytes(*form).decode(),
    )
