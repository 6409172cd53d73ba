"""The methods of `sources_rivals.py`, each in a process and an environment of its own.

Reads one task as JSON from standard input and prints a line of JSON per case and way: a score for
each passage (the higher, the more the judged words of the answer owe to it), the seconds so far, of
the clock and of the processor, and the memory above that of the loaded model. Each method gets a
loaded model, the same passages and the same answer; libraries and model are loaded before the clock
starts. It imports only what its method needs.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"

Case = dict[str, Any]
Scores = Iterator[tuple[str, list[float]]]  # the name of a way, and its score of each passage


class Loaded:
    """The model with its tokenizer, and what every method does with a case."""

    def __init__(self, folder: str, attention: str = "sdpa") -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        torch.set_num_threads(1)
        self.torch, self.folder = torch, folder
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        options = {"dtype": torch.float32, "attn_implementation": attention}
        self.model = AutoModelForCausalLM.from_pretrained(folder, **options).eval()

    def chat(self, message: str) -> str:
        """Return the text of a chat with one message, up to the answer."""
        turns = [{"role": "user", "content": message}]
        text = self.tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        return str(text)

    def encode(self, text: str) -> Any:
        """Return a text as tokens with the characters of each."""
        return self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)

    def spans(self, case: Case) -> list[tuple[int, int]]:
        """Return the tokens [start, stop) of each passage in the prompt."""
        message = "".join(text for _, text in case["parts"])
        chat = self.chat(message)
        place, offsets, spans = chat.index(message), self.encode(chat)["offset_mapping"], []
        for role, text in case["parts"]:
            if role == "evidence":
                own = [i for i, (a, b) in enumerate(offsets) if a < place + len(text) and b > place]
                spans.append((own[0], own[-1] + 1))
            place += len(text)
        return spans

    def steps(self, case: Case) -> list[int]:
        """Return the numbers of the answer's tokens that have a letter of the judged words."""
        start, stop = case["judged"]
        offsets = self.encode(case["answer"])["offset_mapping"]
        return [i for i, (a, b) in enumerate(offsets) if a < stop and b > start]


def ours(folder: str) -> Callable[[Case], Scores]:
    """Return all the tests that `attentropy.sources` makes by default, controls included."""
    import attentropy

    loaded = Loaded(folder)

    def score(case: Case) -> Scores:
        message, segments, place = "", {}, 0
        for role, text in case["parts"]:
            name = {"asks": "question", "evidence": f"passage {place}"}.get(role, role)
            if name:
                segments[name] = [len(message), len(message) + len(text)]
            place += role == "evidence"
            message += text
        data = attentropy.sources(
            loaded.model, [{"role": "user", "content": message}], tokenizer=loaded.tokenizer,
            segments=segments, answer=loaded.encode(case["answer"])["input_ids"],
        ).dataset  # fmt: skip
        effects = data["effect_with_copies"].values[:, loaded.steps(case)].sum(-1)
        ids = data["span_id"].values.tolist()
        yield "all tests", [-float(effects[ids.index(f"passage {i}")]) for i in range(place)]

    return score


def passages_alone(folder: str, way: str) -> Callable[[Case], Scores]:
    """Return one test of this project per passage: it is hidden, or taken out of the prompt."""
    from attentropy.engine.model.load import LoadedModel
    from attentropy.engine.sources.hiding import Interval
    from attentropy.engine.sources.reader import HiddenReader

    loaded = Loaded(folder)
    whole = LoadedModel(loaded.model, loaded.tokenizer, folder, None)

    def score(case: Case) -> Scores:
        prompt = loaded.encode(loaded.chat("".join(text for _, text in case["parts"])))["input_ids"]
        ids = prompt + loaded.encode(case["answer"])["input_ids"]
        last, spans = len(prompt) - 1, loaded.spans(case)
        reader = HiddenReader(whole, ids, len(prompt))
        if way == "removed":
            logprobs = reader.remove(spans)
        else:
            logprobs = reader.direct([(Interval(*span, last),) for span in spans])
        yield f"passages {way}", (-logprobs[:, loaded.steps(case)].sum(-1)).tolist()

    return score


def attention(folder: str) -> Callable[[Case], Scores]:
    """Return the attention of transformers from the rows that predict the judged words."""
    loaded = Loaded(folder, "eager")

    def score(case: Case) -> Scores:
        torch = loaded.torch
        prompt = loaded.encode(loaded.chat("".join(text for _, text in case["parts"])))["input_ids"]
        answer = loaded.encode(case["answer"])["input_ids"]
        rows = [len(prompt) - 1 + step for step in loaded.steps(case)]
        with torch.inference_mode():
            ids = torch.tensor([prompt + answer])
            weights = loaded.model(ids, output_attentions=True, logits_to_keep=1).attentions
        mean = torch.stack([one[0][:, rows].mean((0, 1)) for one in weights])  # [layer, key]
        upper = mean[len(mean) // 2 :].mean(0)
        for name, part in (("all layers", mean.mean(0)), ("upper half", upper)):
            yield name, [float(part[a:b].sum()) for a, b in loaded.spans(case)]

    return score


def context_cite(folder: str, ablations: Sequence[int]) -> Callable[[Case], Scores]:
    """Return ContextCite with the passages as its sources, after each number of its ablations.

    Its ablation number n depends on n alone, so the first 32 of 64 are those of a run with 32.
    """
    import numpy as np
    from context_cite import ContextCiter
    from context_cite.context_partitioner import BaseContextPartitioner
    from context_cite.utils import get_masks_and_logit_probs

    loaded = Loaded(folder)
    loaded.tokenizer.padding_side = "left"

    class Passages(BaseContextPartitioner):  # type: ignore[misc]
        """The passages of a case, with what separates them."""

        def __init__(self, texts: list[str], separator: str) -> None:
            self.texts, self.separator = texts, separator
            super().__init__(separator.join(texts))

        num_sources = property(lambda self: len(self.texts))

        def split_context(self) -> None:
            """Do nothing: the parts are there."""

        def get_source(self, index: int) -> str:
            """Return a passage."""
            return self.texts[index]

        def get_context(self, mask: Any = None) -> str:
            """Return the passages that stay."""
            stay = np.ones(len(self.texts), bool) if mask is None else mask
            own = [text for text, is_in in zip(self.texts, stay, strict=True) if is_in]
            return self.separator.join(own)

    def score(case: Case) -> Scores:
        before, texts, between, after = around(case["parts"])
        citer = ContextCiter(
            loaded.model, loaded.tokenizer, between.join(texts), "",
            partitioner=Passages(texts, between), prompt_template=f"{before}{{context}}{after}",
        )  # fmt: skip
        message = "".join(text for _, text in case["parts"])
        citer._cache["output"] = loaded.chat(message) + case["answer"]  # the same answer for all
        assert citer.response == case["answer"]
        readings: list[Any] = []
        for first, last in pairwise([0, *ablations]):
            readings.append(
                get_masks_and_logit_probs(
                    loaded.model, loaded.tokenizer, last - first, len(texts), citer._get_prompt_ids,
                    citer._response_ids, citer.ablation_keep_prob, citer.batch_size, first,
                )
            )  # fmt: skip
            masks, logits = (np.concatenate(part) for part in zip(*readings, strict=True))
            citer._cache |= {"reg_masks": masks, "reg_logit_probs": logits}
            weights = citer.get_attributions(*case["judged"], verbose=False)
            yield f"{last}", [float(one) for one in weights]

    return score


def around(parts: list[list[str]]) -> tuple[str, list[str], str, str]:
    """Return what stands before the passages, the passages, what is between them, and after."""
    own = [i for i, (role, _) in enumerate(parts) if role == "evidence"]
    texts = [text for _, text in parts]
    between = texts[own[0] + 1] if len(own) > 1 else ""
    return (
        "".join(texts[: own[0]]), [texts[i] for i in own], between,
        "".join(texts[own[-1] + 1 :]),
    )  # fmt: skip


def captum(folder: str) -> Callable[[Case], Scores]:
    """Return captum's FeatureAblation: each passage left out, its answer in one pass."""
    from captum.attr import FeatureAblation, LLMAttribution, TextTemplateInput

    loaded = Loaded(folder)
    method = LLMAttribution(FeatureAblation(loaded.model), loaded.tokenizer)

    def score(case: Case) -> Scores:
        template = "".join("{}" if role == "evidence" else text for role, text in case["parts"])
        texts = [text for role, text in case["parts"] if role == "evidence"]
        with loaded.torch.inference_mode():
            result = method.attribute(
                TextTemplateInput(loaded.chat(template), texts), target=case["answer"],
                forward_in_tokens=False,
            )  # fmt: skip
        yield "", result.token_attr[loaded.steps(case)].sum(0).tolist()

    return score


METHODS: dict[str, Callable[[str], Callable[[Case], Scores]]] = {
    "attentropy, hidden": lambda folder: passages_alone(folder, "hidden"),
    "attentropy, removed": lambda folder: passages_alone(folder, "removed"),
    "attentropy": ours,
    "attention": attention,
    "ContextCite": lambda folder: context_cite(folder, (32, 64)),
    "ContextCite, 2 ablations": lambda folder: context_cite(folder, (2,)),  # for its memory alone
    "captum": captum,
}


def resident(name: str) -> int:
    """Return a size of this process in bytes, VmRSS or VmHWM."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(name))


def main() -> None:
    """Run the task."""
    task = json.load(sys.stdin)
    if task.get("bytes"):
        resource.setrlimit(resource.RLIMIT_AS, (task["bytes"], task["bytes"]))
    score = METHODS[task["method"]](task["model"])
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")  # the peak counts from here
    before = resident("VmRSS")
    for case in task["cases"]:
        start, own_start, lines = time.perf_counter(), time.process_time(), []
        for way, scores in score(case):
            seconds, cpu = time.perf_counter() - start, time.process_time() - own_start
            line = {"method": task["method"], "name": case["name"], "way": way, "scores": scores}
            lines.append(line | {"seconds": seconds, "cpu": cpu})
        used = {"bytes": resident("VmHWM") - before, "loaded": before}
        print(*(json.dumps(line | used) for line in lines), sep="\n", flush=True)


if __name__ == "__main__":
    main()
