"""The client against a server with TLS."""

import json
from pathlib import Path

import pytest

from bench.client import BenchError, Refused, Target, connect, connections, drive
from bench.collection import CONNECTIONS, ask, clear, following, listed, load
from bench.objects import CONFIG_MAPS, OTHERS, ROW, VOLUMES, config_map, names, volume
from tests.bench.fake_api import FakeApi


async def test_every_request_is_sent_once_over_many_connections(
    api: FakeApi, target: Target
) -> None:
    wanted = names("x", 200)
    requests = [target.request("POST", VOLUMES, volume(name)) for name in wanted]
    async with connections(target, CONNECTIONS) as pool:
        count = await drive(pool, requests, 201, within_s=30)
    assert (count, sorted(api.collections[VOLUMES])) == (200, wanted)


async def test_the_first_refusal_ends_the_drive_with_the_servers_words(target: Target) -> None:
    requests = [target.request("POST", VOLUMES, volume("twice"))] * 100
    async with connections(target, 4) as pool:
        with pytest.raises(Refused, match="409: it exists"):
            await drive(pool, requests, 201, within_s=30)


async def test_a_server_with_another_certificate_is_not_talked_to(target: Target) -> None:
    stranger = Target.of(f"https://127.0.0.1:{target.port}", "a-token")
    stranger.context.check_hostname = True
    stranger.context.verify_mode = target.context.verify_mode
    with pytest.raises(BenchError, match="no connection"):
        await connect(stranger)


async def test_any_certificate_is_accepted_without_a_ca(target: Target) -> None:
    lax = Target.of(f"https://127.0.0.1:{target.port}", "a-token")
    assert (await ask(lax, "GET", "/version")).status == 200


async def test_a_port_where_nobody_listens_is_said(certificate: Path) -> None:
    nobody = Target.of("https://127.0.0.1:1", "", str(certificate))
    with pytest.raises(BenchError, match="no connection to"):
        await connect(nobody)


def test_a_url_that_is_not_https_is_refused() -> None:
    with pytest.raises(BenchError, match="is not a URL like"):
        Target.of("http://127.0.0.1:6443", "")


async def test_a_list_is_read_page_by_page(api: FakeApi, target: Target) -> None:
    for name in names("x", 2345):
        api.create(VOLUMES, json.loads(volume(name)))
    found, revision = await listed(target, VOLUMES, ROW)
    assert (len(found), int(revision)) == (2345, 2345)


async def test_a_follower_sees_what_was_there_and_what_comes(target: Target) -> None:
    await load(target, CONFIG_MAPS, [config_map("old")], within_s=30)
    async with following(target, CONFIG_MAPS) as seen:
        await load(target, CONFIG_MAPS, [config_map("new")], within_s=30)
        await seen.reach(2, within_s=30)
    assert seen.at_s["old"] < seen.at_s["new"]


async def test_a_follower_goes_on_after_the_server_ended_the_watch(
    api: FakeApi, target: Target
) -> None:
    async with following(target, CONFIG_MAPS) as seen:
        await load(target, CONFIG_MAPS, [config_map("one")], within_s=30)
        await seen.reach(1, within_s=30)
        api.forget()
        await load(target, CONFIG_MAPS, [config_map("two")], within_s=30)
        await seen.reach(2, within_s=30)


async def test_clearing_takes_what_has_the_label_and_nothing_else(
    api: FakeApi, target: Target
) -> None:
    await load(target, VOLUMES, [volume("mine"), volume("stays", label=OTHERS)], within_s=30)
    await clear(target, ROW)
    assert list(api.collections[VOLUMES]) == ["stays"]
