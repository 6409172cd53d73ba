"""The glossary: what the words of the page, of messages and of help mean.

The page's tooltips, docs/glossary.md and `attentropy explain` read it. The formulas are those of
docs/definitions.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Term:
    """One term.

    `definition` is one sentence without the term's name, `more` a longer explanation with the
    formula where there is one. `aliases` are other names of the same thing. `forms` are the words
    by which texts of the page speak of it where that is neither the name nor an alias.
    """

    name: str
    definition: str
    more: str = ""
    see: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    forms: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The name as an identifier: small letters and hyphens."""
        return "-".join("".join(c if c.isalnum() else " " for c in self.name.lower()).split())

    @property
    def names(self) -> tuple[str, ...]:
        """The name and its aliases."""
        return (self.name, *self.aliases)


TERMS = (
    Term(
        "attended distance",
        "How many tokens back a query looks, averaged with its attention weights.",
        "Σ_j p_ij (i − j) for query i, in tokens. The statistic is called `distance`.",
        see=("attention entropy", "local head"), aliases=("mean distance",),
    ),
    Term(
        "attention entropy",
        "How widely one query spreads its attention over the keys it can see: 0 nats if one key "
        "receives everything, ln(visible keys) if all receive the same.",
        "H_i = −Σ_j p_ij ln p_ij for the attention weights p_ij of query i, per layer and head. "
        "exp(H_i) is the effective number of keys.",
        see=("normalized entropy", "visible keys", "nat", "attention sink"),
    ),
    Term(
        "attention map",
        "The attention weights of all queries (rows) on all keys (columns) of one layer; a long "
        "prompt is shown in tiles.",
        "No token × token array is ever stored for a long prompt: a second pass over queries and "
        "keys sums the exact weights, tile by tile.",
        see=("tile", "visible keys"), aliases=("map",), forms=("map of all tokens",),
    ),
    Term(
        "attention sink",
        "A token, usually the first, that receives much attention whatever it says: heads with "
        "nothing to look for park their attention there.",
        "A key is a sink of a layer where it is the first token or belongs to no content word, "
        "receives at least 20 % of the layer's attention (mean over heads and over the queries "
        "that see it) and at least twice what uniform attention gives it, and is visible to at "
        "least eight queries. The findings name those of two layers or more. The statistic "
        "`sink_mass` is the attention on the first four tokens, whatever they are (arXiv "
        "2309.17453, 2410.10781).",
        see=("uniform attention", "idle head"), aliases=("sink", "sink mass", "sink key"),
        forms=("attention sinks", "sink keys"),
    ),
    Term(
        "decisive word",
        "The first word of the answer that says something new: a content word that does not stand "
        "in the prompt's last message.",
        "A content word has a letter or a digit and is no function word (an article, …). If all "
        "stand there, it is the first that does not stand in the message's last paragraph, and "
        "else the first content word. Its probability is that of all its tokens.",
        see=("settling layer", "top key"), aliases=("decisive token",),
    ),
    Term(
        "difference B − A",
        "What changes from trace A to trace B: the value in B minus the value in A, so positive "
        "means higher in B.",
        "Both traces are aligned token by token first; a token that only one of them has gets no "
        "value.",
        see=("lens entropy", "attention entropy"), aliases=("B − A", "B - A", "difference"),
    ),
    Term(
        "diffuse head",
        "An attention head that spreads its attention almost evenly: its mean normalized entropy "
        "is above 0.9.",
        see=("normalized entropy", "head score", "uniform attention"), aliases=("diffuse",),
    ),
    Term(
        "head score",
        "A number per attention head that says how much the head behaves like a known kind: sink, "
        "local, previous-token, induction or diffuse.",
        "Scores are measured only where the prompt is long enough for the pattern (four times its "
        "size); a score that was not measured is absent, never zero.",
        see=("attention sink", "local head", "previous-token head", "induction head",
             "diffuse head"),
        forms=("scores of the heads",),
    ),
    Term(
        "head window",
        "The smallest power of two of tokens, counted back from the query, that holds 95 % (or "
        "99 %) of what a head attends to besides the first four tokens.",
        "A mean over the prompt's queries, recorded with `--context`. It is at most the number of "
        "keys that the layer lets a query see. Early queries cannot look far, so each window has "
        "the share of the queries that see further. What a KV cache with a window per key/value "
        "head saves is an upper bound, for this prompt alone.",
        see=("attended distance", "local head", "attention sink"),
        forms=("need a window", "needs a window"),
    ),
    Term(
        "idle head",
        "An attention head with nothing to do in this prompt: more than 90 % of its attention is "
        "on one attention sink for more than 90 % of its queries.",
        "Measured over the queries of the prompt that see two keys or more, where some query sees "
        "at least 16.",
        see=("attention sink", "head score"), aliases=("idle",), forms=("Idle",),
    ),
    Term(
        "induction head",
        "An attention head that looks for an earlier occurrence of the current token and attends "
        "to what followed it, so that repeated text can be continued.",
        "The score is the mean weight on the key after the previous occurrence of the same token, "
        "measured on repeated random tokens (arXiv 2209.11895).",
        see=("previous-token head", "head score"), aliases=("induction",),
    ),
    Term(
        "KL",
        "How far the logit lens at a layer is from the model's output: 0 nats if both give the "
        "same probabilities.",
        "The Kullback–Leibler divergence KL(P_final ‖ P_layer) = Σ_v P_final(v) ln(P_final(v) / "
        "P_layer(v)). The statistic is called `lens_kl`.",
        see=("logit lens", "nat"),
        aliases=("KL divergence", "divergence from the last layer", "divergence"),
    ),
    Term(
        "lens agreement",
        "The share of positions at which the top token of the logit lens at a layer is the last "
        "layer's.",
        "Over the positions of the prompt that the lens read, without position 0 and the template "
        "tokens after the question.",
        see=("lens skill", "logit lens"), aliases=("lens_agreement",),
    ),
    Term(
        "lens entropy",
        "How uncertain the logit lens is about the next token: 0 nats if one token has "
        "probability 1, ln(vocabulary size) if all are equally likely.",
        "H = −Σ_v P_v ln P_v, where P is what the logit lens reads at one layer and position. A "
        "vocabulary of 128,256 tokens gives at most 11.8 nats.",
        see=("logit lens", "attention entropy", "nat"), aliases=("logit-lens entropy",),
    ),
    Term(
        "lens site",
        "Where the logit lens reads: the residual stream after a layer, or the output of the "
        "layer's attention or MLP block alone.",
        "Only the residual stream holds all that the layers so far have computed; attention and "
        "MLP show what one block adds. With a translator the residual stream is read twice.",
        see=("logit lens", "translated lens"),
        aliases=("site", "residual site", "residual stream", "attention site", "MLP site"),
    ),
    Term(
        "lens skill",
        "How far the logit lens can be read at a layer: 1 is the model's own output, 0 is no "
        "better than a uniform guess, and below 0 it is worse.",
        "1 − Σ KL(P_final ‖ P_layer) / Σ (ln V − H_final) over the positions of the prompt that "
        "the lens read, without position 0 and the template tokens after the question. A constant "
        "guess of frequent tokens scores some 0.4. The figure dots layers of 0 or less and fades "
        "those under 0.5; fewer than 16 positions are called few.",
        see=("logit lens", "lens agreement", "KL"), aliases=("lens_skill", "skill"),
        forms=("uniform guess",),
    ),
    Term(
        "local head",
        "An attention head that looks at nearby tokens: more than 90 % of its attention is on the "
        "last 64 keys.",
        see=("attended distance", "head score"), aliases=("local",),
    ),
    Term(
        "logit lens",
        "A way to read a layer's intermediate state as if it were the last: the model's own final "
        "norm and unembedding turn it into next-token probabilities.",
        "At the last layer the lens gives the model's own output. At earlier layers it shows what "
        "the model would say if it stopped there.",
        see=("lens entropy", "lens skill", "lens site", "KL", "rank", "rehearsal"),
        aliases=("lens",),
    ),
    Term(
        "max probability",
        "The largest probability in a row: the largest attention weight of a query, or the "
        "probability of the lens's top token.",
        "For attention the statistic is called `max_prob`.",
        see=("top key", "lens entropy"), aliases=("largest weight",),
    ),
    Term(
        "nat",
        "The unit of entropy with natural logarithms: 1 nat is 1.44 bits, and e^H is the "
        "effective number of choices.",
        "0.69 nats (ln 2) is the entropy of two equally likely choices, 2.3 nats (ln 10) that of "
        "ten.",
        see=("lens entropy", "attention entropy"),
    ),
    Term(
        "normalized entropy",
        "Attention entropy divided by its largest possible value, ln(visible keys): 0 is all "
        "attention on one key, 1 is uniform attention.",
        "H_i / ln(visible_i); undefined, not zero, where a query sees fewer than two keys. It "
        "makes early and late queries comparable.",
        see=("attention entropy", "visible keys", "uniform attention"),
        aliases=("normalised entropy",), forms=("normalized attention entropy",),
    ),
    Term(
        "perplexity",
        "How many tokens the model hesitates between, on average, before it sees the next token of "
        "the text: 1 if it was always certain of the right one.",
        "exp of the mean surprisal.", see=("surprisal",),
    ),
    Term(
        "placebo question",
        "A short question that asks for another kind of answer in the same chat template: what the "
        "lens shows after it too says nothing of the prompt.",
        "There are six, about a number, yes or no, a translation, a name, a list and code. They "
        "are read in the same run, after the answer.",
        see=("rehearsal", "template token"), aliases=("placebo",),
    ),
    Term(
        "previous-token head",
        "An attention head that mostly attends to the token just before the current one.",
        "The score is the mean weight of a query on the token before it (arXiv 2209.11895).",
        see=("induction head", "head score"), aliases=("previous token head", "previous"),
    ),
    Term(
        "rank",
        "The place of a token when all tokens are sorted by probability; rank 1 (top-1) is the "
        "most likely.",
        "Where people read, ranks count from 1. The variables `lens_rank` and `rehearsal_rank` of "
        "a trace count from 0, so their 0 is rank 1.",
        see=("logit lens", "target log-probability"), aliases=("lens_rank", "top-1"),
    ),
    Term(
        "rehearsal",
        "A token of the coming answer that the logit lens already shows at a template token, "
        "several positions before the model says it.",
        "It counts where such a token belongs to a content word that is not in the prompt, is "
        "among the lens's top five, and has a probability of at least 5 % and at least ten times "
        "that after any placebo question, in a layer whose lens can be read. Template tokens carry "
        "no content of their own, so a word of the answer there means that the model already "
        "holds it.",
        see=("template token", "logit lens", "rank", "placebo question"),
    ),
    Term(
        "settling layer",
        "The first layer from which on the lens's top token is the one that the model writes next.",
        "Spellings that differ in a leading space or in case are one token. Layers whose lens "
        "is not readable, and the last layer, where the lens is the model's output, do not count.",
        see=("decisive word", "logit lens"),
    ),
    Term(
        "source",
        "A part of the prompt that a word of the answer needs: with it hidden from the answer, the "
        "word's probability falls to less than half.",
        "Hidden means that its keys are not visible to the answer's queries, in every layer; "
        "positions do not shift, and nothing is deleted. Earlier words of the answer that repeat "
        "the part are hidden with it (its copies). The fall must also be larger than that of "
        "random parts as long (the control). Two parts that say the same have little effect each: "
        "such ones are *also there*. A word comes from the weights where hiding every passage "
        "leaves at least half of its probability. It is about this prompt and this answer.",
        see=("decisive word", "visible keys", "source control"), aliases=("sources",),
        forms=("rests on",),
    ),
    Term(
        "source control",
        "What hiding random parts of the same length does to a word: the 5th to the 95th "
        "percentile of up to 20 seeded draws.",
        "The draws are from the same message or the system message, and overlap neither the part "
        "nor another one that matters. With fewer than five draws there is no control.",
        see=("source",), forms=("control",),
    ),
    Term(
        "surprisal",
        "How unexpected a token of the text was to the model, in nats: 0 if the model was certain "
        "of it.",
        "−ln p of the token given the tokens before it; the trace has ln p as `token_logprob`.",
        see=("perplexity", "nat"),
    ),
    Term(
        "target log-probability",
        "The logarithm of the probability that the logit lens at a layer gives to the token that "
        "the model itself predicts.",
        "ln P_layer(target), at most 0 nats. The statistic is called `lens_target_logprob`.",
        see=("logit lens", "rank", "nat"),
    ),
    Term(
        "template token",
        "A token that the chat template adds around the user's text, such as a header, a role name "
        "or an end-of-turn mark; also called dummy token.",
        "The box in the figure marks those between the user's last word and the answer. "
        "Rehearsals are looked for there.",
        see=("rehearsal",), aliases=("dummy token",), forms=("chat template",),
    ),
    Term(
        "thumbnail",
        "A small picture of one head's attention: the whole prompt in at most 32 × 32 tiles, "
        "queries down and keys across.",
        "Each tile is the mean, over its queries, of the attention that its keys receive, from the "
        "exact weights; up to 32 tokens a tile is one weight. A diagonal is a head that attends "
        "to the token before or nearby, a first column one that attends to a sink.",
        see=("tile", "attention map"),
    ),
    Term(
        "tile",
        "A block of queries × keys of the attention map, coloured by the share of its queries' "
        "attention that falls on its keys.",
        "Σ of p_ij over the tile, divided by the number of queries in it.",
        see=("attention map",),
    ),
    Term(
        "top key",
        "The key to which a query attends most; where a cell stands for several heads, the one "
        "that most heads choose.",
        "argmax_j p_ij, called `top_key`; of equal weights, the earlier key wins. Without the "
        "attention sinks of the layer it is `top_key_without_sinks`. Attention shows where the "
        "model looked, not why it answered.",
        see=("max probability", "attention entropy", "attention sink"),
        forms=("most attended token", "attends most to", "attend most to"),
    ),
    Term(
        "translated lens",
        "A logit lens with a map per layer in place of the final norm, fitted so that each layer "
        "predicts the next token as well as it can.",
        "It can be read in early layers, where the plain lens often cannot, but it cannot show "
        "rehearsal. `attentropy lens fit` makes one.",
        see=("logit lens", "rehearsal", "KL"), aliases=("translator",),
    ),
    Term(
        "uniform attention",
        "Equal weight on every visible key: what a head without any preference would do, shown "
        "for comparison.",
        see=("attention entropy", "normalized entropy"), aliases=("uniform",),
    ),
    Term(
        "visible keys",
        "The keys that a query may attend to: in a causal model itself and everything before it, "
        "or fewer where the layer has a sliding window.",
        "The variable is called `visible`.",
        see=("normalized entropy",),
    ),
)  # fmt: skip

_BY_NAME = {name.casefold(): term for term in TERMS for name in term.names}


def find(name: str) -> Term | None:
    """Return the term with this name or alias, in any case, singular or plural; None for none."""
    wanted = " ".join(name.casefold().split())
    return _BY_NAME.get(wanted) or _BY_NAME.get(wanted.removesuffix("s"))


def all_names() -> list[str]:
    """Return every name and alias."""
    return [name for term in TERMS for name in term.names]


def forms_in_texts() -> Iterator[tuple[str, Term]]:
    """Yield the words by which the page's texts speak of each term, the longest first.

    Short aliases such as "local" or "lens" are ordinary words of a sentence and are left out.
    """
    words = [
        (form, term)
        for term in TERMS
        for form in (term.name, *term.forms, *(a for a in term.aliases if a in _CLEAR_ALIASES))
    ]
    return iter(sorted(words, key=lambda pair: (-len(pair[0]), pair[0])))


_CLEAR_ALIASES = frozenset(
    ("logit-lens entropy", "B − A", "sink mass", "largest weight", "residual stream",
     "mean distance", "divergence from the last layer", "dummy token", "uniform")
)  # fmt: skip
