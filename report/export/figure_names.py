"""The figures that can be exported, the choices that each leaves to the caller, the formats."""

from __future__ import annotations

from pathlib import Path

from attentropy.engine.errors import UsageError

FORMATS = ("svg", "png", "pdf", "csv")

FIGURES: dict[str, tuple[str, ...]] = {
    "story": ("section", "inset", "palette", "range", "template_box", "lens_skill"),
    "lens": (
        "by",
        "stat",
        "site",
        "section",
        "inset",
        "palette",
        "range",
        "template_box",
        "lens_skill",
    ),
    "attention": (
        "by",
        "stat",
        "section",
        "inset",
        "layer",
        "head",
        "palette",
        "range",
        "template_box",
    ),
    "map": ("section", "layer", "head"),
    "heads": ("score", "range"),
    "context": (),
    "sources": (),
    "profile": (),
}


def format_of(path: Path) -> str:
    """Return the format that a file's ending names. Raises `UsageError` for another ending."""
    name = path.suffix.lower().removeprefix(".")
    if name not in FORMATS:
        endings = ", ".join(f".{name}" for name in FORMATS)
        raise UsageError(f"{path.name!r}: the file name must end in {endings}")
    return name
