"""The fixed words of the sections: names for the navigation, headings, and what to look for."""

from __future__ import annotations

NAMES = {
    "layers": ("By layer", "By layer"),
    "sources": ("Sources", "What the answer rests on"),
    "lens": ("Lens", "Logit lens by layer"),
    "attention": ("Attention", "Attention by layer"),
    "map": ("Map", "Where attention goes"),
    "heads": ("Heads", "Attention heads"),
    "context": ("Context", "How far back the heads attend"),
    "messages": ("Messages", "Messages of the chat"),
    "segments": ("Segments", "Segments of the prompt"),
    "answer": ("Answer", "Answer"),
    "profile": ("Profile", "Profile"),
    "tables": ("Tables", "The figure as tables"),
    "provenance": ("Provenance", "Provenance"),
}
_LOOK_UNITS = (
    "Look for {} that the answer attends to more or less than their length explains "
    "(the dashed line), and for those that surprise the model."
)
LOOK = {
    "layers": "Look for the layers where A and B diverge.",
    "sources": (
        "Look for parts whose dot lies far left of the grey bar: without them the word would be "
        "far less likely. Hidden is not deleted: the answer is read again and cannot see the part. "
        "It is about this prompt and this answer."
    ),
    "lens": (
        "Look for the layer where the lens first agrees with the model's output: there skill and "
        "the share of equal top tokens rise, and KL falls to 0. Where skill is low, entropy "
        "says how certain the lens is, and nothing of the model."
    ),
    "attention": (
        "Look for layers that differ from their neighbours: low normalized entropy with a large "
        "sink mass is attention parked on the first tokens; with a short distance it is local "
        "attention."
    ),
    "map": (
        "Look for columns (keys that many queries attend to), a strong diagonal (local attention) "
        "and blocks below it (a passage that looks back at an earlier one). It opens at the "
        "head that attends most to one content word of the prompt when it writes the answer's "
        "decisive word; where there is none, at the layer or head whose weights depend most on "
        "more than the distance. Sink keys and the diagonal do not count."
    ),
    "heads": (
        "Look for heads that stand out from their layer, and for layers whose heads all look alike."
    ),
    "context": (
        "Look for heads whose line reaches the dotted one, 95 %, only at large windows: they need "
        "most of the context. A head that reaches it early would do with a short window, and the "
        "cache of its key/value head could be cut there if all query heads that share it agree."
    ),
    "messages": _LOOK_UNITS.format("messages"),
    "segments": _LOOK_UNITS.format("segments"),
    "answer": (
        "Look for tokens with a high entropy or a low probability: there the answer could have "
        "gone another way."
    ),
    "profile": "Look for the parts that grow with the prompt, and for what recording adds.",
    "tables": (
        "The magnified section as the page opens. The CSV button above the figure exports what "
        "the figure shows now."
    ),
    "provenance": "What this page was made from. The same trace and version give the same bytes.",
}
NO_SKILL = "Lens skill: not measured; it needs the residual stream after the model's last layer."
