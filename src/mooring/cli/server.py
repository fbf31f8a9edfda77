"""`mooring server`: a server without a node agent."""

import asyncio

from mooring.cli.common import failing_well
from mooring.cli.kubeconfig import DEFAULT
from mooring.cli.up import (
    DataDir,
    Kubeconfig,
    LeaderLease,
    Listen,
    Store,
    StoreCa,
    StoreCert,
    StoreKey,
    StorePasswordFile,
    StoreUser,
    TlsSan,
    address_of,
    log_to_stderr,
    say_ready,
)


@failing_well
def server(
    store: Store = "",
    data_dir: DataDir = DEFAULT.parent,
    listen: Listen = "127.0.0.1:6443",
    tls_san: TlsSan = None,
    kubeconfig: Kubeconfig = None,
    store_ca: StoreCa = None,
    store_cert: StoreCert = None,
    store_key: StoreKey = None,
    store_user: StoreUser = "",
    store_password_file: StorePasswordFile = None,
    leader_lease: LeaderLease = 15.0,
) -> None:
    """Start a server alone. Several may share a store in etcd: one of them leads."""
    import uvloop  # both are slow to load, and only needed here

    from mooring.daemon.server import run
    from mooring.daemon.settings import Settings, StoreSettings

    host, port = address_of(listen)
    settings = Settings(
        data_dir=data_dir,
        host=host,
        port=port,
        kubeconfig=kubeconfig or data_dir / DEFAULT.name,
        pool=None,
        node_name="",
        tls_sans=tuple(tls_san or ()),
        store=StoreSettings(
            *(store, store_ca, store_cert, store_key, store_user, store_password_file)
        ),
        lease_s=leader_lease,
    )
    log_to_stderr()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(settings, lambda url: say_ready(url, settings.kubeconfig)))
