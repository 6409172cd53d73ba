"""Texts as arrays of strings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    pass


def text_array(values: Sequence[str]) -> np.ndarray:
    """Texts of any length as an array; half of a surrogate pair is not text: it is written out."""
    texts = [text.encode("utf-8", "backslashreplace").decode() for text in values]
    return np.array(texts, dtype=np.dtypes.StringDType())
