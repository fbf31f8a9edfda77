"""Makes a private key and a request for its certificate, and says both as JSON.

A program of its own, as the library that does this would stay in memory for as long as we run.
"""

import sys

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mooring.host import processes

DEADLINE_S = 30.0


class Key(msgspec.Struct):
    """PEM, both."""

    key: str
    request: str


async def made() -> Key:
    """A new one. Raises ProgramFailed, HostStuck."""
    said = await processes.checked(*processes.own(__name__), deadline_s=DEADLINE_S)
    return msgspec.json.decode(said, type=Key)


def _made() -> Key:
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return Key(
        key.private_bytes(pem, form, serialization.NoEncryption()).decode(),
        request.sign(key, hashes.SHA256()).public_bytes(pem).decode(),
    )


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(_made()))
