"""PDF files with a caption and a fixed order of objects; the converter's order is random."""

from __future__ import annotations

import re

_REFERENCE = re.compile(rb"(\d+) 0 R\b")
_RESOURCES = re.compile(rb"(?:^ */[^\s/]+ \d+ 0 R\n)+", re.M)


def normalize_pdf(document: bytes, title: str, subject: str) -> bytes:
    """Return the same pages as the same bytes each time, with a title and a subject.

    Resources are sorted by name, and objects are numbered in the order in which a walk from the
    catalogue meets them.
    """
    objects = _objects(document)
    order = _walk(document, objects)
    bodies = [
        _REFERENCE.sub(lambda m: b"%d 0 R" % order[m[1]], objects[number][0]) + objects[number][1]
        for number in order
    ]
    bodies.append(b"<<\n  /Title %s\n  /Subject %s\n>>" % (_utf16(title), _utf16(subject)))
    return _assemble(document[: document.index(b"\n\n") + 2], bodies)


def _walk(document: bytes, objects: dict[bytes, tuple[bytes, bytes]]) -> dict[bytes, int]:
    """Return the new number of each object, by its old one, in the order of the walk."""
    root = _REFERENCE.findall(document[document.rindex(b"/Root") :])[0]
    order: dict[bytes, int] = {}

    def visit(number: bytes) -> None:
        if number not in order:
            order[number] = len(order) + 1
            for reference in _REFERENCE.findall(objects[number][0]):
                visit(reference)

    visit(root)
    return order


def _assemble(header: bytes, bodies: list[bytes]) -> bytes:
    """Return the file of the objects 1, 2, …; the first is the catalogue, the last the facts."""
    out, entries = header, []
    for number, body in enumerate(bodies, 1):
        entries.append(b"%010d 00000 n\r\n" % len(out))
        out += b"%d 0 obj\n%s\nendobj\n\n" % (number, body)
    size = len(bodies) + 1
    table = b"xref\n0 %d\n0000000000 65535 f\r\n%s" % (size, b"".join(entries))
    trailer = b"<<\n  /Size %d\n  /Root 1 0 R\n  /Info %d 0 R\n>>" % (size, len(bodies))
    return b"%s%strailer\n%s\nstartxref\n%d\n%%%%EOF" % (out, table, trailer, len(out))


def _objects(document: bytes) -> dict[bytes, tuple[bytes, bytes]]:
    """Return by number each object's dictionary, with sorted resources, and its stream."""
    table = int(document[document.rindex(b"startxref") :].split()[1])
    first, *entries = document[table : document.rindex(b"trailer")].splitlines()[1:]
    number = int(first.split()[0])
    starts = {
        number + i: int(entry[:10]) for i, entry in enumerate(entries) if entry.split()[2] == b"n"
    }
    ends = dict(zip(sorted(starts.values()), [*sorted(starts.values())[1:], table], strict=True))
    objects = {}
    for number, start in starts.items():
        source = document[start : ends[start]]
        body = source[source.index(b"obj\n") + 4 : source.rindex(b"\nendobj")]
        dictionary, stream, data = body.partition(b"\nstream\n")
        objects[b"%d" % number] = (_RESOURCES.sub(_sort_lines, dictionary), stream + data)
    return objects


def _sort_lines(lines: re.Match[bytes]) -> bytes:
    return b"".join(sorted(lines[0].splitlines(keepends=True)))


def _utf16(text: str) -> bytes:
    return b"<FEFF%s>" % text.encode("utf-16-be").hex().encode()
