"""Certificates of a directory: which names they are for, and what is none."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mooring.edge.certificates import Certificate, certificates_in, chosen, covered, stopgap
from mooring.edge.model import Memory, model_of
from mooring.edge.routes import Route, routes_of
from mooring.edge.settings import EntryPoint
from tests.edge.making import HTTP, a_service, a_swarm, some_settings
from tests.edge.pems import a_pem

SECURE = some_settings(HTTP, EntryPoint("https", 443, tls=True))


def put(directory: Path, name: str, *texts: str) -> None:
    (directory / name).write_text("\n\n".join(texts))


def names(directory: Path, before: dict[str, Certificate] | None = None) -> dict[str, set[str]]:
    found, _ = certificates_in(directory, before or {})
    return {source: set(one.names) for source, one in found.items()}


def wrong(directory: Path) -> str:
    found, (problem,) = certificates_in(directory, {})
    assert found == {}
    assert problem.reason == "BadCertificate"
    return problem.message


def test_a_file_with_certificate_and_key_is_one(tmp_path: Path) -> None:
    put(tmp_path, "web", *a_pem("web.example.com", "*.web.example.com"))
    assert names(tmp_path) == {"web": {"web.example.com", "*.web.example.com"}}


def test_a_directory_as_certbot_leaves_it_is_one(tmp_path: Path) -> None:
    (tmp_path / "web.example.com").mkdir()
    certificate, key = a_pem("web.example.com")
    put(tmp_path, "web.example.com/fullchain.pem", certificate)
    put(tmp_path, "web.example.com/privkey.pem", key)
    put(tmp_path, ".hidden", "x")
    put(tmp_path, "README", "x")
    (tmp_path / "empty").mkdir()
    assert names(tmp_path) == {"web.example.com": {"web.example.com"}}


def test_what_is_served_has_no_blank_line(tmp_path: Path) -> None:
    put(tmp_path, "web", "\n\n", *a_pem("a.example"))
    found, _ = certificates_in(tmp_path, {})
    assert "\n\n" not in found["web"].pem


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        (["x"], "can be read"),
        ([a_pem("a.example")[0]], "can be read"),
        ([a_pem("a.example")[1]], "can be read"),
        ([a_pem("a.example")[0], a_pem("b.example")[1]], "another certificate"),
        (a_pem(), "no DNS name"),
        (["x" * 16000], "more than"),
        (a_pem("a.example", is_weak=True), "OpenSSL refuses it: ee key too small"),
        (a_pem(odd=("2.5.29.17", b"garbage")), "can be read"),
        (a_pem("a.example", odd=("2.5.29.19", b"\x04\x01x")), "can be read"),
        (a_pem(odd=("2.5.29.17", b"\x30\x04\xa3\x02\x05\x00")), "can be read"),  # a kind of name
    ],
)
def test_what_is_none_is_told_with_what_is_wrong(
    tmp_path: Path, texts: list[str], why: str
) -> None:
    put(tmp_path, "web", *texts)
    assert why in wrong(tmp_path)


def test_one_that_is_bad_now_stays_as_it_was(tmp_path: Path) -> None:
    put(tmp_path, "web", *a_pem("a.example"))
    before, _ = certificates_in(tmp_path, {})
    put(tmp_path, "web", "half of it")
    found, problems = certificates_in(tmp_path, before)
    assert found == before
    assert len(problems) == 1
    (tmp_path / "web").unlink()
    assert certificates_in(tmp_path, before) == ({}, [])


def test_what_cannot_be_read_stays_as_it_was(tmp_path: Path) -> None:
    directory = tmp_path / "pems"
    directory.mkdir()
    put(directory, "web", *a_pem("a.example"))
    before, _ = certificates_in(directory, {})
    directory.rename(tmp_path / "away")
    found, (problem,) = certificates_in(directory, before)
    assert found == before
    assert (problem.reason, str(directory) in problem.message) == ("BadCertificate", True)


@pytest.mark.parametrize("half", ["fullchain.pem", "privkey.pem"])
def test_a_pair_without_one_half_for_a_moment_stays_as_it_was(tmp_path: Path, half: str) -> None:
    (tmp_path / "web").mkdir()
    certificate, key = a_pem("a.example")
    put(tmp_path, "web/fullchain.pem", certificate)
    put(tmp_path, "web/privkey.pem", key)
    before, _ = certificates_in(tmp_path, {})
    (tmp_path / "web" / half).unlink()
    found, problems = certificates_in(tmp_path, before)
    assert found == before
    assert [one.reason for one in problems] == ["BadCertificate"]
    for one in (tmp_path / "web").iterdir():
        one.unlink()
    assert certificates_in(tmp_path, before) == ({}, [])


def test_a_link_to_nothing_stays_as_it_was(tmp_path: Path) -> None:
    put(tmp_path, ".web", *a_pem("a.example"))
    (tmp_path / "web").symlink_to(".web")
    before, _ = certificates_in(tmp_path, {})
    (tmp_path / ".web").unlink()
    found, problems = certificates_in(tmp_path, before)
    assert (found, len(problems)) == (before, 1)


def test_its_file_has_nothing_of_the_name_that_somebody_gave_it(tmp_path: Path) -> None:
    put(tmp_path, "a b;\\${HOME}", *a_pem("a.example"))
    found, _ = certificates_in(tmp_path, {})
    (one,) = found.values()
    assert one.file.removesuffix(".pem").isalnum()


def test_without_a_directory_there_is_none(tmp_path: Path) -> None:
    assert "No such file" in wrong(tmp_path / "none")


def test_the_stopgap_is_for_no_name() -> None:
    assert stopgap().names == frozenset()


# Which of several is served.

NOW = datetime.now(UTC)


def one(
    source: str, *names: str, days: tuple[int, int] = (-1, 30), kind: str = "rsa"
) -> Certificate:
    begins, expires = (NOW + timedelta(days=one) for one in days)
    return Certificate(source, "", frozenset(names), begins, expires, kind, "")


def served(*found: Certificate) -> dict[str, set[str]]:
    return {one.source: set(one.names) for one in chosen(found, NOW)}


def test_of_several_for_a_name_the_one_is_served_that_is_good_the_longest() -> None:
    short, long = one("a", "x.y", "z.y"), one("b", "x.y", "*.y", days=(-1, 40))
    assert served(short, long) == {"a": {"z.y"}, "b": {"x.y", "*.y"}}
    assert served(short, one("b", "x.y", "z.y", days=(-1, 40))) == {"b": {"x.y", "z.y"}}
    assert served(long, replace(long, source="c")) == {"c": {"x.y", "*.y"}}


@pytest.mark.parametrize("days", [(-90, -1), (1, 90)])
def test_one_that_is_not_good_now_is_served_where_no_other_is(days: tuple[int, int]) -> None:
    bad = one("a", "x.y", "other", days=days)
    assert served(bad, one("b", "x.y")) == {"a": {"other"}, "b": {"x.y"}}
    assert served(bad, one("b", "*.y", kind="ecdsa")) == {"a": {"other"}, "b": {"*.y"}}
    assert covered(chosen([bad], NOW), NOW) == (bad.names, bad.names)


def test_one_of_each_kind_of_key_is_served() -> None:
    both = one("a", "x.y"), one("b", "x.y", kind="ecdsa")
    assert served(*both) == {"a": {"x.y"}, "b": {"x.y"}}


def test_the_file_of_one_is_another_for_other_names() -> None:
    """A proxy is given it beside the one of before, which goes after it."""
    assert one("a", "x.y").file != one("a", "x.y", "z.y").file
    assert one("a", "x.y").file == one("a", "x.y", days=(-1, 90)).file


def test_kinds_of_keys(tmp_path: Path) -> None:
    put(tmp_path, "web", *a_pem("a.example"))
    assert certificates_in(tmp_path, {})[0]["web"].kind == "ecdsa"


# What labels make of them.


def routed(**labels: str) -> tuple[list[Route], list[str]]:
    covered = {"web.example.com", "*.w.example"}
    routes, problems = routes_of(a_service(**labels), SECURE, {}, covered.__contains__)
    return routes, [one.reason for one in problems]


def test_with_a_certificate_a_host_is_served_with_tls_and_sent_there() -> None:
    (route,), _ = routed(host="web.example.com")
    assert (route.tls, route.entries) == ("redirect", ("http", "https"))


@pytest.mark.parametrize("hosts", ["other.example", "web.example.com,other.example"])
def test_without_one_for_each_of_its_hosts_it_is_not(hosts: str) -> None:
    (route,), _ = routed(host=hosts)
    assert (route.tls, route.entries) == ("off", ("http",))


def test_nobody_is_sent_to_one_that_has_expired_but_by_a_label() -> None:
    def tls(**labels: str) -> str:
        swarm, names = a_swarm(a_service(host="a.b", **labels)), frozenset({"a.b"})
        model, _ = model_of(swarm, SECURE, Memory(), names, None, names)
        return model.backends["svc_idweb_"].route.tls

    assert tls() == "on"
    assert tls(tls="redirect") == "redirect"


def test_what_is_asked_for_without_a_certificate_is_refused() -> None:
    assert routed(host="other.example", tls="on") == ([], ["NoCertificate"])


def test_off_is_off() -> None:
    (route,), _ = routed(host="web.example.com", tls="off")
    assert (route.tls, route.entries) == ("off", ("http",))


@pytest.mark.parametrize(("tls", "sent"), [("on", set()), ("redirect", {"http"})])
def test_only_what_comes_without_tls_is_sent_on(tls: str, sent: set[str]) -> None:
    swarm = a_swarm(a_service(host="a.w.example", tls=tls))
    model, _ = model_of(swarm, SECURE, Memory(), frozenset({"*.w.example"}))
    assert {one.entry for one in model.rules if one.is_sent_on} == sent
    assert {one.entry for one in model.rules} == {"http", "https"}


def test_a_route_that_is_not_served_with_tls_is_not_sent_there() -> None:
    (route,), _ = routed(host="web.example.com", entry="http")
    assert (route.tls, route.entries) == ("off", ("http",))
    assert routed(host="web.example.com", entry="http", tls="redirect") == ([], ["BadLabel"])
