"""The page has a strict security policy, escapes all text, and always has the same bytes."""

import base64
import hashlib
import json
import re
import zlib

import numpy as np
import pytest
import xarray as xr

from attentropy.engine.errors import TraceError
from attentropy.engine.trace.dataset import Trace
from attentropy.report.figures.sizes import wide
from attentropy.report.findings.single import observe
from attentropy.report.page.page import render
from pictured import with_thumbnails
from traces import synthetic

pytestmark = pytest.mark.costly


def _page(trace):
    return render(trace, observe(trace))


def _without(trace, *names):
    return Trace(trace.dataset.drop_vars(list(names)))


LENS = [
    "lens_entropy", "lens_kl", "lens_top_ids", "lens_top_logprobs", "lens_target_logprob",
    "lens_rank", "rehearsal", "rehearsal_ids", "rehearsal_rank",
]  # fmt: skip
ATTENTION = ["entropy", "lse", "max_prob", "distance", "sink_mass", "top_key", "visible", "window"]


@pytest.fixture
def page(plain_page):
    return plain_page


@pytest.mark.parametrize(
    ("logprob", "words"), [(-20.0, "p &lt; 0.001 (unsure)<"), (0.0, "p = 1.00<")]
)
def test_a_tiny_probability_of_the_answer_is_less_than_and_not_equal(logprob, words):
    data = synthetic().dataset
    values = np.full(data.sizes["step"], logprob, np.float32)
    page = _page(Trace(data.assign(generated_logprob=("step", values))))
    assert re.search(rf'<span class="p(?: unsure)?">{re.escape(words)}/span>', page)


def test_the_policy_allows_only_what_it_names_by_hash(page):
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)[1]
    policy = policy.replace("&#39;", "'")
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    scripts = re.findall(r"<script>(.*?)</script>", page, re.S)
    styles = re.findall(r"<style>(.*?)</style>", page, re.S)
    assert (len(scripts), len(styles)) == (2, 1)
    for text in (*scripts, *styles):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy


def test_the_document_names_no_address_and_no_inline_handler(page):
    body = re.sub(r"<script.*?</script>|<style>.*?</style>", "", page, flags=re.S)
    assert not re.search(r"""(?:src|href|srcset)=["'](?!data:|#)""", body)
    assert not re.search(r"\son\w+=|\sstyle=", body)
    assert "url(" not in re.search(r"<style>(.*?)</style>", page, re.S)[1]


@pytest.mark.usefixtures("converted_again")
def test_the_same_trace_gives_the_same_bytes(page):
    assert page == _page(synthetic())


HOSTILE = ["</script><script>alert(1)</script>", "<!--", "<img src=x onerror=alert(1)>", "\u2028"]


def test_hostile_text_stands_escaped_in_every_place():
    tokens = ["<s>", *HOSTILE, "a"]
    trace = synthetic(tokens, ["bos"] + ["content"] * 5, words=[*HOSTILE, "x", "y", "z"])
    trace.dataset.attrs.update(
        answer=HOSTILE[0],
        model={**trace.attrs["model"], "name": HOSTILE[0], "revision": HOSTILE[2]},
        versions={HOSTILE[0]: HOSTILE[2]},
        notes=[HOSTILE[0]],
    )
    page = _page(trace)
    # The opening, values, other statistics, the program, the call that starts it.
    assert page.count("<script") == 5
    for text in HOSTILE[:3]:
        assert text not in page
    assert "\u2028" not in page
    payload = re.search(r'id="report">(.*?)</script>', page, re.S)[1]
    words = json.loads(zlib.decompress(base64.b64decode(json.loads(payload)["texts"]["words"])))
    assert words["full"]["1"] == words["plain"][1] == HOSTILE[0]


@pytest.mark.parametrize("n", [1, 2, 700])
def test_any_length_renders(n):
    tokens = [f" t{i}" for i in range(n)]
    assert "Findings" in _page(synthetic(tokens, ["content"] * n, window=n < 512))


@pytest.mark.slow
def test_a_page_of_2048_tokens_stays_small():
    tokens = [f" t{i}" for i in range(2048)]
    trace = synthetic(tokens, ["content"] * 2048, layers=12, heads=4, window=False)
    assert len(_page(trace)) < 6e6


def test_attention_alone_and_the_lens_alone_render():
    assert 'data-view="lens"' not in _page(_without(synthetic(), *LENS))
    assert 'data-view="attention"' not in _page(_without(synthetic(), *ATTENTION))


def test_a_trace_without_entropies_is_refused():
    with pytest.raises(TraceError, match="nothing to show"):
        _page(_without(synthetic(), *LENS, *ATTENTION))


def test_missing_values_are_never_written_as_numbers():
    trace = synthetic()
    trace.dataset["lens_entropy"].values[:] = np.nan
    trace.dataset["entropy"].values[:] = np.nan
    page = _page(trace)
    assert "NaN" not in re.sub(r"<script.*?</script>", "", page, flags=re.S)
    assert "nan nats" not in page


def _unread(trace, positions):
    """Return the trace as if the lens had not read `positions`."""
    for name in LENS:
        values = trace.dataset[name].values
        values[:, :, positions] = -1 if values.dtype.kind == "i" else np.nan
    return trace


def test_positions_that_the_lens_did_not_read_are_said_to_be_missing():
    page = _page(_unread(synthetic(), slice(5, 12)))
    assert "logit-lens entropy</button> at 10 of 17 positions" in page
    assert re.search(
        r'class="t content s\d+ other" data-at="6" title="position 6, content: attention entropy '
        r'\d\.\d\d nats \(the lens did not read this position\)"', page,
    )  # fmt: skip
    assert "on the figure's scale; underlined, where the lens did not read: attention entropy." in (
        page.replace("&#39;", "'")
    )
    assert "Colour: blue 0.0 (certain), white" in page  # the figure's caption gives that scale
    alone = _unread(synthetic(), slice(5, 12))
    for name in ("entropy", "max_prob", "top_key"):
        del alone.dataset[name]
    title = "position 6, content: missing (the lens did not read this position)"
    assert f'class="t content missing" data-at="6" title="{title}"' in _page(alone)


def test_the_section_ends_where_the_lens_does():
    page = _page(_unread(synthetic(), slice(14, None)))
    payload = json.loads(re.search(r'id="report">(.*?)</script>', page, re.S)[1])
    assert payload["placement"]["stop"] == 14
    assert f"positions {14 - wide(6).columns} to 13" in page


def test_tokens_are_coloured_by_the_last_layer_that_was_read():
    trace = synthetic()
    trace.dataset["lens_entropy"].values[:, 4:] = np.nan
    page = _page(trace)
    assert "Colour: logit-lens entropy after layer 3, on the figure&#39;s scale." in page
    assert "Colour: blue 0.0 (certain), white" in page  # the figure's caption gives that scale
    assert "4 of 6 layers read" in page
    assert f"bos: {trace.lens('lens_entropy')[3, 0]:.2f} nats" in page


@pytest.mark.parametrize(
    "trace",
    [
        synthetic(),
        with_thumbnails(synthetic()),  # but without scores of the heads
        _without(with_thumbnails(synthetic()), *LENS),
        _without(synthetic(), *ATTENTION),
        with_thumbnails(synthetic(["a", "b"], ["content"] * 2)),
    ],
    ids=["plain", "pictured", "attention", "lens", "raw"],
)
def test_each_chart_has_its_place_on_the_page(trace):
    page = _page(trace)
    payload = json.loads(re.search(r'id="report">(.*?)</script>', page, re.S)[1])
    own = {"figure": "canvas", "bars": "details", "window": "map"}
    assert "figure" in payload["specs"]
    for name in payload["specs"]:
        assert f' id="{own.get(name, name)}"' in page, name


def test_a_raw_text_has_no_box():
    payload = json.loads(
        re.search(r'id="report">(.*?)</script>', _page(synthetic(["a", "b"], ["content"] * 2)))[1]
    )
    assert set(payload["placement"]["captions"].values()) == {""}
    assert 'id="box"' not in _page(synthetic(["a", "b"], ["content"] * 2))


def test_no_place_of_the_machine_is_in_the_page(page, monkeypatch):
    import getpass
    import os

    text = re.sub(r"<script>.*?</script>", "", page, flags=re.S)
    assert os.getcwd() not in text
    assert f"/{getpass.getuser()}/" not in text


def test_a_trace_that_was_saved_renders_as_the_one_in_memory(tmp_path, page):
    trace = synthetic()
    assert isinstance(trace.to_dataset(), xr.Dataset)
    assert _page(Trace.open(trace.save(tmp_path / "t.zarr.zip"))) == page
