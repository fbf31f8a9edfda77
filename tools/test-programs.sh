#!/bin/sh
# Bring the programs that only tests use: an old kubectl into .tools, the system's own stays as it
# is; and, for root on Debian, the packages that hosts with Docker and file systems are made of.
# What cannot be had is said here, and the tests that use it are skipped with the reason.
set -eu
cd "$(dirname "$0")/.."
old=.tools/kubectl-1.20

missing() { # what is so, which tests are skipped
    echo "test programs: $1; tests with $2 are skipped"
    exit 0
}

candidate() { # the version of a package that apt would install
    apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: *//p'
}

with_lists() { # of packages, so that this one is found; which tests are skipped otherwise
    command -v apt-get >/dev/null && command -v dpkg >/dev/null || missing "this is not Debian" "$2"
    case "$(candidate "$1")" in
    '' | '(none)')
        [ "$(id -u)" = 0 ] || missing "no package lists; run as root: apt-get update" "$2"
        apt-get update -qq </dev/null || missing "apt-get update failed" "$2"
        ;;
    esac
}

old_kubectl() (
    tests="kubectl 1.20"
    [ ! -x $old/usr/bin/kubectl ] || exit 0
    with_lists kubernetes-client "$tests"
    found=$(candidate kubernetes-client)
    case "$found" in
    1.20*) ;;
    *) missing "the package kubernetes-client here is '$found', 1.20 is in Debian 12" "$tests" ;;
    esac
    place=$(mktemp -d)
    trap 'rm -rf "$place"' EXIT
    [ "$(id -u)" != 0 ] || chown _apt "$place" 2>/dev/null || true # apt downloads as this user
    (cd "$place" && apt-get download -qq kubernetes-client </dev/null) ||
        missing "the download failed" "$tests"
    mkdir -p .tools
    rm -rf $old.part
    dpkg -x "$place"/kubernetes-client_*.deb $old.part
    rm -rf $old
    mv $old.part $old # whole or not at all: an interrupted run leaves nothing that looks finished
)

packages() ( # which tests need them, then PROGRAM:PACKAGE…; a program that is there is left alone
    tests=$1
    shift
    wanted=
    for pair; do
        command -v "${pair%:*}" >/dev/null || wanted="$wanted ${pair#*:}"
    done
    [ -n "$wanted" ] || exit 0
    [ "$(id -u)" = 0 ] || missing "only root can install$wanted" "$tests"
    for package in $wanted; do
        with_lists "$package" "$tests"
    done
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    # The lists may be so old that what they name is not there any more.
    install $wanted >"$log" 2>&1 || { apt-get update && install $wanted; } </dev/null >"$log" 2>&1 || {
        tail -n 5 "$log"
        missing "apt-get install$wanted failed" "$tests"
    }
)

install() {
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" </dev/null
}

PATH=$PATH:/usr/sbin:/sbin # where some of these are, and not every user looks
old_kubectl
packages "hosts of Docker" dockerd:docker.io docker:docker.io ip:iproute2 busybox:busybox-static \
    nsenter:util-linux
packages "docker-compose" docker-compose:docker-compose
packages "volumes that move" rsync:rsync
packages "block file systems" mkfs.btrfs:btrfs-progs mkfs.xfs:xfsprogs
packages "entries to a swarm" haproxy:haproxy nginx:nginx-light curl:curl \
    /usr/lib/nginx/modules/ngx_stream_module.so:libnginx-mod-stream
packages "one address of two machines" keepalived:keepalived curl:curl
packages "certificates by ACME" pebble:pebble certbot:certbot lego:lego
packages "backups" restic:restic
packages "a store that several servers share" etcd:etcd-server etcdctl:etcd-client
packages "rules and metrics of Prometheus" promtool:prometheus
packages "measurements of the data path" fio:fio
packages "virtual machines" qemu-system-x86_64:qemu-system-x86
packages "NFS servers in virtual machines" mount.nfs:nfs-common rpc.nfsd:nfs-kernel-server
packages "iSCSI targets in virtual machines" iscsiadm:open-iscsi tgtd:tgt
