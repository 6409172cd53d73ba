"""A PDF with its caption, and with its objects in one order: the converter's is by chance."""

from __future__ import annotations

import re

_REFERENCE = re.compile(rb"(\d+) 0 R\b")
_NAMED = re.compile(rb"(?:^ */[^\s/]+ \d+ 0 R\n)+", re.M)


def settled(document: bytes, title: str, subject: str) -> bytes:
    """The same pages, and the same bytes each time: resources sorted by name, objects numbered in
    the order in which they are met from the catalogue on; with a title and a subject."""
    found = _objects(document)
    root = _REFERENCE.findall(document[document.rindex(b"/Root") :])[0]
    order: dict[bytes, int] = {}

    def meet(number: bytes) -> None:
        if number not in order:
            order[number] = len(order) + 1
            for reference in _REFERENCE.findall(found[number][0]):
                meet(reference)

    meet(root)
    bodies = [
        _REFERENCE.sub(lambda m: b"%d 0 R" % order[m[1]], found[number][0]) + found[number][1]
        for number in order
    ]
    bodies.append(b"<<\n  /Title %s\n  /Subject %s\n>>" % (_text(title), _text(subject)))
    out, places = document[: document.index(b"\n\n") + 2], []
    for i, body in enumerate(bodies, 1):
        places.append(b"%010d 00000 n\r\n" % len(out))
        out += b"%d 0 obj\n%s\nendobj\n\n" % (i, body)
    size = len(bodies) + 1
    table = b"xref\n0 %d\n0000000000 65535 f\r\n%s" % (size, b"".join(places))
    trailer = b"<<\n  /Size %d\n  /Root 1 0 R\n  /Info %d 0 R\n>>" % (size, len(bodies))
    return b"%s%strailer\n%s\nstartxref\n%d\n%%%%EOF" % (out, table, trailer, len(out))


def _objects(document: bytes) -> dict[bytes, tuple[bytes, bytes]]:
    """Each object's dictionary, its named references sorted, and its stream, by number."""
    table = int(document[document.rindex(b"startxref") :].split()[1])
    first, *entries = document[table : document.rindex(b"trailer")].splitlines()[1:]
    number = int(first.split()[0])
    places = {
        number + i: int(entry[:10]) for i, entry in enumerate(entries) if entry.split()[2] == b"n"
    }
    ends = dict(zip(sorted(places.values()), [*sorted(places.values())[1:], table], strict=True))
    found = {}
    for number, at in places.items():
        whole = document[at : ends[at]]
        body = whole[whole.index(b"obj\n") + 4 : whole.rindex(b"\nendobj")]
        head, stream, data = body.partition(b"\nstream\n")
        found[b"%d" % number] = (_NAMED.sub(_sorted, head), stream + data)
    return found


def _sorted(lines: re.Match[bytes]) -> bytes:
    return b"".join(sorted(lines[0].splitlines(keepends=True)))


def _text(text: str) -> bytes:
    return b"<FEFF%s>" % text.encode("utf-16-be").hex().encode()
