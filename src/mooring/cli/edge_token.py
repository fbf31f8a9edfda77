"""`mooring edge token`: what an edge needs to hear agents, in files that its edge file names."""

import json
import os
import ssl
from pathlib import Path

from mooring.cli.client import Client, path_of
from mooring.cli.kubeconfig import access
from mooring.errors import Effect, MooringError

TOKEN, CA = "edge.token", "edge-servers.pem"


class NotKept(MooringError):
    code, effect = "NotKept", Effect.NONE

    def __init__(self, path: Path, error: OSError) -> None:
        self.what = f"{path} cannot be written: {error.strerror or error}"
        self.remedy = "name another place with --directory; the token is made anew then"
        super().__init__(self.what)


def made(name: str, directory: Path, days: float, kubeconfig: Path | None) -> list[str]:
    """Lines of the edge file. Raises NotKept, and what the client does."""
    client = Client(kubeconfig)
    asked = json.dumps({"edge": name, "days": days}).encode()
    said = client.ask("POST", path_of("edge", "tokens"), asked)
    place = directory.absolute()
    authorities = access(kubeconfig).trust.get_ca_certs(binary_form=True)
    _keep(place / CA, "".join(map(ssl.DER_cert_to_PEM_cert, authorities)), 0o644)
    _keep(place / TOKEN, f"{said['token']}\n", 0o600)
    return [
        f"# in the edge file; good until {said['expires']}",
        "agents:",
        f"  urls: [{client.url}]  # of each server",
        f"  tokenFile: {place / TOKEN}",
        f"  ca: {place / CA}",
    ]


def ended(name: str, kubeconfig: Path | None) -> list[str]:
    """What there is to say once its token is good no more. Raises what the client does."""
    asked = json.dumps({"edge": name, "days": 0}).encode()
    Client(kubeconfig).ask("POST", path_of("edge", "tokens"), asked)
    return [f"the edge {name} hears agents no more"]


def _keep(path: Path, text: str, mode: int) -> None:
    """In the place of what was there, whole. Raises NotKept."""
    new = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
            file.write(text)
        os.replace(new, path)
    except OSError as error:
        raise NotKept(path, error) from error
