"""The figures that can be exported, and the choices that each one leaves to the caller."""

FIGURES: dict[str, tuple[str, ...]] = {
    "lens": ("stat", "site", "section", "inset", "palette", "template_box"),
    "attention": ("stat", "section", "inset", "layer", "head", "palette", "template_box"),
    "map": ("section", "layer", "head"),
    "heads": ("score",),
    "profile": (),
}
