"""Builds what coding in ICD-10-CM reads: the lexicon (Alphabetic Index with "see" followed, Neoplasm table, tabular
titles and inclusion terms, as sets of words) and the instructional notes.

    python -m terminology.generate.coding --index ICD10CM_2025_Index.csv.gz --neoplasms ICD10CM_2025_neoplasms.csv.gz \
        --tabular icd10c-tabular-April-1-2026.xml --out terminology/data
"""

from __future__ import annotations

import argparse
import csv
import gzip
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lxml import etree

from terminology.content import rows
from terminology.generate.content import write
from terminology.words import words

NOTES = {"excludes1": "excludes1", "codeFirst": "first", "useAdditionalCode": "additional", "codeAlso": "also"}
_ONE = r"([A-Z]\d[0-9A-Z](?:\.[0-9A-Z]{1,4})?)"
CODE = re.compile(rf"\b{_ONE}(\.?-)?(?:\s*-\s*{_ONE})?")
NO_PART = re.compile(r"\b(?:without|not|no)\b.*|\bunspecified (?:site|part|type|severity|eye|ear|side|trimester)\b")
BRACKETS = re.compile(r"\([^()]*\)|\[[^\[\]]*\]")


@dataclass(slots=True)
class Node:
    term: str
    see: str
    code: str
    children: list[Node] = field(default_factory=list)


def index_tree(path: Path) -> list[Node]:
    """The Alphabetic Index as its main terms."""
    roots: list[Node] = []
    stack: list[Node] = []
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            node = Node(row["Term"], row["See"].strip(), row["Code"].strip())
            level = int(row["Level"])
            del stack[level:]
            (stack[-1].children if stack else roots).append(node)
            stack.append(node)
    return roots


def _alternates(term: str) -> list[str]:
    """ "Diabetes, diabetic" is one word twice; "Fracture, pathological" is a word with its modifier."""
    parts = [part.strip() for part in BRACKETS.sub(" ", term).split(",") if words(part)]
    if len({part[:3].lower() for part in parts}) > 1:
        return [" ".join(part for part in parts if part != "traumatic")]
    return parts or [term]


_MOST_WAYS = 4


def _ways(term: str) -> list[str]:
    """ "perforation or rupture" is said in two ways."""
    parts = [part for part in re.split(r"\bor\b", term) if words(part)]
    return parts if len(parts) > 1 and all(len(part.split()) <= 2 for part in parts) else [term]


class Resolver:
    """Follows "see Main term, subterm, subterm" through the tree."""

    def __init__(self, roots: list[Node]) -> None:
        self._roots: dict[str, Node] = {}
        for root in roots:
            for alternate in _alternates(root.term):
                self._roots.setdefault(" ".join(words(alternate)), root)

    def node(self, reference: str) -> Node | None:
        parts = [part for part in BRACKETS.sub(" ", reference).split(",") if part.strip()]
        node = self._roots.get(" ".join(words(parts[0]))) if parts else None
        for part in parts[1:]:
            if node is None or "by site" in part or "by type" in part:
                return None
            node = _child(node, set(words(part)))
        return node

    def code(self, reference: str, depth: int = 4) -> str:
        node = self.node(reference)
        if node is None or not depth:
            return ""
        return node.code or (self.code(node.see, depth - 1) if node.see else "")


def _child(node: Node, wanted: set[str], depth: int = 2) -> Node | None:
    if not wanted:
        return node
    for child in node.children:
        if wanted <= set(words(child.term)):
            return child
    if depth:
        for child in node.children:
            found = _child(child, wanted - set(words(child.term)), depth - 1)
            if found is not None and found is not child:
                return found
    return None


def index_entries(roots: list[Node], resolver: Resolver) -> Iterator[tuple[frozenset[str], str]]:
    """(words, code) of every path of the Index, "see" followed."""

    def walk(node: Node, before: list[frozenset[str]]) -> Iterator[tuple[frozenset[str], str]]:
        term = BRACKETS.sub(" ", node.term).lower()
        said = before if "without" in term else [b | set(words(way)) for b in before for way in _ways(term)]
        code = node.code or (resolver.code(node.see) if node.see else "")
        if code:
            yield from ((one, code) for one in said if one)
        for child in node.children:
            yield from walk(child, said[:_MOST_WAYS])

    for root in roots:
        for alternate in _alternates(root.term):
            yield from walk(Node(alternate, root.see, root.code, root.children), [frozenset()])


KINDS = (("MalignantPrimary", "malignant"), ("MalignantSecondary", "secondary"), ("Benign", "benign"))


def neoplasm_entries(path: Path) -> Iterator[tuple[frozenset[str], str]]:
    """(words, code) of the Neoplasm table: the site with "malignant", "secondary" or "benign"."""
    stack: list[frozenset[str]] = []
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            level = int(row["Level"])
            del stack[level:]
            before = stack[-1] if stack else frozenset()
            for number, alternate in enumerate(_alternates(row["Term"])):
                said = before | set(words(alternate))
                if not number:
                    stack.append(said)
                for column, kind in KINDS:
                    code = row[column].strip()
                    if code and code != "-":
                        yield said | {kind}, code


def tabular_entries() -> Iterator[tuple[frozenset[str], str]]:
    """(words, code) of titles and inclusion terms; "other specified" codes only by their inclusion terms."""
    for kind, code, _, title, inclusion, includes, _, _ in rows("icd10cm.tsv.gz"):
        if kind != "code":
            continue
        said = [*inclusion.split("|"), *(includes.split("|") if "." in code else ())]
        if not re.search(r"\bother\b|not elsewhere", title, re.I):
            said.append(title)
        for phrase in said:
            found = frozenset(words(NO_PART.sub(" ", BRACKETS.sub(" ", phrase.lower()))))
            if found and not phrase.lower().startswith("any "):
                yield found, code


def lexicon(entries: Iterable[tuple[frozenset[str], str]], known: frozenset[str]) -> Iterator[tuple[str, str]]:
    """code, words with the rarest first. Of two codes for the same words the first given wins."""
    taken: dict[frozenset[str], str] = {}
    for said, code in entries:
        clean = code.rstrip("-").rstrip(".")
        while clean not in known and len(clean) > 3:
            clean = clean[:-1].rstrip(".")
        if clean in known and clean[0] not in "VWXY" and len(said) <= 12:
            taken.setdefault(said, clean)
    count = Counter(w for said in taken for w in said)
    for said, code in sorted(taken.items(), key=lambda item: (item[1], sorted(item[0]))):
        yield code, " ".join(sorted(said, key=lambda w: (count[w], w)))


def note_rows(tabular: Path) -> Iterator[tuple[str, str, str]]:
    """code or block, kind (excludes1, first, additional, also), the codes named ("I50" or "I50-I52", "|" between)."""
    root = etree.parse(str(tabular)).getroot()
    for element in root.iter("section", "diag"):
        code = element.get("id") if element.tag == "section" else element.findtext("name", "")
        for tag, kind in NOTES.items():
            named: dict[str, None] = {}
            for note in element.findall(f"{tag}/note"):
                for match in CODE.finditer(note.text or ""):
                    named[f"{match[1]}-{match[3]}" if match[3] else match[1]] = None
            if named:
                yield code or "", kind, "|".join(named)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("index", "neoplasms", "tabular", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    given = parser.parse_args()
    known = frozenset(row[1] for row in rows("icd10cm.tsv.gz") if row[0] == "code")
    roots = index_tree(given.index)
    entries = [
        *index_entries(roots, Resolver(roots)),
        *neoplasm_entries(given.neoplasms),
        *tabular_entries(),
    ]
    print(write(given.out / "icd10cm-lexicon.tsv.gz", ("code", "words"), lexicon(entries, known)))
    print(write(given.out / "icd10cm-notes.tsv.gz", ("code", "kind", "codes"), note_rows(given.tabular)))


if __name__ == "__main__":
    main()
