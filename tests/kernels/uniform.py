"""Detection of uniform registers that machine code reads on a path that never wrote them.

ptxas 12.8 sometimes moves the setup of a product's descriptor into a loop that a warp group can
skip, although the next loop multiplies by the same operand: the next loop then reads shared memory
at random places, which only a run on a GPU shows. `unwritten` finds such reads in a listing.
"""

from __future__ import annotations

import re

_REGISTER = re.compile(r"\bUR(\d+)\b")
_ZERO = 63  # URZ's number
# Instructions that only read their first operand if it is a uniform register.
_READERS = ("SYNCS", "STS", "BRA")


def unwritten(listing: str) -> list[str]:
    """Return the instructions of a `cuobjdump -sass` listing that read one, in their order."""
    code = [
        (int(place, 16), text.strip())
        for place, text in re.findall(r"^\s+/\*([0-9a-f]{4,5})\*/\s+(.*?);", listing, re.M)
    ]
    paths = _paths(code)
    effects = [_effect(re.sub(r"^@!?U?P\w+\s+", "", text)) for _, text in code]
    written: list[frozenset[int] | None] = [frozenset(), *[None] * (len(code) - 1)]
    waiting = [0]
    while waiting:
        at = waiting.pop()
        written_before = written[at]
        assert written_before is not None
        after = written_before | effects[at][0]
        for to in paths[at]:
            before = written[to]
            new = after if before is None else before & after
            if new != before:
                written[to] = new
                waiting.append(to)
    return [
        text
        for (_, text), (_, reads), written_before in zip(code, effects, written, strict=True)
        if written_before is not None and reads - written_before - {_ZERO}
    ]


def _paths(code: list[tuple[int, str]]) -> list[list[int]]:
    """Return the instructions that may follow each one.

    A jump through a table goes to the code of every warp group, which starts by setting its number
    of registers.
    """
    index = {place: i for i, (place, _) in enumerate(code)}
    ends = [bool(re.match(r"(BRA 0x\w+$|BRX|EXIT)", text)) for _, text in code]
    groups = [
        i + 1
        for i, end in enumerate(ends[:-1])
        if end and any("USETMAXREG" in text for _, text in code[i + 1 : i + 4])
    ]
    paths = [[] if end else [i + 1] for i, end in enumerate(ends)]
    paths[-1] = []
    for i, (_, text) in enumerate(code):
        if target := re.search(r"\bBRA\b.*(0x[0-9a-f]+)$", text):
            paths[i].append(index[int(target[1], 16)])
        elif text.startswith("BRX"):
            paths[i] += groups
    return paths


def _effect(text: str) -> tuple[frozenset[int], frozenset[int]]:
    """Return the uniform registers that an instruction writes, and those that it reads."""
    name, _, operands = text.partition(" ")
    if name.startswith("HGMMA"):  # a descriptor of B, and of A where that is in shared memory
        at = int(_REGISTER.findall(operands)[0])
        count = 2 if ", R" in operands.partition("gdesc")[0] else 4
        return frozenset(), frozenset(range(at, at + count))
    if name.startswith("UTMALDG"):  # place, barrier and up to four coordinates; a descriptor
        to, of = map(int, _REGISTER.findall(operands))
        return frozenset(), frozenset({*range(to, to + 6), of, of + 1})
    double = name.startswith("U") and (".64" in name or ".WIDE" in name)
    writes: set[int] = set()
    first = re.match(r"\s*UR(\d+)\b", operands)
    if first and not name.startswith(_READERS):
        writes = {int(first[1]), int(first[1]) + double}
        operands = operands[first.end() :]
    reads = {int(register) for register in _REGISTER.findall(operands)}
    if double and ".64" in name:
        reads |= {register + 1 for register in reads}
    return frozenset(writes), frozenset(reads)
