"""The text of an error is all that Docker prints. Docker volumes §1, §14."""

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.dockerplugin import errors
from mooring.dockerplugin.errors import (
    AlreadyServed,
    BadMode,
    BadName,
    BadOptions,
    Broken,
    LostRequest,
    NameTaken,
    NoDefaultClass,
    NoSuchCall,
    NoSuchClass,
    NoSuchSource,
    NoSuchVolume,
    NotSupported,
    OptionsConflict,
    ProvisioningFailed,
    Refused,
    RetainedVolumeExists,
    SizeTooSmall,
    SocketUnusable,
    SourceNotReady,
    StillDeleting,
    Stopping,
    TookTooLong,
    UnknownVolume,
    VolumeInUse,
    VolumeMismatch,
    said,
    text,
    told_of,
)
from mooring.errors import Effect, MooringError

# The codes of Docker volumes §4 to §10 and §13 that a call can be answered on one host; those of
# names and options are tested beside these.
TEXTS = [
    (
        NameTaken("My_Data", "default/my-data-0f0f0f0f", "my-data-0f0f0f0f"),
        "NameTaken: volume My_Data would be claim default/my-data-0f0f0f0f, which is volume "
        "my-data-0f0f0f0f; choose another name, or use my-data-0f0f0f0f",
    ),
    (
        NoSuchClass("fast", ["local", "slow"]),
        "NoSuchClass: there is no StorageClass fast; there are local, slow; without class= the "
        "default class is taken",
    ),
    (
        NoDefaultClass("data", ["fast"]),
        "NoDefaultClass: volume data names no class, and no StorageClass is the default; say "
        "class= (fast), or annotate a StorageClass as the default",
    ),
    (
        NotSupported("access=rwx", "class local", ["rwo", "rwop"]),
        "NotSupported: access=rwx is not offered by class local; say one of rwo, rwop, or use "
        "another class",
    ),
    (
        NotSupported("from=snapshot:monday", "class local"),
        "NotSupported: from=snapshot:monday is not offered by class local; leave it out, or use "
        "another class",
    ),
    (
        NoSuchSource("snapshot:monday"),
        "NoSuchSource: from snapshot:monday is not there; say snapshot:NAME or volume:NAME of one "
        "in the same namespace",
    ),
    (
        SourceNotReady("snapshot:monday", "snapshot default/monday is being deleted"),
        "SourceNotReady: from snapshot:monday cannot be filled from now: snapshot default/monday "
        "is being deleted; create it when that is otherwise, or from another source",
    ),
    (
        SizeTooSmall("volume:data", "1Gi", "2Gi"),
        "SizeTooSmall: from volume:data does not fit into 1Gi, it needs 2Gi; say size=2Gi or "
        "more, or leave size= out",
    ),
    (NoSuchVolume("v1"), "NoSuchVolume: there is no PersistentVolume v1; see kubectl get pv"),
    (
        VolumeMismatch("data", "v1", "it has 1Gi, asked for 2Gi"),
        "VolumeMismatch: PersistentVolume v1 does not fit volume data: it has 1Gi, asked for 2Gi; "
        "ask for what it has: kubectl get pv v1 -o yaml",
    ),
    (
        VolumeInUse("data", ["web on n1", "claim default/other"]),
        "VolumeInUse: volume data is used by web on n1, claim default/other; stop and remove what "
        "uses it first",
    ),
    (
        Refused("data", 'persistentvolumeclaims "data" is forbidden: exceeded quota: team'),
        'Refused: volume data is refused: persistentvolumeclaims "data" is forbidden: exceeded '
        "quota: team; change what it says; for a quota, delete volumes or have it raised",
    ),
    (
        OptionsConflict("data", {"size": ("1Gi", "2Gi"), "class": ("local", "fast")}),
        "OptionsConflict: volume data exists with size 1Gi and not 2Gi, class local and not fast; "
        "leave out what differs, or choose another name",
    ),
    (
        ProvisioningFailed("data", "n1", "pool local failed: I/O error"),
        "ProvisioningFailed: volume data cannot be made on n1: pool local failed: I/O error; mend "
        "that and create it again; nothing was left behind",
    ),
    (
        StillDeleting("data", "default/data", 40.0),
        "StillDeleting: volume data is still being deleted after 40 s; mooring explain pvc data "
        "-n default says what holds it",
    ),
    (
        StillDeleting("data", "default/data", 40.0, "pod web uses it"),
        "StillDeleting: volume data is still being deleted after 40 s: pod web uses it; mooring "
        "explain pvc data -n default says what holds it",
    ),
    (
        RetainedVolumeExists("data", "pvc-1"),
        "RetainedVolumeExists: PV pvc-1 has the data of an earlier volume data; volume=pvc-1 to "
        "use it, fresh=true for an empty one",
    ),
    (
        UnknownVolume("data"),
        "UnknownVolume: there is no volume data; create it first; see docker volume ls",
    ),
    (
        LostRequest("Mount"),
        "LostRequest: Docker lost what it wanted of Mount, while Mooring was being restarted; run "
        "the docker command again",
    ),
    (
        TookTooLong("Mount", "data", 100.0),
        "TookTooLong: Mount of volume data was given up after 100 s; try again; mooring explain "
        "says what it waits for",
    ),
    (
        NoSuchCall("/VolumeDriver.Prune"),
        "NoSuchCall: /VolumeDriver.Prune is no call of a volume plugin; use the volume plugin API "
        "of Docker, version 1",
    ),
    (
        Stopping("Mount", "data"),
        "Stopping: Mount of volume data was cut short: Mooring is being stopped; try again when it "
        "runs",
    ),
    (
        Broken("Mount", "data"),
        "Internal: Mount of volume data failed for a reason that Mooring does not know; see the "
        "log of Mooring on this host",
    ),
    (
        AlreadyServed("/run/x.sock"),
        "AlreadyServed: another process serves Docker's plugin socket /run/x.sock; stop it, or "
        'choose another with --plugin-socket; "" serves none',
    ),
    (
        SocketUnusable("/run/x.sock", "Permission denied"),
        "SocketUnusable: Docker's plugin socket /run/x.sock cannot be made: Permission denied; run "
        'as root, or choose another with --plugin-socket; "" serves none',
    ),
]


@pytest.mark.parametrize(("error", "expected"), TEXTS, ids=lambda one: getattr(one, "code", ""))
def test_the_text_has_the_code_what_happened_and_what_would_help(
    error: MooringError, expected: str
) -> None:
    assert text(error) == expected


def test_every_error_has_its_own_code_and_says_whether_anything_was_done() -> None:
    classes = [
        one
        for _, one in inspect.getmembers(errors, inspect.isclass)
        if issubclass(one, MooringError) and one is not MooringError
    ]
    codes = {one.__name__: one.code for one in classes}
    assert {name for name, code in codes.items() if name != code} == {"Broken"}
    assert len(set(codes.values())) == len(codes)
    unknown = {one.code for one in classes if one.effect is Effect.UNKNOWN}
    assert unknown == {"LostRequest", "TookTooLong", "Stopping", "StillDeleting", "Internal"}


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("data", "data"),
        ("my_data.1-x/y=z", "my_data.1-x/y=z"),
        ("", "''"),
        ("a b", "'a b'"),
        ("a\nb\x1b[31m", r"'a\nb\x1b[31m'"),
        ("\u202egnp", r"'\u202egnp'"),
        ("it's", '"it\'s"'),
        ("\ud800", r"'\ud800'"),
        ("f" * 64, "f" * 64),
        ("a" * 81, "a" * 79 + "…"),
        ("\n" * 300, repr("\n" * 79 + "…")),
    ],
)
def test_what_a_user_wrote_is_shown_short_and_harmless(words: str, shown: str) -> None:
    assert said(words) == shown


@given(st.text())
def test_a_text_is_one_printable_line_whatever_is_in_it(words: str) -> None:
    for error in (BadName(words), Refused(words, words), ProvisioningFailed("a", words, words)):
        told = text(error)
        assert told.isprintable()
        assert told.startswith(f"{error.code}: ")
        told.encode()


def test_several_errors_are_told_side_by_side_wherever_they_were_found() -> None:
    both = BadOptions([NoSuchVolume("a"), NoSuchVolume("b")])
    told = text(BadOptions([BadName("/"), both]))
    assert told.startswith("BadOptions: BadName: volume / has a name ")
    assert told.endswith(f" | {text(NoSuchVolume('a'))} | {text(NoSuchVolume('b'))}")


def test_a_text_is_bounded() -> None:
    assert len(text(Refused("data", "x" * 1_000_000))) == 8192


def test_a_long_list_is_cut_short() -> None:
    users = [f"c{number} on n1" for number in range(12)]
    assert "c8 on n1, c9 on n1 and 2 more; " in text(VolumeInUse("data", users))
    assert "c8, c9 and 2 more; " in text(NoSuchClass("x", [f"c{number}" for number in range(12)]))


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (UnknownVolume("data"), "there is no volume data on n1"),
        (NoSuchVolume("v1"), "volume data on n1: there is no PersistentVolume v1"),
        (TookTooLong("Mount", "data", 100), "Mount of volume data on n1 was given up after 100 s"),
        (VolumeInUse("data", ["web on n12"]), "volume data on n1 is used by web on n12"),
        (VolumeInUse("data", ["web on n1"]), "volume data is used by web on n1"),
        (VolumeInUse("data-2", ["x"]), "volume data on n1: volume data-2 is used by x"),
        (
            VolumeMismatch("data", "v1", "no"),
            "PersistentVolume v1 does not fit volume data on n1: no",
        ),
        (BadMode("9"), "volume data on n1: mode 9 is not an octal number from 0 to 07777"),
        (ProvisioningFailed("data", "n1", "no"), "volume data cannot be made on n1: no"),
    ],
)
def test_docker_is_told_which_volume_and_which_host_once(error: MooringError, what: str) -> None:
    told = told_of(error, "data", "n1")
    assert (told.code, told.what, told.remedy) == (error.code, what, error.remedy)


def test_of_a_call_about_no_volume_none_is_told() -> None:
    assert told_of(NoSuchCall("Prune"), "", "n1").what == "Prune is no call of a volume plugin"
