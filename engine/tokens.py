"""Ids to text that people can read, and where each token lies in the prompt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any


@lru_cache(maxsize=1)
def _byte_alphabet() -> dict[str, int]:
    """The printable character that byte-level BPE writes for each byte, read backwards."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = (byte for byte in range(256) if byte not in printable)
    table = {chr(byte): byte for byte in printable}
    return table | {chr(256 + i): byte for i, byte in enumerate(others)}


def vocabulary_text(tokenizer: Any, ids: Iterable[int]) -> list[str]:
    """The text that each vocabulary entry stands for, taken alone.

    Leading spaces are kept; an entry that is a part of a character reads `<0xE4 0xBD>`; an id
    that the tokenizer lacks (a padded embedding) reads `<id 129>`.
    """
    ids = [int(i) for i in ids]
    pieces = tokenizer.convert_ids_to_tokens(ids)
    return [_piece_text(tokenizer, i, piece) for i, piece in zip(ids, pieces, strict=True)]


def _piece_text(tokenizer: Any, token_id: int, piece: str | None) -> str:
    if piece is None:
        return f"<id {token_id}>"
    text = tokenizer.decode([token_id], clean_up_tokenization_spaces=False)
    if "\ufffd" in text:
        alphabet = _byte_alphabet()
        if all(character in alphabet for character in piece):
            return "<" + " ".join(f"0x{alphabet[character]:02X}" for character in piece) + ">"
        return piece
    if piece.startswith("▁") and not text.startswith(" "):  # SentencePiece drops a first space
        return " " * (len(piece) - len(piece.lstrip("▁"))) + text.lstrip(" ")
    return str(text)


def token_spans(text: str, offsets: Sequence[tuple[int, int]]) -> list[tuple[str, int, int]]:
    """Text and byte span of each token in `text`, from character offsets (start, stop).

    Tokens that share one character (an emoji in several byte tokens) form a group: the first
    carries the whole character, the others are empty, and all have the character's span.
    """
    at_byte = [0]
    for character in text:
        at_byte.append(at_byte[-1] + len(character.encode("utf-8", "surrogatepass")))
    spans = []
    shown = 0
    for start, stop in offsets:
        piece = text[max(start, shown) : stop]
        spans.append((piece, at_byte[start], at_byte[stop]))
        shown = max(shown, stop)
    return spans
