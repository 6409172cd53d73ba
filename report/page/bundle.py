"""Vega, Vega-Lite and vega-embed as one script, which the converter bundles once for each user.

Bundling takes two seconds of a processor and gives the same bytes each time.
"""

from __future__ import annotations

import zlib
from importlib.metadata import version

from attentropy.kernels.common import user_cache
from attentropy.report import vega


def bundle() -> str:
    """Return the script: that of the user's cache, made by a converter of this version."""
    name = f"vega-of-converter-{version('vl-convert-python')}"
    entry = user_cache.read(name, ".js.z")
    if entry is not None:
        return zlib.decompress(entry[1]).decode()
    script = vega.bundle()
    user_cache.write(name, ".js.z", zlib.compress(script.encode()))
    return script
