"""Opens a store by its URL. Kinds of store are plug-ins: entry-point group ``fhir_server.stores``, name = scheme."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, cast

from fhir_server.store.protocol import Store, StoreError

__all__ = ["open_store"]


async def open_store(url: str = "sqlite", *, data_dir: Path, **options: Any) -> Store:
    """The store that `url` names, ready for use.

    url: ``sqlite`` (or '') keeps everything in ``data_dir/fhir.sqlite``; ``sqlite:///absolute/path`` names the file;
    any other scheme is looked up among the installed plug-ins. data_dir: made when absent; also holds the blobs.
    options: what the kind of store offers (see its own `open_store`). Raises StoreError for an unknown scheme.
    """
    scheme = url.partition(":")[0] or "sqlite"
    found = {point.name: point for point in entry_points(group="fhir_server.stores")}
    if scheme not in found:
        known = ", ".join(sorted(found)) or "none"
        raise StoreError(f"There is no store for '{scheme}' (installed: {known}). Check the store's URL.")
    return cast(Store, await found[scheme].load()(url, data_dir=data_dir, **options))
