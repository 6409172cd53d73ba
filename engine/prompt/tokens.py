"""Token texts that people can read, and where each token is in the prompt."""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any, TypeAlias

import regex

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# (start, stop), in characters or bytes.
Span: TypeAlias = tuple[int, int]

# A character takes up to four bytes, and a token may hold parts of two characters.
_MAX_BYTE_TOKENS = 8
# How far behind the last token that was found the next one is searched for, in characters.
_SLACK = 16
# A letter with its marks, or the parts of a Korean syllable: an extended grapheme cluster (UAX 29).
_LETTER = regex.compile(r"\X")
_BYTE_PIECE = regex.compile(r"<0x[0-9A-F]{2}>")


@lru_cache(maxsize=1)
def _byte_alphabet() -> dict[str, int]:
    """Return the byte that each printable character stands for in byte-level BPE."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = (byte for byte in range(256) if byte not in printable)
    table = {chr(byte): byte for byte in printable}
    return table | {chr(256 + i): byte for i, byte in enumerate(others)}


def vocabulary_text(tokenizer: PreTrainedTokenizerBase, ids: Iterable[int]) -> list[str]:
    """Return the text that each vocabulary entry stands for on its own.

    Leading spaces are kept. An entry that is a part of a character becomes `<0xE4 0xBD>`; an id
    that the tokenizer does not have (a padded embedding) becomes `<id 129>`.
    """
    ids = [int(i) for i in ids]
    pieces = tokenizer.convert_ids_to_tokens(ids)
    return [_piece_text(tokenizer, i, piece) for i, piece in zip(ids, pieces, strict=True)]


def _piece_text(tokenizer: PreTrainedTokenizerBase, token_id: int, piece: str | None) -> str:
    if piece is None:
        return f"<id {token_id}>"
    text = str(tokenizer.decode([token_id], clean_up_tokenization_spaces=False))
    if "\ufffd" in text:
        own = _own_bytes(tokenizer, token_id, piece)
        return "<" + " ".join(f"0x{byte:02X}" for byte in own) + ">" if own else piece
    if piece.startswith("▁") and not text.startswith(" "):  # SentencePiece drops a first space
        return " " * (len(piece) - len(piece.lstrip("▁"))) + text.lstrip(" ")
    return text or piece


def _own_bytes(tokenizer: Any, token_id: int, piece: str) -> list[int]:
    """Return the bytes of an entry that is no text on its own; none where they are unknown."""
    if _BYTE_PIECE.fullmatch(piece):
        return [int(piece[3:5], 16)]
    if hasattr(tokenizer, "tokenizer"):  # tekken: its pieces are text, and so without these bytes
        inner: Any = getattr(tokenizer.tokenizer, "instruct_tokenizer", None)
        inner = getattr(inner, "tokenizer", None)
        if hasattr(inner, "id_to_byte_piece"):
            return [*inner.id_to_byte_piece(token_id)]
    alphabet = _byte_alphabet()
    return [alphabet[character] for character in piece] if set(piece) <= alphabet.keys() else []


def token_spans(text: str, offsets: Sequence[Span]) -> tuple[list[str], list[Span]]:
    """Return text and UTF-8 byte span in `text` of each token, from character offsets.

    The spans tile the text. Characters that a tokenizer skips belong to the token before them as
    far as they complete its last letter (the accents that a normaliser composes), then to the token
    after them; at the end, to the token before them. Tokens that share one character (an emoji in
    several byte tokens) form a group: the first has the complete character, the others are empty,
    and all have its span. A token of no width has an empty span at its position.
    """
    placed = _fill_gaps(text, offsets)
    at_byte = [0, *accumulate(len(c.encode("utf-8", "surrogatepass")) for c in text)]
    pieces = []
    shown = 0
    for start, stop in placed:
        pieces.append(text[max(start, shown) : stop])
        shown = max(shown, stop)
    return pieces, [(at_byte[a], at_byte[b]) for a, b in placed]


def _fill_gaps(text: str, offsets: Sequence[Span]) -> list[Span]:
    """Return the spans, widened over the characters that no token has."""
    placed: list[Span] = []
    letter_ends: list[int] | None = None
    shown = 0

    def widen_last(stop: int) -> None:
        """Widen the tokens that end at the last character shown, and move those of no width."""
        i = len(placed) - 1
        while i >= 0 and placed[i][1] == shown:
            start = placed[i][0]
            placed[i] = (start if start < shown else stop, stop)
            i -= 1

    for start, stop in offsets:
        if start == stop:
            placed.append((shown, shown))
            continue
        if 0 < shown < stop and start != shown:
            if letter_ends is None:
                letter_ends = [0, *(letter.end() for letter in _LETTER.finditer(text))]
            i = bisect_left(letter_ends, shown)
            own = letter_ends[i]
            if start > shown or _is_composed(text[letter_ends[i - 1] : own]):
                own = min(own, start if start > shown else stop)
                widen_last(own)
                shown = own
        placed.append((min(start, shown), stop))
        shown = max(shown, stop)
    if 0 < shown < len(text):
        widen_last(len(text))
    return placed


def _is_composed(letter: str) -> bool:
    """Return whether a normaliser makes fewer characters of a letter and its marks."""
    return len(unicodedata.normalize("NFC", letter)) < len(letter)


def dummy_prefixes(text: str, pieces: Sequence[str | None], offsets: Sequence[Span]) -> list[int]:
    """Return which tokens are a `▁` that SentencePiece put before the text, by index.

    Such a token has no character: its offsets are those of the first character, which the token
    after it has too.
    """
    prefixes = []
    for i, (piece, (start, stop)) in enumerate(zip(pieces, offsets, strict=True)):
        if not piece or piece.strip("▁") or i + 1 == len(pieces):
            continue
        after, after_stop = offsets[i + 1]
        is_shared = after < stop and after < after_stop
        if start == stop or (is_shared and text[start] not in " ▁"):
            prefixes.append(i)
    return prefixes


def decoded_pieces(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> list[str | None]:
    """Return what each token adds to the decoded text; None where it continues the token before.

    Decodes a few tokens at a time, which takes O(N) time. The pieces add up to the complete text.
    """

    def decode(start: int, stop: int) -> str:
        return str(
            tokenizer.decode(
                list(ids[start:stop]),
                skip_special_tokens=False,
                clean_up_tokenization_spaces=False,
            )
        )

    pieces: list[str | None] = [None] * len(ids)
    context = first = 0
    for i in range(len(ids)):
        decoded = decode(context, i + 1)
        if decoded.endswith("\ufffd") and i + 1 < min(first + _MAX_BYTE_TOKENS, len(ids)):
            continue  # the next tokens hold the rest of this character
        before = decode(context, first) if first else ""
        pieces[first] = piece = decoded[len(before) :]
        if i > first:  # the last of them may add characters of its own
            tail = decode(i, i + 1).rpartition("\ufffd")[2]
            if tail and piece != tail and piece.endswith(tail):
                pieces[first], pieces[i] = piece.removesuffix(tail), tail
        context, first = first, i + 1
    return pieces


def align_pieces(text: str, pieces: Sequence[str | None]) -> tuple[list[Span], int]:
    """Return character offsets of `pieces` (see `decoded_pieces`), and how many are not in `text`.

    For tokenizers that give no offsets. Tokens that are not in the text share the characters
    between their neighbours.
    """
    places: list[Span | None] = []
    at = missing = skipped = 0
    for piece in pieces:
        if piece is None:
            places.append(places[-1])
            continue
        core = piece if text.startswith(piece, at) else piece.strip() or piece
        start = text.find(core, at, at + len(piece) + skipped + _SLACK)
        if start < 0:
            places.append(None)
            missing += 1
            skipped += len(piece)
            continue
        at, skipped = start + len(core), 0
        places.append((start, at))
    offsets = []
    last = 0
    for i, place in enumerate(places):
        if place is None:
            after = next((p[0] for p in places[i:] if p), len(text))
            place = (last, after)
        else:
            last = place[1]
        offsets.append(place)
    return offsets, missing
