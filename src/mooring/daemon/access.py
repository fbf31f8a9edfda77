"""Who may use the API, and with which certificates it is served."""

from pathlib import Path

import msgspec

from mooring.api.certificates import CLUSTER, Authority, kubeconfig, private_file
from mooring.api.identity import new_token, token_hash
from mooring.daemon.errors import KubeconfigOfOthers, usable
from mooring.daemon.settings import Settings


def users_of(settings: Settings, authority: Authority, url: str) -> dict[str, str]:
    """Users by token hash; the first start, or a lost kubeconfig, makes a new token for admin.

    Raises NotUsable, KubeconfigOfOthers.
    """
    known = settings.data_dir / "tokens.json"
    users: dict[str, str] = {}
    with usable(known):
        if known.exists():
            users = msgspec.json.decode(known.read_bytes(), type=dict[str, str])
    with usable(settings.kubeconfig):
        settings.kubeconfig.parent.mkdir(parents=True, exist_ok=True)
        token = _token_of(settings.kubeconfig)
    if token is None or token_hash(token) not in users:
        token = new_token()
        users = {token_hash(token): "admin"}
        with usable(known):
            private_file(known, msgspec.json.encode(users))
    with usable(settings.kubeconfig):
        private_file(settings.kubeconfig, kubeconfig(url, authority.ca.read_bytes(), token))
    return users


class _User(msgspec.Struct):
    user: dict[str, str] = {}


class _Cluster(msgspec.Struct):
    name: str


class _Kubeconfig(msgspec.Struct):
    clusters: list[_Cluster]
    users: list[_User] = []


def _token_of(path: Path) -> str | None:
    """None if there is no file, or an empty one. Raises KubeconfigOfOthers."""
    if not path.exists() or not (content := path.read_bytes()).strip():
        return None
    try:
        found = msgspec.yaml.decode(content, type=_Kubeconfig)
    except (msgspec.MsgspecError, ValueError) as error:
        raise KubeconfigOfOthers(path) from error
    if [one.name for one in found.clusters] != [CLUSTER]:
        raise KubeconfigOfOthers(path)
    return next((one.user["token"] for one in found.users if "token" in one.user), None)
