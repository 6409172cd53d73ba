"""Vega, Vega-Lite and vega-embed as one script, which is bundled ahead and lies in the templates.

Bundling takes two seconds of a processor, and gives the same bytes each time. A converter of other
versions bundles its own. `python -m attentropy.report.page.bundle` writes the file for the
converter that is installed; a test compares the two.
"""

from __future__ import annotations

import zlib
from importlib.resources import files

from attentropy.report import vega

_FILE = files("attentropy.templates") / "vega" / "bundle.js.z"


def bundle() -> str:
    """Return the script."""
    stored = zlib.decompress(_FILE.read_bytes()).decode() if _FILE.is_file() else ""
    versions, _, script = stored.partition("\n")
    return script if versions == _header() else vega.bundle()


def _header() -> str:
    """Return the first line of the stored file: the versions of what it has."""
    return "// " + ", ".join(f"{name} {version}" for name, version in vega.versions().items())


def _write() -> None:
    with open(str(_FILE), "wb") as file:
        file.write(zlib.compress(f"{_header()}\n{vega.bundle()}".encode(), 9))


if __name__ == "__main__":
    _write()
