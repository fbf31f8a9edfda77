"""Docker's API as a client has it, and a plugin's as dockerd has it. One call at a time."""

import http.client
import json
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from bench.client import BenchError
from testbed.hosts import API, UnixConnection

LOCAL: Final = "local"  # Docker's own driver
MOORING: Final = "mooring"  # as the plugin's socket is called
TARGET: Final = "/data"  # in a container, where its volume is


class Docker:
    """A client of dockerd that keeps its connection. Every call raises BenchError if refused."""

    def __init__(self, socket: Path) -> None:
        self._connection = UnixConnection(socket)

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """What it answers; None where that is nothing."""
        sent = None if body is None else json.dumps(body)
        try:
            self._connection.request(method, API + path, sent, {"Content-Type": "application/json"})
            answer = self._connection.getresponse()
            read = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise BenchError(f"dockerd, {method} {path}: {error or type(error)}") from error
        found = json.loads(read) if read else None
        if answer.status >= 400:
            raise BenchError(f"dockerd, {method} {path}: {answer.status} {found}")
        return found

    def create_volume(self, name: str, driver: str) -> None:
        self.ask("POST", "/volumes/create", {"Name": name, "Driver": driver})

    def volume_status(self, name: str) -> dict[str, Any]:
        """What its driver says of it."""
        found: dict[str, Any] = self.ask("GET", f"/volumes/{quote(name)}")["Status"]
        return found

    def remove_volume(self, name: str) -> None:
        self.ask("DELETE", f"/volumes/{quote(name)}")

    def run(self, image: str, volume: str, *command: str) -> str:
        """Create a container with a volume that is there, and start it. Returns its id."""
        binds = {"Binds": [f"{volume}:{TARGET}"], "NetworkMode": "none"}
        wanted = {"Image": image, "Cmd": command, "HostConfig": binds}
        made: str = self.ask("POST", "/containers/create", wanted)["Id"]
        self.ask("POST", f"/containers/{made}/start")
        return made

    def end(self, container: str) -> None:
        """Wait until a container has ended by itself, and remove it."""
        self.ask("POST", f"/containers/{container}/wait")
        self.ask("DELETE", f"/containers/{container}")

    def close(self) -> None:
        self._connection.close()


class Plugin:
    """Calls a volume plugin as dockerd does, with a connection for each call."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    def call(self, name: str, **body: str) -> Any:
        """name  "List", "Get" … Raises BenchError; OSError if nothing listens there."""
        connection = UnixConnection(self._socket)
        try:
            connection.request("POST", f"/VolumeDriver.{name}", json.dumps(body))
            found = json.loads(connection.getresponse().read())
        except http.client.HTTPException as error:
            raise BenchError(f"the plugin, {name}: {error or type(error)}") from error
        finally:
            connection.close()
        if found.get("Err"):
            raise BenchError(f"the plugin, {name}: {found['Err']}")
        return found
