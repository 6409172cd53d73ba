"""Detection of uniform registers that machine code reads on a path that never wrote them.

ptxas 12.8 sometimes moves the setup of a product's descriptor into a loop that a warp group can
skip, although the next loop multiplies by the same operand: the next loop then reads shared memory
at random places, which only a run on a GPU shows. `unwritten` finds such reads in a listing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_REGISTER = re.compile(r"\bUR(\d+)\b")
_PREDICATE = re.compile(r"^@!?U?P\w+\s+")
_ZERO = "UR63"  # URZ's number
# Instructions that only read their first operand if it is a uniform register.
_READERS = ("SYNCS", "STS", "BRA")
# A register that takes the value of another one, written or not.
_COPY = re.compile(r"(?:U?MOV|R2UR) (U?R\d+), (U?R\d+)")

Registers = frozenset[str]


def unwritten(listing: str) -> list[str]:
    """Return the instructions of a `cuobjdump -sass` listing that read one, in their order.

    A copy of such a register is no read, but the next reader of the copy is one: ptxas saves and
    restores the upper half of an address around code that writes it before it reads it.
    """
    code = [
        (int(place, 16), text.strip())
        for place, text in re.findall(r"^\s+/\*([0-9a-f]{4,5})\*/\s+(.*?);", listing, re.M)
    ]
    paths = _paths(code)
    effects = [_effect(_PREDICATE.sub("", text)) for _, text in code]
    copies = [_COPY.fullmatch(text) for _, text in code]
    # By instruction: the registers that some path to it left without a value; None: not reached.
    empty: list[Registers | None] = [frozenset(f"UR{i}" for i in range(63)), *[None] * len(code)]
    waiting = [0]
    while waiting:
        at = waiting.pop()
        before = empty[at]
        assert before is not None
        after, copy = before - effects[at][0] - {_first(code[at][1])}, copies[at]
        if copy is not None and copy[2] in before:
            after = before | {copy[1]}
        for to in paths[at]:
            old = empty[to]
            new = after if old is None else old | after
            if new != old:
                empty[to] = new
                waiting.append(to)
    return [
        text
        for (_, text), (_, reads), before, copy in zip(code, effects, empty, copies, strict=False)
        if before is not None and copy is None and (reads - {_ZERO}) & before
    ]


def _first(text: str) -> str:
    """Return the first operand; a write under a predicate counts, as its readers have it, too."""
    return _PREDICATE.sub("", text).partition(" ")[2].partition(",")[0].strip()


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


def _effect(text: str) -> tuple[Registers, Registers]:
    """Return the uniform registers that an instruction writes, and all registers that it reads."""
    name, _, operands = text.partition(" ")
    if name.startswith("HGMMA"):  # descriptors of A, unless it lies in registers, and of B
        at = int(_REGISTER.findall(operands)[0])
        skipped = 2 if ", R" in operands.partition("gdesc")[0] else 0
        return frozenset(), _uniform(range(at + skipped, at + 4))
    if name.startswith("UTMALDG"):  # place, barrier and up to four coordinates; a descriptor
        to, of = map(int, _REGISTER.findall(operands))
        return frozenset(), _uniform([*range(to, to + 6), of, of + 1])
    double = name.startswith("U") and (".64" in name or ".WIDE" in name)
    writes: set[int] = set()
    first = re.match(r"\s*UR(\d+)\b", operands)
    if first and not name.startswith(_READERS):
        writes = {int(first[1]), int(first[1]) + double}
        operands = operands[first.end() :]
    reads = {int(register) for register in _REGISTER.findall(operands)}
    if double and ".64" in name:
        reads |= {register + 1 for register in reads}
    others = re.findall(r"\bR\d+\b", operands if first else operands.partition(",")[2])
    return _uniform(writes), _uniform(reads) | frozenset(others)


def _uniform(numbers: Iterable[int]) -> Registers:
    return frozenset(f"UR{number}" for number in numbers)
