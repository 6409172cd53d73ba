"""Hostile text of a trace, a prompt or a file name is shown everywhere and never runs."""

import base64
import html
import json
import re
import unicodedata
import xml.etree.ElementTree as ElementTree
import zlib

import numpy as np
import pytest

from attentropy.engine.bench.case import AttentionCase
from attentropy.engine.bench.results import Results, Row
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.text import text_array
from attentropy.report.bench.results_page import render as bench_page
from attentropy.report.cli import main
from attentropy.report.commands.output import json_line
from attentropy.report.compare.difference import compare
from attentropy.report.findings.compared import observe as observe_difference
from attentropy.report.findings.single import observe
from attentropy.report.page.page import render
from attentropy.report.read.characters import character_starts
from attentropy.report.text import (
    for_prompt,
    for_sentence,
    for_terminal,
    for_tooltip,
    mark_whitespace,
    shorten,
)
from hostile import HOSTILE_NAMES, PROOF, STRINGS, corpus, hostile_pair, hostile_trace
from traces import synthetic

pytestmark = pytest.mark.costly

# Categories that move a terminal's cursor, change the text direction or are invisible.
UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
JOINER = "\u200d"  # joins parts of an emoji


def _unseen(text, allowed=" \n\t" + JOINER + "\u2068\u2069"):
    return {c for c in text if unicodedata.category(c) in UNSEEN and c not in allowed}


@pytest.fixture(scope="module")
def trace():
    return hostile_trace()


@pytest.fixture(scope="module")
def page(trace):
    return render(trace, observe(trace))


@pytest.fixture(scope="module")
def comparison():
    """Return the page of two traces with hostile file names."""
    of = compare(*hostile_pair(), HOSTILE_NAMES)
    return render(of, observe_difference(of))


SCRIPTS = {"page": 5, "comparison": 4}


@pytest.fixture(params=SCRIPTS)
def either(request):
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("which", SCRIPTS)
def test_no_markup_of_the_trace_is_in_the_page(which, request):
    page = request.getfixturevalue(which)
    body = re.sub(r"<script>.*?</script>|<style>.*?</style>", "", page, flags=re.S)
    tags = {name.lower() for name in re.findall(r"<([a-zA-Z][^\s/>]*)", body)}
    assert not tags & {"iframe", "object", "embed", "link", "base", "form", "video", "audio"}
    assert len(re.findall(r"<script\b", page)) == page.count("</script>") == SCRIPTS[which]
    assert len(re.findall(r"<style\b", page)) == 1
    for tag in re.findall(r"<[a-zA-Z][^>]*>", body):
        outside = re.sub(r'"[^"]*"', '""', tag)
        assert not re.search(r"\s(on\w+|style)\s*=", outside), tag
    assert not re.search(r"""(?:src|href|srcset)=["'](?!data:image|#)""", body)


def test_nothing_in_the_page_is_unseen_or_turns_around_what_is_beside_it(either):
    assert _unseen(either) == set()
    either.encode()


def test_every_string_is_shown_or_visibly_escaped(page):
    body = page.split('id="text"')[1].split("</div>")[0]
    shown = [
        re.sub(r"&(?:#(\d+)|(\w+));", _entity, text)
        for text in re.findall(r'<span class="t [^>]*>(.*?)</span>', body, re.S)
    ]
    # A token without a text is the rest of the letter before it.
    starts = character_starts(hostile_trace())
    tokens = [str(text) for text, own in zip(text_array(STRINGS), starts, strict=True) if own]
    labels = [for_prompt(text) if text.strip() else mark_whitespace(text) for text in tokens]
    assert [text.lstrip(" ") for text in shown] == [label.lstrip(" ") for label in labels]
    for text in shown:
        assert text.strip()
        assert len(text) < 4500
    # Blanks before a word stand outside of it; none is lost.
    visible = re.sub(r"<summary>.*?</summary>", "", body.partition(">")[2], flags=re.S)
    plain = re.sub(r"&(?:#(\d+)|(\w+));", _entity, re.sub(r"<[^>]*>", "", visible))
    assert plain == "".join(labels)
    assert "1,000,000 characters" in shown[-1]
    assert "⟨202E⟩" in body
    assert "\\ud83d" in body  # half of a surrogate pair is not valid text


def test_a_comparison_shows_every_string_of_both_sides_or_escapes_it_visibly(comparison):
    body = comparison.split('class="tokens columns"')[1].split("</div>")[0]
    wanted = [
        for_prompt(text) if text.strip() else mark_whitespace(text)
        for text in map(str, text_array(STRINGS))
    ]
    for element in ("span", "del", "ins"):
        shown = re.findall(rf"<{element} [^>]*>(.*?)</{element}>", body, re.S)
        assert [html.unescape(text) for text in shown] == wanted
    entries = re.findall(
        '<th scope="row">(?:<span[^>]*>≠</span> )?(\u2068?prompt: .*?)</th>', comparison, re.S
    )
    assert [html.unescape(text) for text in entries] == [
        for_sentence(f"prompt: {text}", 60) for text in dict.fromkeys(STRINGS)
    ]
    assert "\\x1b" not in comparison
    assert "⟨202E⟩" in comparison.split("<title>")[1].split("</title>")[0]


def _entity(match):
    named = {"lt": "<", "gt": ">", "amp": "&", "quot": '"'}
    return chr(int(match[1])) if match[1] else named[match[2]]


def test_the_payload_is_json_without_a_number_that_is_none(page):
    payload = json.loads(
        re.search(r'id="report">(.*?)</script>', page, re.S)[1], parse_constant=pytest.fail
    )
    lens = payload["packed"]["lensWhole"]
    values = np.frombuffer(zlib.decompress(base64.b64decode(lens["data"])), lens["type"])
    values = values.reshape(lens["shape"])
    assert np.isnan(values[:, 3:6]).all()
    assert not np.isinf(values).any()
    kl = payload["packed"]["lensKl"]
    assert not np.isinf(np.frombuffer(zlib.decompress(base64.b64decode(kl["data"])), "<f4")).any()
    assert "missing" in page.split('title="position 4, ')[1][:40]
    assert not re.search(r"\b(nan|inf)\b (nats|%)", page)


def test_the_still_pictures_are_whole_documents_without_scripts(either):
    images = re.findall(r"svg\+xml;base64,([^\"]+)", either)
    assert len(images) >= 2
    for image in images:
        text = base64.b64decode(image).decode()
        for element in ElementTree.fromstring(text).iter():
            assert element.tag.split("}")[1] in {
                "svg", "g", "path", "text", "tspan", "rect", "image", "defs", "clipPath", "style",
                "title", "line", "circle", "linearGradient", "stop",
            }  # fmt: skip
            assert not [name for name in element.attrib if name.startswith("on")]
            target = element.attrib.get("{http://www.w3.org/1999/xlink}href", "data:")
            assert element.attrib.get("href", target).startswith("data:")
        assert _unseen(text) == set()


def test_the_notebook_shows_it_as_text(trace):
    shown = trace._repr_html_()
    assert {tag.lower() for tag in re.findall(r"<([a-zA-Z]+)", shown)} <= {
        "div", "p", "figure", "picture", "source", "img", "figcaption",
    }  # fmt: skip
    assert _unseen(shown) == set()
    shown.encode()


def test_findings_say_it_without_turning_around(trace):
    for observation in observe(trace):
        assert _unseen(observation.text) == set()
        assert len(observation.text) < 600


def test_labels_are_short_seen_and_isolated():
    for text in STRINGS:
        for shown in (
            shorten(text, 8),
            for_sentence(text),
            for_tooltip(text),
            for_terminal(text[:900]),
            for_prompt(text),
        ):
            assert _unseen(shown) == set(), ascii(text[:80])
            shown.encode()
            assert len(shown) < 8000
        label = shorten(text, 8)
        if any(unicodedata.bidirectional(c) in ("R", "AL", "AN") for c in label):
            assert (label[0], label[-1]) == ("\u2068", "\u2069")


def test_json_lines_are_json_and_leave_a_terminal_alone():
    facts = {text[:300]: text for text in STRINGS[:-1]} | {"x": [float("nan"), float("inf"), 1.5]}
    line = json_line(facts)
    assert _unseen(line, allowed=" " + JOINER) == set()
    decoded = json.loads(line, parse_constant=pytest.fail)
    assert decoded["x"] == [None, None, 1.5]
    assert all(decoded[text[:300]] == text for text in STRINGS[:-1] if text[:300] != "x")


def _few_tokens(trace):
    """Return a small trace with the attributes of `trace`, which is quick to draw."""
    return Trace(synthetic(layers=2, heads=1, window=False).dataset.assign_attrs(trace.attrs))


def test_a_terminal_gets_no_escape_of_a_trace_or_a_name(trace, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    name = "\x1b]0;evil\x07\x9b31m\u202e.zarr"
    _few_tokens(trace).save(name)
    for arguments, code in (
        (["info", name], 0), (["info", name, "--json"], 0), (["render", name, "-o", name], 2),
        (["render", name, "-o", name + ".html", "--json"], 0), (["info", name + "\x1b.zarr"], 1),
        (["render", name, "-o", name + ".html"], 2), (["render", "--x\x1b", name], 2),
        (["render", name, "-o", name + "2.html"], 0), (["export", "\x1b[31m"], 1),
    ):  # fmt: skip
        assert main(arguments) == code, arguments
        out, err = capsys.readouterr()
        assert _unseen(out, allowed="\n" + JOINER) == _unseen(err, allowed="\n") == set()
        if "--json" in arguments:
            json.loads(out, parse_constant=pytest.fail)


def test_a_comparison_of_files_with_hostile_names_is_written(trace, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = [name.replace("/", "") for name in HOSTILE_NAMES]
    for name in names:
        _few_tokens(trace).save(name)
    assert main(["compare", *names, "-o", "c.html"]) == 0
    out, err = capsys.readouterr()
    assert _unseen(out, allowed="\n" + JOINER) == _unseen(err) == set()
    assert "⟨DCFF⟩" in (tmp_path / "c.html").read_text("utf-8")


def test_attributes_with_half_of_a_pair_are_written_and_read(trace, tmp_path):
    opened = Trace.open(_few_tokens(trace).save(tmp_path / "t.zarr.zip"))
    assert "⟨D83D⟩" in render(opened, observe(opened))


def test_the_benchmarks_page_shows_hostile_names():
    case = AttentionCase(64, 2, 2, 16, True, "float32", "cpu")
    texts = [text[:300] for text in STRINGS[60:72]] + ["\x1b[31m\u202e</svg><script>x</script>"]
    rows = tuple(
        Row(0, text, "other", case.flops, (0.1, 0.2, 0.3), 5, errors={"entropy": 1e-6})
        for text in texts
    )
    benchmark = Results("attention", texts[-1], texts[0], {"device": texts[-1], texts[-1]: "x"},
                    {"flops_per_second": 1e11}, (case,), rows)  # fmt: skip
    page = bench_page([benchmark])
    assert "<script" not in page.lower().replace("&lt;script", "")
    assert _unseen(page) == set()
    for image in re.findall(r"svg\+xml;base64,([^\"]+)", page):
        text = base64.b64decode(image).decode()
        ElementTree.fromstring(text)
        assert _unseen(text) == set()


def test_the_corpus_is_what_it_says():
    assert len(set(corpus())) > 480
    assert len(corpus()) == 500
    assert sum(PROOF in text for text in corpus()) > 300
