"""What becomes of bodies that hold more than their kind, keys twice, or something else."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.api.client import Client

CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"
MAPS = "/api/v1/namespaces/default/configmaps"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
CANNOT = 'PersistentVolumeClaim in version "v1" cannot be handled as a PersistentVolumeClaim: '
Doc = dict[str, Any]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with Client() as client:
        yield client


def claim(**spec: Any) -> Doc:
    given = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {"metadata": {"name": "db"}, "spec": {**given, **spec}}


def claim_twice() -> bytes:
    """A claim whose text gives one field twice."""
    text = json.dumps(claim(volumeName="a"))
    return text.replace('"volumeName"', '"volumeName": "b", "volumeName"').encode()


# POST and PUT


async def test_an_unknown_field_is_cut_off_and_warned_of(client: Client) -> None:
    made = await client.send("POST", CLAIMS, claim(foo={"bar": 1}))
    assert made.status == 201
    assert "foo" not in made.body["spec"]
    assert made.warnings == (r'299 - "unknown field \"spec.foo\""',)


async def test_a_flawless_body_is_not_warned_of(client: Client) -> None:
    made = await client.send("POST", CLAIMS, claim())
    assert (made.status, made.warnings) == (201, ())


async def test_a_key_given_twice_is_warned_of_and_the_last_counts(client: Client) -> None:
    made = await client.send("POST", CLAIMS, claim_twice())
    assert (made.status, made.body["spec"]["volumeName"]) == (201, "a")
    assert made.warnings == (r'299 - "duplicate field \"spec.volumeName\""',)


async def test_ignore_says_nothing(client: Client) -> None:
    made = await client.send("POST", f"{CLAIMS}?fieldValidation=Ignore", claim_twice())
    assert (made.status, made.warnings) == (201, ())
    replaced = await client.send("PUT", f"{CLAIMS}/db?fieldValidation=Ignore", made.body | {"x": 1})
    assert (replaced.status, replaced.warnings) == (200, ())
    assert "x" not in replaced.body


async def test_strict_refuses_all_of_it_at_once(client: Client) -> None:
    body = claim_twice().replace(b'"spec":', b'"colour": "red", "spec":')
    refused = await client.send("POST", f"{CLAIMS}?fieldValidation=Strict", body)
    assert (refused.status, refused.body["reason"]) == (400, "BadRequest")
    assert refused.body["message"] == (
        f'{CANNOT}strict decoding error: unknown field "colour", duplicate field "spec.volumeName"'
    )
    assert (await client.send("GET", f"{CLAIMS}/db")).status == 404


async def test_strict_lets_a_flawless_body_pass(client: Client) -> None:
    made = await client.send("POST", f"{CLAIMS}?fieldValidation=Strict", claim())
    path = f"{CLAIMS}/db?fieldValidation=Strict"
    assert (made.status, (await client.send("PUT", path, made.body)).status) == (201, 200)


@pytest.mark.parametrize(
    ("method", "path", "options"),
    [
        ("POST", CLAIMS, "CreateOptions"),
        ("PUT", f"{CLAIMS}/db", "UpdateOptions"),
        ("PATCH", f"{CLAIMS}/db", "PatchOptions"),
    ],
)
async def test_no_other_field_validation_is_known(
    client: Client, method: str, path: str, options: str
) -> None:
    await client.send("POST", CLAIMS, claim())
    media = MERGE if method == "PATCH" else "application/json"
    refused = await client.send(method, f"{path}?fieldValidation=strict", claim(), media)
    assert (refused.status, refused.body["reason"]) == (422, "Invalid")
    assert refused.body["message"] == (
        f'{options}.meta.k8s.io "" is invalid: fieldValidation: Unsupported value: "strict": '
        'supported values: "", "Ignore", "Strict", "Warn"'
    )


async def test_a_value_of_another_type_is_refused_whatever_the_validation(client: Client) -> None:
    for validation in ("Ignore", "Warn", "Strict"):
        path = f"{CLAIMS}?fieldValidation={validation}"
        refused = await client.send("POST", path, claim(volumeName=5))
        assert (refused.status, refused.body["reason"]) == (400, "BadRequest")
        assert refused.body["message"] == (
            f"{CANNOT}json: cannot unmarshal number into Go struct field "
            "PersistentVolumeClaimSpec.spec.volumeName of type string"
        )


async def test_no_metadata_is_what_kubectl_may_send_as_null(client: Client) -> None:
    refused = await client.send("POST", MAPS, {"metadata": None})
    assert (refused.status, refused.body["details"]["causes"][0]["field"]) == (
        422,
        "metadata.name",
    )


async def test_a_number_for_a_quantity_is_kept_as_text(client: Client) -> None:
    made = await client.send("POST", CLAIMS, claim(resources={"requests": {"storage": 1024}}))
    assert made.body["spec"]["resources"]["requests"] == {"storage": "1024"}


@pytest.mark.parametrize("levels", [200, 5_000, 100_000])
async def test_a_body_nested_too_deeply_is_refused_or_cut(client: Client, levels: int) -> None:
    deep = b'{"a":' * levels + b"1" + b"}" * levels
    body = b'{"metadata":{"name":"a","managedFields":[{"fieldsV1":' + deep + b"}]}}"
    refused = await client.send("POST", MAPS, body)
    assert (refused.status, refused.body["reason"]) == (400, "BadRequest")


async def test_warnings_stay_short_whatever_the_body_names(client: Client) -> None:
    body = {"metadata": {"name": "a"}} | {f"{number:03}\n" + "é" * 900: 1 for number in range(99)}
    made = await client.send("POST", MAPS, body)
    assert made.status == 201
    assert 5 < len(made.warnings) < 99
    assert sum(len(text.encode()) for text in made.warnings) < 5000
    assert not any("\n" in text for text in made.warnings)


async def test_a_large_body_is_judged_as_well(client: Client) -> None:
    body = {"metadata": {"name": "a"}, "data": {"a": "x" * 100_000}, "dada": {}}
    made = await client.send("POST", MAPS, body)
    assert (made.status, made.warnings) == (201, (r'299 - "unknown field \"dada\""',))


# PATCH


@pytest.mark.parametrize(
    ("media", "patch"),
    [
        (MERGE, {"spec": {"foo": 1}}),
        (STRATEGIC, {"spec": {"foo": 1}}),
        (JSON_PATCH, [{"op": "add", "path": "/spec/foo", "value": 1}]),
    ],
)
async def test_an_unknown_field_of_a_patch_is_treated_alike(
    client: Client, media: str, patch: Any
) -> None:
    made = await client.send("POST", CLAIMS, claim())
    warned = await client.send("PATCH", f"{CLAIMS}/db", patch, media)
    assert (warned.status, warned.body) == (200, made.body)
    assert warned.warnings == (r'299 - "unknown field \"spec.foo\""',)
    silent = await client.send("PATCH", f"{CLAIMS}/db?fieldValidation=Ignore", patch, media)
    assert (silent.status, silent.warnings) == (200, ())
    refused = await client.send("PATCH", f"{CLAIMS}/db?fieldValidation=Strict", patch, media)
    assert (refused.status, refused.body["reason"]) == (422, "Invalid")
    (cause,) = refused.body["details"]["causes"]
    assert (cause["field"], cause["reason"]) == ("patch", "FieldValueInvalid")
    assert cause["message"].endswith(': strict decoding error: unknown field "spec.foo"')


async def test_a_patch_that_gives_a_key_twice_is_treated_alike(client: Client) -> None:
    await client.send("POST", CLAIMS, claim())
    patch = b'{"metadata":{"labels":{"a":"1","a":"2"}}}'
    warned = await client.send("PATCH", f"{CLAIMS}/db", patch, MERGE)
    assert warned.body["metadata"]["labels"] == {"a": "2"}
    assert warned.warnings == (r'299 - "duplicate field \"metadata.labels.a\""',)
    refused = await client.send("PATCH", f"{CLAIMS}/db?fieldValidation=Strict", patch, MERGE)
    assert refused.status == 422
    assert 'strict decoding error: duplicate field "metadata.labels.a"' in refused.body["message"]


async def test_a_patch_that_leaves_a_value_of_another_type_is_refused(client: Client) -> None:
    await client.send("POST", CLAIMS, claim())
    patch = {"metadata": {"labels": {"a": 1}}}
    refused = await client.send("PATCH", f"{CLAIMS}/db", patch, MERGE)
    assert (refused.status, refused.body["reason"]) == (422, "Invalid")
    assert refused.body["message"] == (
        'PersistentVolumeClaim "db" is invalid: patch: Invalid value: '
        '"{"metadata": {"labels": {"a": 1}}}": json: cannot unmarshal number into Go struct field '
        "ObjectMeta.metadata.labels of type string"
    )


async def test_an_apply_that_gives_a_key_twice_is_judged(client: Client) -> None:
    text = (
        b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"x":"1","x":"2"}}'
    )
    path = f"{MAPS}/a?fieldManager=me"
    refused = await client.send("PATCH", f"{path}&fieldValidation=Strict", text, APPLY)
    assert (refused.status, refused.body["reason"]) == (400, "BadRequest")
    warned = await client.send("PATCH", path, text, APPLY)
    assert (warned.status, warned.warnings) == (201, (r'299 - "duplicate field \"data.x\""',))


# YAML and options


async def test_yaml_is_read_as_kubernetes_reads_it(client: Client) -> None:
    text = b"metadata: {name: a}\ndata: {2: '1', true: 'yes', day: '2024-01-01'}"
    made = await client.send("POST", MAPS, text, "application/yaml")
    assert (made.status, made.body["data"]) == (
        201,
        {"2": "1", "true": "yes", "day": "2024-01-01"},
    )


async def test_yaml_is_judged_as_json_is(client: Client) -> None:
    text = b"metadata: {name: a}\ndata: {x: '1', x: '2'}\ndada: {}"
    path = f"{MAPS}?fieldValidation=Strict"
    refused = await client.send("POST", path, text, "application/yaml")
    assert refused.status == 400
    assert refused.body["message"].endswith(
        'strict decoding error: unknown field "dada", duplicate field "data.x"'
    )


async def test_options_of_another_type_are_refused(client: Client) -> None:
    await client.send("POST", MAPS, {"metadata": {"name": "a"}})
    wrong: list[Doc] = [{"preconditions": 5}, {"preconditions": {"uid": {}}}, {"dryRun": "All"}]
    for options in wrong:
        refused = await client.send("DELETE", f"{MAPS}/a", options)
        assert (refused.status, refused.body["reason"]) == (400, "BadRequest")
    assert (await client.send("GET", f"{MAPS}/a")).status == 200
