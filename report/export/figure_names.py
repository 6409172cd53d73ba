"""The figures that can be exported, and the choices that each one leaves to the caller."""

FIGURES: dict[str, tuple[str, ...]] = {
    "lens": ("stat", "site", "section", "inset", "palette"),
    "attention": ("stat", "section", "inset", "layer", "head", "palette"),
    "map": ("section", "layer", "head"),
    "heads": ("score",),
    "profile": (),
}
