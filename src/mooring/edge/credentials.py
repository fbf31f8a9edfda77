"""What an edge shows to a Mooring server, and what it trusts one by."""

import re
import ssl
from pathlib import Path
from typing import Final

_TOKEN: Final = re.compile(r"[!-~]+", re.ASCII)


class NoToken(Exception):
    """What is in its file is none."""


def credentials(token_file: str, ca: str) -> tuple[str, ssl.SSLContext]:
    """The token, and whom to believe that they are the server. Blocks.

    Read each time: they may have been renewed.

    ca      file of PEM; empty: the machine's own authorities
    raises  OSError, ssl.SSLError, NoToken
    """
    file = Path(token_file)
    token = file.read_text(errors="replace").strip()
    if not _TOKEN.fullmatch(token):
        raise NoToken(f"there is no token in {file}")
    return token, ssl.create_default_context(cafile=ca or None)
