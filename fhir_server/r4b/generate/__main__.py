"""``python -m fhir_server.r4b.generate CORE EXPANSIONS``: both are unpacked npm packages (their ``package``)."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from fhir_server.r4b.generate.code_sets import code_sets
from fhir_server.r4b.generate.elements import element_tables, required_value_sets
from fhir_server.r4b.generate.operations import operation_table
from fhir_server.r4b.generate.parameters import compartment_table, parameter_table
from fhir_server.r4b.generate.profiles import profile_table

DATA = Path(__file__).parent.parent / "data"


def load(folder: Path, prefix: str) -> list[dict[str, Any]]:
    """All resources of one type in a package folder, in the order of their file names."""
    return [msgspec.json.decode(path.read_bytes()) for path in sorted(folder.glob(f"{prefix}-*.json"))]


def write(name: str, table: Any) -> None:
    """Reproducible: the same table gives the same bytes."""
    raw = msgspec.json.encode(table)
    path = DATA / f"{name}.json.gz"
    path.write_bytes(gzip.compress(raw, 9, mtime=0))
    print(f"{path.name}: {len(raw):,} bytes, {path.stat().st_size:,} compressed")


def main(core: Path, expansions: Path) -> None:
    structures = [s for s in load(core, "StructureDefinition") if s["kind"] != "logical"]
    bases = [s for s in structures if s.get("derivation") != "constraint"]
    elements, invariants = element_tables(bases)
    sets: Mapping[str, Any] = code_sets(load(expansions, "ValueSet"), required_value_sets(bases))
    DATA.mkdir(exist_ok=True)
    write("elements", elements)
    write("operations", operation_table(load(core, "OperationDefinition")))
    write("invariants", invariants)
    write("parameters", parameter_table(load(core, "SearchParameter")))
    write("compartments", compartment_table(load(core, "CompartmentDefinition")))
    write("codes", sets)
    write("profiles", profile_table(structures))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
