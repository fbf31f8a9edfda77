"""The options of a volume, each line of the table in Docker volumes §5."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.dockerplugin.errors import BadOptions, text
from mooring.dockerplugin.options import KNOWN, Options, Source, parsed
from mooring.errors import MooringError
from mooring.model.quantity import Quantity


def refusal(**options: str) -> str:
    """The Err of options that are wrong; from_ is from."""
    return refused({key.rstrip("_"): value for key, value in options.items()})


def refused(options: dict[str, str]) -> str:
    with pytest.raises(MooringError) as caught:
        parsed(options)
    return text(caught.value)


@pytest.mark.parametrize("options", [None, {}])
def test_nothing_has_to_be_said(options: dict[str, str] | None) -> None:
    assert parsed(options) == Options()
    assert Options().labels == {}
    assert Options().fresh is False


# size


@pytest.mark.parametrize(
    ("size", "size_bytes"),
    [
        ("10G", 10 * 10**9),
        ("512Mi", 512 * 2**20),
        ("1Mi", 2**20),
        ("1048576", 2**20),
        ("1.5Gi", 3 * 2**29),
        ("1e9", 10**9),
        ("8191Pi", 8191 * 2**50),
    ],
)
def test_a_size_is_a_quantity_of_kubernetes(size: str, size_bytes: int) -> None:
    found = parsed({"size": size}).size
    assert found is not None
    assert (found, found.bytes()) == (Quantity.parse(size), size_bytes)


@pytest.mark.parametrize(
    ("size", "right"),
    [
        *(("10g", "10Gi or 10G"), ("10GB", "10Gi or 10G"), ("10gb", "10Gi or 10G")),
        *(("10GiB", "10Gi or 10G"), ("10gib", "10Gi or 10G"), ("10 GB", "10Gi or 10G")),
        *(("10gi", "10Gi or 10G"), ("1.5t", "1.5Ti or 1.5T"), ("5K", "5Ki or 5k")),
        *(("512mb", "512Mi or 512M"), ("512m", "512Mi or 512M"), ("5000000000b", "5000000000")),
        *(("ten", "an amount such as 10Gi, 512Mi or 10G"), ("", "an amount such as 10Gi, 512Mi")),
    ],
)
def test_a_size_in_another_form_is_told_the_right_one(size: str, right: str) -> None:
    told = refusal(size=size)
    assert told.startswith("BadSize: size ")
    assert f"; say {right}" in told


@pytest.mark.parametrize("size", ["0", "-1Gi", "1", "1048575", "1023Ki", "999k", "10m", "-0"])
def test_a_size_below_one_mebibyte_is_refused(size: str) -> None:
    assert refusal(size=size).startswith(f"BadSize: size {size} is less than 1Mi; say ")


@pytest.mark.parametrize("size", ["1e19", "9223372036854775808", "1e30"])
def test_a_size_that_no_volume_can_have_is_refused(size: str) -> None:
    assert refusal(size=size).startswith(f"BadSize: size {size} is more than any volume can have; ")


# The others


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"class": "fast"}, Options(class_name="fast")),
        ({"access": "rwo"}, Options(access="ReadWriteOnce")),
        ({"access": "rox"}, Options(access="ReadOnlyMany")),
        ({"access": "rwx"}, Options(access="ReadWriteMany")),
        ({"access": "rwop"}, Options(access="ReadWriteOncePod")),
        ({"from": "snapshot:monday"}, Options(source=Source("snapshot", "monday"))),
        ({"from": "volume:My_Data"}, Options(source=Source("volume", "My_Data"))),
        ({"volume": "pvc-1"}, Options(volume="pvc-1")),
        ({"reclaim": "retain"}, Options(reclaim="Retain")),
        ({"reclaim": "delete"}, Options(reclaim="Delete")),
        ({"uid": "0", "gid": "2147483647"}, Options(uid=0, gid=2**31 - 1)),
        ({"mode": "0"}, Options(mode=0)),
        ({"mode": "755"}, Options(mode=0o755)),
        ({"mode": "0755"}, Options(mode=0o755)),
        ({"mode": "07777"}, Options(mode=0o7777)),
        ({"label.app": "db", "label.a.b/c": ""}, Options(labels={"app": "db", "a.b/c": ""})),
        ({"fresh": "true"}, Options(fresh=True)),
        ({"fresh": "false"}, Options()),
    ],
)
def test_a_value_is_read_as_what_it_means(options: dict[str, str], expected: Options) -> None:
    assert parsed(options) == expected


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"class": "Fast_1"},
            "NoSuchClass: there is no StorageClass Fast_1; see kubectl get storageclasses; without "
            "class= the default class is taken",
        ),
        ({"class": ""}, "NoSuchClass: there is no StorageClass ''; "),
        (
            {"access": "RWO"},
            "BadAccess: access RWO is none of rwo, rox, rwx, rwop; say access=rwo for one node at "
            "a time, rwx for many, rox to read only",
        ),
        ({"access": "rwo,rwx"}, "BadAccess: access 'rwo,rwx' is none of "),
        ({"access": ""}, "BadAccess: access '' is none of "),
        ({"from": "monday"}, "NoSuchSource: from monday is neither a snapshot nor a volume; "),
        ({"from": "Snapshot:a"}, "NoSuchSource: from Snapshot:a is neither a snapshot nor "),
        ({"from": "snapshot:"}, "NoSuchSource: from snapshot: is not there; say snapshot:NAME or "),
        ({"from": "snapshot:A_b"}, "NoSuchSource: from snapshot:A_b is not there; "),
        ({"from": "volume:a b"}, "NoSuchSource: from 'volume:a b' is not there; "),
        ({"from": "volume:other/a"}, "NoSuchSource: from volume:other/a is of another namespace; "),
        ({"volume": "A_b"}, "NoSuchVolume: there is no PersistentVolume A_b; see kubectl get pv"),
        ({"volume": "../x"}, "NoSuchVolume: there is no PersistentVolume ../x; "),
        (
            {"reclaim": "Retain"},
            "BadReclaim: reclaim Retain is neither retain nor delete; say which, or leave it out "
            "for the policy of the class",
        ),
        ({"reclaim": "recycle"}, "BadReclaim: reclaim recycle is neither"),
        (
            {"uid": "root"},
            "BadOwner: uid root is not a number from 0 to 2147483647; say the number that uid has "
            "on this host; names are not looked up",
        ),
        ({"gid": "-1"}, "BadOwner: gid -1 is not"),
        ({"gid": "2147483648"}, "BadOwner: gid 2147483648 is not"),
        ({"uid": "1" * 3000}, "BadOwner: uid 11111"),
        ({"uid": "٣"}, "BadOwner: uid '٣' is not"),
        ({"uid": "1_0"}, "BadOwner: uid 1_0 is not"),
        ({"uid": " 1"}, "BadOwner: uid ' 1' is not"),
        ({"uid": ""}, "BadOwner: uid '' is not"),
        (
            {"mode": "0o755"},
            "BadMode: mode 0o755 is not an octal number from 0 to 07777; say permissions such as "
            "0755 or 2770",
        ),
        ({"mode": "888"}, "BadMode: mode 888 is not"),
        ({"mode": "10000"}, "BadMode: mode 10000 is not"),
        ({"mode": "u+w"}, "BadMode: mode 'u+w' is not"),
        ({"mode": "-1"}, "BadMode: mode -1 is not"),
        ({"mode": ""}, "BadMode: mode '' is not"),
        (
            {"label.": "x"},
            "BadLabel: label '' is no key that Kubernetes allows; say label.KEY=VALUE in the form "
            "of Kubernetes labels, such as label.app=db",
        ),
        ({"label.a b": "x"}, "BadLabel: label 'a b' is no key"),
        ({"label.a": "x y"}, "BadLabel: label a has a value that Kubernetes does not allow; "),
        ({"label.a": "x" * 64}, "BadLabel: label a has a value"),
        ({"label." + "a" * 64: "x"}, "BadLabel: label aaaa"),
        (
            {"label.mooring.dev/anonymous": "true"},
            "BadLabel: label mooring.dev/anonymous is one that Mooring sets itself; ",
        ),
        (
            {"fresh": "yes"},
            "BadFlag: fresh yes is neither true nor false; say fresh=true, or leave it out",
        ),
        ({"fresh": ""}, "BadFlag: fresh '' is neither"),
        ({"fresh": "True"}, "BadFlag: fresh True is neither"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_right(options: dict[str, str], told: str) -> None:
    assert refused(options).startswith(told)


# Keys


def test_an_unknown_key_is_told_all_there_are() -> None:
    assert refusal(colour="red") == (
        "UnknownOption: colour is no option of a volume; there are size, class, access, from, "
        "volume, reclaim, uid, gid, mode, label.KEY, fresh"
    )


@pytest.mark.parametrize(
    ("key", "meant"), [("Size", "size"), ("acces", "access"), ("reclaimPolicy", "reclaim")]
)
def test_a_key_that_is_nearly_right_is_told_which_was_meant(key: str, meant: str) -> None:
    told = refused({key: "x"})
    assert told.startswith(f"UnknownOption: {key} is no option of a volume; did you mean {meant}? ")


def test_several_unknown_keys_are_one_error() -> None:
    assert refused({"b": "", "a": "", "o;rm -rf /": ""}).startswith(
        "UnknownOption: b, a, 'o;rm -rf /' are no options of a volume; there are size, "
    )


def test_every_key_of_the_table_is_known() -> None:
    table = ("size", "class", "access", "from", "volume", "reclaim", "uid", "gid", "mode")
    assert (*table, "label.KEY", "fresh") == KNOWN


# All at once


def test_everything_that_is_wrong_is_said_in_one_answer() -> None:
    options = {"size": "10g", "access": "rw", "mode": "999", "label.ok": "v", "oops": "1"}
    with pytest.raises(BadOptions) as caught:
        parsed(options)
    assert [error.code for error in caught.value.errors] == [
        *("BadSize", "BadAccess", "BadMode", "UnknownOption")
    ]
    told = text(caught.value)
    assert told.startswith("BadOptions: BadSize: size 10g is no amount; say 10Gi or 10G | BadAcc")
    assert all(f" | {text(error)}" in told for error in caught.value.errors[1:])


def test_one_thing_that_is_wrong_has_its_own_code() -> None:
    assert refusal(size="10g", class_="fast").startswith("BadSize: ")


# Limits, §14


def test_64_options_are_allowed_and_one_more_is_not() -> None:
    options = {f"label.k{number}": "v" for number in range(64)}
    assert len(parsed(options).labels) == 64
    assert refused({**options, "size": "10g"}) == (
        "TooManyOptions: 65 options were given, 64 are allowed; give fewer labels"
    )


@pytest.mark.parametrize(
    "options", [{"class": "a" * 4097}, {"k" * 4097: ""}, {"volume": "ä" * 2049}]
)
def test_an_option_over_four_kibibytes_is_refused_unread(options: dict[str, str]) -> None:
    told = refused(options)
    assert re.match(r"OptionTooLong: option \S+ is longer than 4096 bytes; ", told)
    assert len(told) < 300


def test_an_answer_about_64_long_options_is_bounded() -> None:
    told = refused({f"label.{number} {'x' * 4000}": "\n" * 4000 for number in range(64)})
    assert len(told) <= 8192
    assert told.isprintable()


@given(
    st.dictionaries(
        st.one_of(st.sampled_from([*KNOWN, "label.a"]), st.text(max_size=20)),
        st.one_of(st.text(max_size=20), st.sampled_from(["1Gi", "rwo", "true", "0755", "delete"])),
        max_size=8,
    )
)
def test_options_are_understood_or_refused_in_one_printable_line(options: dict[str, str]) -> None:
    told, found = "", Options()
    try:
        found = parsed(options)
    except MooringError as error:
        told = text(error)
    assert told.isprintable()
    assert found.size is None or found.size.bytes() >= 2**20
    assert found.uid is None or 0 <= found.uid < 2**31
    assert found.mode is None or 0 <= found.mode <= 0o7777
