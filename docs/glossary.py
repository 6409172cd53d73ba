"""Write docs/glossary.md from report/glossary.py: python docs/glossary.py"""

from pathlib import Path

from attentropy.report.glossary import TERMS, Term

HEAD = """\
# Glossary

The terms used in the page, in messages and in `--help`. `attentropy explain TERM` prints the same
definitions, and the page shows one where a term first appears in a section.
[definitions.md](definitions.md) has every number with its formula and range.

<!-- Written by `python docs/glossary.py` from report/glossary.py. -->
"""


def entry(term: Term) -> str:
    """Return one term as a section."""
    also = f" (also: {', '.join(term.aliases)})" if term.aliases else ""
    lines = [f"## {term.name}", "", f"{term.definition}{also}"]
    if term.more:
        lines += ["", term.more]
    if term.see:
        links = ", ".join(f"[{name}](#{anchor(name)})" for name in term.see)
        lines += ["", f"See also: {links}"]
    return "\n".join(lines) + "\n"


def anchor(name: str) -> str:
    """Return the address of a heading as GitHub makes it."""
    letters = "".join(c for c in name.lower() if c.isalnum() or c in " -")
    return letters.replace(" ", "-")


def page() -> str:
    """Return the whole page."""
    return "\n".join([HEAD, *(entry(term) for term in TERMS)])


if __name__ == "__main__":
    (Path(__file__).parent / "glossary.md").write_text(page(), "utf-8")
