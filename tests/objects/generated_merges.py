"""Documents of real kinds and patches of them, as a seed has it; most fit, some do not."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from random import Random
from typing import Any, Final, NamedTuple

from mooring.objects.kind import Doc, Kind
from mooring.objects.node import Node, child
from mooring.objects.patches import copied, merge_patched
from mooring.objects.schema import SCHEMAS
from mooring.objects.schema_nodes import Amount, Base64, Flag, Integer, Number, Text, TextOrInteger
from mooring.objects.schema_nodes import Time as TimeNode

DEEPEST: Final = 7
WORDS: Final = ("a", "b", "c")
NEVER: Final = ("kind", "apiVersion", "managedFields", "selfLink", "name", "namespace")
LEAVES: Final[Mapping[type, Sequence[Any]]] = {
    Text: WORDS,
    Flag: (True, False),
    Integer: (1, 2, 3),
    Number: (1.5, 2),
    Amount: ("1Gi", "2Gi", "500M"),
    TextOrInteger: (80, "http"),
    Base64: ("YQ==", "Yg=="),
}
FORMS: Final = ("strategic", "merge", "json")


class Case(NamedTuple):
    """A document and a patch of it, in one of FORMS."""

    kind: Kind
    doc: Doc
    form: str
    patch: Any


def cases(kinds: Collection[Kind], seed: int) -> Iterator[Case]:
    """Without end: of each kind in turn, and half of them strategic patches."""
    made = Made(Random(seed))
    while True:
        for kind in kinds:
            doc = made.document(kind)
            form = made.random.choice(("strategic", *FORMS))
            if form == "json":
                yield Case(kind, doc, form, made.operations(doc))
            else:
                yield Case(kind, doc, form, made.patch(doc, kind, directed=form == "strategic"))


class Applied(NamedTuple):
    """What was applied once, what has become of it, and what is applied now."""

    kind: Kind
    last: Doc
    live: Doc
    config: Doc


def applies(kinds: Collection[Kind], seed: int) -> Iterator[Applied]:
    """Without end: of each kind in turn."""
    made = Made(Random(seed), wrong=False)
    while True:
        for kind in kinds:
            last = made.document(kind)
            live, config = (
                merge_patched(last, made.patch(last, kind, directed=False)) for _ in range(2)
            )
            yield Applied(kind, last, live, config)


class Made:
    """What is made of one source of chance."""

    def __init__(self, random: Random, *, wrong: bool = True) -> None:
        """wrong  whether patches hold values of other types than their fields, now and then"""
        self.random, self.wrong = random, wrong

    def document(self, kind: Kind) -> Doc:
        node = SCHEMAS.node(kind)
        metadata_node = node.fields["metadata"]
        metadata = {**self.value(metadata_node), "name": "a"}
        for name in ("labels", "finalizers", "ownerReferences"):  # which all kinds have
            if self.chance(2):
                metadata[name] = self.value(metadata_node.fields[name])
        if kind.namespaced:
            metadata["namespace"] = "default"
        rest = {n: self.value(sub, 1) for n, sub in node.fields.items() if n not in NEVER}
        return {"kind": kind.kind, "apiVersion": kind.api_version, **rest, "metadata": metadata}

    def patch(self, doc: Doc, kind: Kind, *, directed: bool) -> Doc:
        """A merge patch, with directives of strategic merge or without."""
        node = SCHEMAS.node(kind)
        patch = {}
        for name in self.some(["metadata", *(name for name in doc if name not in NEVER)], 2):
            old, inner = doc[name], child(node, name)
            if isinstance(old, dict):  # so that what is at the top stays an object
                patch[name] = self.fields_patch(old, inner, directed)
            else:
                patch[name] = self.change(old, inner, directed)
        if patch.get("metadata") is None or "$patch" in patch["metadata"]:
            patch.pop("metadata", None)
        return patch

    # Values

    def chance(self, one_in: int) -> bool:
        return self.random.randrange(one_in) == 0

    def some(self, names: Collection[str], most: int) -> list[str]:
        """At least one, if there is any; what is there twice is so more often."""
        chosen = self.random.sample(list(names), min(len(names), self.random.randint(1, most)))
        return list(dict.fromkeys(chosen))

    def value(self, node: Node | None, depth: int = 0) -> Any:
        if node is None:
            return self.random.choice((1, "a", True, {"a": "b"}, ["a"]))
        if node.fields:
            names = [
                name
                for name, inner in node.fields.items()
                if name not in NEVER and (depth < DEEPEST or type(inner) in LEAVES)
            ]
            names = self.some(names, max(1, 4 - depth // 2))
            return {name: self.value(node.fields[name], depth + 1) for name in names}
        if node.items is not None:
            return self.items(node, depth)
        if node.values is not None:
            return {name: self.value(node.values, depth + 1) for name in self.some(WORDS, 2)}
        return self.leaf(node)

    def leaf(self, node: Node) -> Any:
        if isinstance(node, TimeNode):
            second = self.random.randrange(10, 13)
            fraction = ".000001" if node.timespec == "microseconds" else ""
            return f"2025-11-25T12:30:{second}{fraction}Z"
        return self.random.choice(LEAVES.get(type(node), ({}, {"a": {}})))

    def items(self, node: Node, depth: int = 0) -> list[Any]:
        """A list; if it is merged, then most often of elements that can be told apart."""
        made = [self.value(node.items, depth + 1) for _ in range(self.random.randint(0, 3))]
        if not merges(node):
            return made
        if not node.patch_key:
            return made if self.chance(20) else list(dict.fromkeys(made))
        apart = {}
        for item in made:
            item[node.patch_key] = self.key(node)
            apart.setdefault(item[node.patch_key], item)
        return made if self.chance(20) else list(apart.values())

    def key(self, node: Node) -> Any:
        assert node.items is not None
        return self.leaf(node.items.fields[node.patch_key])

    # Patches

    def change(self, old: Any, node: Node | None, directed: bool) -> Any:
        if self.chance(6):
            return None
        if self.wrong and self.chance(60):
            return self.random.choice(("a", 1, [], {}, ["a"], {"a": "b"}, [[]], [None]))
        if isinstance(old, dict):
            return self.fields_patch(old, node, directed)
        if isinstance(old, list) and directed and node is not None and merges(node):
            return self.items_patch(old, node)
        return self.value(node)

    def fields_patch(self, old: Doc, node: Node | None, directed: bool) -> Doc:
        if directed and self.chance(15):
            return {"$patch": "delete"}
        if directed and self.chance(25):
            return {"$patch": "replace", **copied(old)}
        patch: Doc = {}
        known = [*(node.fields if node is not None else ())] or WORDS
        for name in self.some([name for name in (*old, *old, *known) if name not in NEVER], 3):
            patch[name] = self.change(old.get(name), child(node, name), directed)
        if directed:
            self.direct(patch, old, node)
        return patch

    def direct(self, patch: Doc, old: Doc, node: Node | None) -> None:
        """Add directives about fields of the map."""
        for name, items in old.items():
            inner = child(node, name)
            if not isinstance(items, list) or inner is None or not merges(inner):
                continue
            if not inner.patch_key and items and self.chance(2):
                gone = self.random.sample(items, self.random.randint(1, len(items)))
                patch[f"$deleteFromPrimitiveList/{name}"] = gone
                if isinstance(patch.get(name), list):  # what is put in as well, goes or stays
                    patch[name] = [item for item in patch[name] if item not in gone]
            if self.chance(3):
                order = self.order(items, patch.get(name), inner.patch_key)
                patch[f"$setElementOrder/{name}"] = order
        if node is not None and "retainKeys" in node.patch_strategy and self.chance(2):
            kept = [name for name, value in patch.items() if value is not None and name[0] != "$"]
            patch["$retainKeys"] = [*kept, *self.some(old, 2)]

    def order(self, old: list[Any], new: Any, key: str) -> list[Any]:
        """Of a list after a patch; most often one that fits what the patch holds."""
        new = new if isinstance(new, list) else []
        plain = [item for item in new if not (isinstance(item, dict) and "$patch" in item)]
        merged = [*plain, *self.random.sample(old, len(old))]
        if key:
            merged = [{key: item[key]} for item in merged if isinstance(item, dict) and key in item]
        order = [item for place, item in enumerate(merged) if item not in merged[:place]]
        if self.chance(10):
            self.random.shuffle(order)
        return order

    def items_patch(self, old: list[Any], node: Node) -> list[Any]:
        """Of a list whose elements are merged."""
        patch = self.items(node)
        key = node.patch_key
        if not key:
            return patch
        for item in old:
            if key in item and self.chance(2):
                change = self.fields_patch(item, node.items, True)
                if "$patch" in change and change["$patch"] == "delete":
                    patch.append({"$patch": "delete", key: item[key]})
                else:
                    patch.append({**change, key: item[key]})
        if self.chance(15):
            patch.append({"$patch": "replace"})
        if self.chance(30):
            patch.append({"$patch": "delete", key: self.key(node)})
        return patch

    # JSON patches

    def operations(self, doc: Doc) -> list[Doc]:
        return [self.operation(doc) for _ in range(self.random.randint(1, 4))]

    def operation(self, doc: Doc) -> Doc:
        op = self.random.choice(("add", "add", "replace", "remove", "test", "copy", "move"))
        pointer = self.pointer(doc)
        operation: Doc = {"op": op, "path": pointer}
        if op in ("copy", "move"):
            operation["from"] = self.pointer(doc)
        elif op == "test":
            operation["value"] = at(doc, pointer) if self.chance(2) else "a"
        elif op != "remove":
            operation["value"] = self.random.choice(("a", 1, None, True, ["a", "b"], {"a": "b"}))
        return operation

    def pointer(self, doc: Doc) -> str:
        """To what is there, most often; never to what a document is told by."""
        names = [name for name in doc if name not in ("kind", "apiVersion")]
        steps = [self.random.choice(names)]
        value = doc[steps[0]]
        while isinstance(value, dict | list) and value and not self.chance(4):
            step: Any = self.random.choice(
                [*value] if isinstance(value, dict) else range(len(value))
            )
            steps.append(str(step).replace("~", "~0").replace("/", "~1"))
            value = value[step]
        if steps in (["metadata"], ["metadata", "name"]):
            return "/metadata/labels"
        if self.chance(5):
            steps.append(self.random.choice(("-", "0", "5", "-1", "new", "new/x", "a~1b")))
        return "/" + "/".join(steps)


def at(doc: Any, pointer: str) -> Any:
    """The value there; None if there is none."""
    for step in pointer.split("/")[1:]:
        if isinstance(doc, dict):
            doc = doc.get(step.replace("~1", "/").replace("~0", "~"))
        elif isinstance(doc, list) and step.isdigit() and int(step) < len(doc):
            doc = doc[int(step)]
        else:
            return None
    return doc


def merges(node: Node) -> bool:
    """Whether strategic merge patches add to such a list."""
    return "merge" in node.patch_strategy.split(",") and node.items is not None
