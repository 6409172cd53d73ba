"""The figures that can be exported, and the choices that each one leaves to the caller."""

FIGURES: dict[str, tuple[str, ...]] = {
    "lens": ("stat", "site", "section", "inset", "palette", "range"),
    "attention": ("stat", "section", "inset", "layer", "head", "palette", "range"),
    "map": ("section", "layer", "head"),
    "heads": ("score", "range"),
    "profile": (),
}
