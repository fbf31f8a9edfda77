"""X.509 by the cryptography library: an authority, and certificates that it signs."""

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Pair = tuple[bytes, bytes]  # key and certificate, PEM


def authority(days: int) -> Pair:
    """A new certificate authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("mooring-ca")
    builder = _builder(name, name, key.public_key(), days)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    builder = builder.add_extension(usage, critical=True)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = builder.add_extension(identifier, critical=False)
    return _pem(key), builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def server(ca_key: bytes, ca: bytes, hosts: Sequence[str], days: int) -> Pair:
    """A server's certificate for these DNS names and addresses."""
    signer = serialization.load_pem_private_key(ca_key, None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    issuer = x509.load_pem_x509_certificate(ca)
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(_name("mooring"), issuer.subject, key.public_key(), days)
    names = x509.SubjectAlternativeName([_general(host) for host in hosts])
    builder = builder.add_extension(names, critical=False)
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    builder = builder.add_extension(usage, critical=False)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    builder = builder.add_extension(identifier, critical=False)
    certificate = builder.sign(signer, hashes.SHA256())
    return _pem(key), certificate.public_bytes(serialization.Encoding.PEM)


def agent(
    ca_key: bytes, ca: bytes, request: bytes, names: tuple[str, str], days: float
) -> tuple[bytes, datetime]:
    """A certificate for the key of an agent, whatever else its request says; and when it ends.

    names   a DNS name and a URI that it is good for
    raises  ValueError: it is no request, or not signed by its key
    """
    asked = x509.load_pem_x509_csr(request)
    key = asked.public_key()
    if not asked.is_signature_valid or not isinstance(key, ec.EllipticCurvePublicKey):
        raise ValueError("it is not signed by an elliptic key of its own")
    signer = serialization.load_pem_private_key(ca_key, None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    issuer = x509.load_pem_x509_certificate(ca)
    builder = _builder(_name("mooring-agent"), issuer.subject, key, days)
    general = [x509.DNSName(names[0]), x509.UniformResourceIdentifier(names[1])]
    builder = builder.add_extension(x509.SubjectAlternativeName(general), critical=False)
    both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = builder.add_extension(x509.ExtendedKeyUsage(both), critical=False)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    builder = builder.add_extension(identifier, critical=False)
    certificate = builder.sign(signer, hashes.SHA256())
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    return pem, certificate.not_valid_after_utc


def described(certificate: bytes) -> tuple[datetime, set[str]]:
    """(when it ends, which hosts it is good for)."""
    found = x509.load_pem_x509_certificate(certificate)
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    hosts = set(names.get_values_for_type(x509.DNSName))
    hosts |= {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    return found.not_valid_after_utc, hosts


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: float
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))  # clocks differ
        .not_valid_after(now + timedelta(days=days))
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
