"""Names of objects that nothing else ever has."""

import os
import re
from collections.abc import Iterator
from typing import Final

import msgspec

from mooring.objects.cache import Entry

_UID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
UIDS_AT_ONCE: Final = 64


def uids() -> Iterator[str]:
    """UUIDs of version 4. The randomness is fetched in blocks: asking the system for it gives
    Python's lock away, which a thread of the store may then keep for long."""
    while True:
        block = os.urandom(UIDS_AT_ONCE * 16).hex()
        for start in range(0, len(block), 32):
            digits = block[start : start + 32]
            variant = "89ab"[int(digits[16], 16) % 4]
            yield (
                f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"
            )


def is_uid(text: str) -> bool:
    """Whether it has the form of one, and nothing that a path would take for more than a name."""
    return _UID.fullmatch(text) is not None


class _Metadata(msgspec.Struct):
    uid: str = ""


class _Object(msgspec.Struct):
    metadata: _Metadata


_decoder: Final = msgspec.json.Decoder(_Object)


def uid_of(entry: Entry) -> list[str]:
    """As a mark of an index: the one that an object has."""
    return [_decoder.decode(entry.body).metadata.uid]
