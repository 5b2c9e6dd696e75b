"""Learns which words belong to which part of a note, from dialogues whose section is known.

    python -m fhir_server.processing.generate.topics MTS-Dialog-TrainingSet.csv.gz

Writes ``rules/writing/data/topic-words.tsv``: a word, and for each topic the logarithm (in hundredths) of how much more
often it is said there than elsewhere (naive Bayes with smoothing). Source: MTS-Dialog (Ben Abacha et al., EACL 2023),
CC BY 4.0.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import math
import re
from collections import Counter, defaultdict
from pathlib import Path

from fhir_server.processing.rules.writing.learned import LEARNED, tokens

SECTIONS = {
    "GENHX": "present_illness",
    "CC": "present_illness",
    "ROS": "review_of_systems",
    "FAM/SOCHX": "",
    "PASTMEDICALHX": "past_history",
    "PASTSURGICAL": "surgical_history",
    "ALLERGY": "allergies",
    "MEDICATIONS": "medications",
    "ASSESSMENT": "assessment",
    "DIAGNOSIS": "assessment",
    "PLAN": "plan",
    "DISPOSITION": "plan",
    "EXAM": "examination",
    "IMMUNIZATIONS": "immunizations",
    "LABS": "results",
    "IMAGING": "results",
}
_FAMILY = re.compile(r"\b(?:mother|father|parents?|mom|dad|brothers?|sisters?|siblings?|family|grand\w+)\b", re.I)
_FEWEST = 4
_SMOOTH = 0.5
OUT = Path(__file__).parents[1] / "rules" / "writing" / "data" / "topic-words.tsv"


def learn(path: Path) -> list[tuple[str, list[int]]]:
    """(word, weights by LEARNED) of the words that tell a topic."""
    said: dict[str, Counter[str]] = defaultdict(Counter)
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            topic = SECTIONS.get(row["section_header"])
            if topic is None:
                continue
            dialogue = row["dialogue"]
            for turn in dialogue.split("\n"):
                words = set(tokens(turn.partition(":")[2]))
                where = topic or ("family_history" if _FAMILY.search(row["section_text"]) else "social_history")
                said[where].update(words)
    everywhere: Counter[str] = sum(said.values(), Counter())
    total = sum(everywhere.values())
    sizes = {topic: sum(said[topic].values()) for topic in LEARNED}
    found = []
    for word, count in sorted(everywhere.items()):
        if count < _FEWEST:
            continue
        share = count / total
        weights = [
            round(100 * math.log((said[t][word] + _SMOOTH * share * 50) / ((sizes[t] + _SMOOTH * 50) * share)))
            for t in LEARNED
        ]
        if max(weights) >= 40:
            found.append((word, weights))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dialogues", type=Path)
    rows = learn(parser.parse_args().dialogues)
    lines = ["\t".join(("word", *LEARNED)), *("\t".join((word, *map(str, weights))) for word, weights in rows)]
    OUT.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(len(rows))


if __name__ == "__main__":
    main()
