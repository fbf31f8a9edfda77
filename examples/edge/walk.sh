#!/bin/sh
# The walk of docs/edge.md, on a swarm of yours: a service of three tasks, an entry to it by HAProxy and
# one by nginx on this machine, and what their clients see when tasks, containers and a host go. All
# that it makes it removes at its end.
#
#   IMAGE=nginx:alpine OTHER='docker -H ssh://root@h2' sh examples/edge/walk.sh
#
# IMAGE    what answers HTTP on port 80; COMMAND with its words, if it needs one; ASK is the path
# OTHER    docker of another host of the swarm: all its containers of the service are stopped there
# HALT     a command that halts a host, as "ssh root@h3 poweroff -f"; nothing is halted without it
# SOCKET   of a manager's Docker; DOCKER_HOST is set to it
set -eu
IMAGE=${IMAGE:-nginx:alpine} COMMAND=${COMMAND:-} ASK=${ASK:-/} OTHER=${OTHER:-} HALT=${HALT:-}
SOCKET=${SOCKET:-/var/run/docker.sock} MOORING=${MOORING:-mooring} WAIT_S=${WAIT_S:-30}
export DOCKER_HOST="unix://$SOCKET"
NAME=walk HOST=walk.example.com PROXIES="haproxy nginx"
place=$(mktemp -d) pids=

port_of() { [ "$1" = haproxy ] && echo 8081 || echo 8082; }

step() { printf '\n== %s\n' "$*"; }

ask() { # PROXY: one request; prints the status
    curl -s -o /dev/null -m 40 -w '%{http_code}\n' -H "Host: $HOST" "http://127.0.0.1:$(port_of "$1")$ASK" || true
}

asking() { # PROXY: without an end, each answer on a line
    while :; do
        ask "$1" >>"$place/$1.answers"
        sleep 0.05
    done
}

answers() { # how many of which status there were since the last time
    for proxy in $PROXIES; do
        mv "$place/$proxy.answers" "$place/$proxy.told" 2>/dev/null || continue
        printf '%-8s' "$proxy"
        sort "$place/$proxy.told" | uniq -c | awk '{ printf "  %s times %s", $1, $2 } END { print "" }'
    done
}

up() { # HOW-MANY: until so many servers of each entry serve
    left=$((WAIT_S * 5))
    for proxy in $PROXIES; do
        until [ "$("$MOORING" edge status -o json -f "$place/$proxy.yaml" 2>/dev/null |
            grep -o '"state": *"serves"' | wc -l)" -ge "$1" ]; do
            left=$((left - 1))
            [ "$left" -gt 0 ] || { echo "$proxy has no $1 servers after ${WAIT_S}s" >&2; exit 1; }
            sleep 0.2
        done
    done
}

end() {
    [ -z "$pids" ] || kill $pids 2>/dev/null || true
    for proxy in $PROXIES; do # a proxy goes on without Mooring, so it is ended by itself
        kill "$(head -n 1 "$place/$proxy/$proxy.pid" 2>/dev/null)" 2>/dev/null || true
    done
    docker service rm "$NAME" >/dev/null 2>&1 || true
    rm -rf "$place"
}
trap end EXIT
trap 'exit 1' INT TERM

step "a service of three tasks, each with a port of its own on its node"
docker service create --quiet --detach --name "$NAME" --replicas 3 --publish mode=host,target=80 \
    --label "mooring.edge.host=$HOST" --update-order start-first --no-resolve-image \
    --endpoint-mode dnsrr "$IMAGE" $COMMAND

step "an entry to it by HAProxy, and one by nginx"
for proxy in $PROXIES; do
    cat >"$place/$proxy.yaml" <<FILE
proxy: $proxy
directory: $place/$proxy
managers: [$SOCKET]
entryPoints: [{name: http, port: $(port_of "$proxy")}]
FILE
    "$MOORING" edge run -f "$place/$proxy.yaml" 2>>"$place/$proxy.log" &
    pids="$pids $!"
done
up 3
for proxy in $PROXIES; do
    asking "$proxy" &
    pids="$pids $!"
done
"$MOORING" edge status -f "$place/haproxy.yaml"
"$MOORING" edge explain "$HOST" -f "$place/haproxy.yaml"
sleep 2
answers

step "six tasks, and three again"
docker service scale --detach "$NAME=6" >/dev/null
up 6
docker service scale --detach "$NAME=3" >/dev/null
sleep 5
answers

if [ -n "$OTHER" ]; then
    step "all containers of the service on another host are stopped; the swarm starts others"
    $OTHER stop -t 1 $($OTHER ps --quiet --filter "label=com.docker.swarm.service.name=$NAME") || true
    up 3
    sleep 5
    answers
fi

if [ -n "$HALT" ]; then
    step "a host is halted; what was under way there may be late, and is tried elsewhere"
    $HALT
    sleep "$WAIT_S"
    up 3
    answers
fi

step "how it stands"
"$MOORING" edge status -f "$place/haproxy.yaml"
"$MOORING" edge events -f "$place/haproxy.yaml"
