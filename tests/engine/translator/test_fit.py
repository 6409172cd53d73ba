"""A fit is the float64 regression over all rows of its windows, and what it writes is read back."""

import json
import warnings

import numpy as np
import pytest
import torch

import attentropy
from attentropy.engine.errors import AttentropyError, UsageError
from attentropy.engine.lens.head import find_lens
from attentropy.engine.lens.points import Point, capture_states
from attentropy.engine.model.layers import decoder_layers
from attentropy.engine.trace.lens_skill import lens_skill
from attentropy.engine.translator import passes, windows
from attentropy.engine.translator.file import read_table, read_translator
from attentropy.engine.translator.fit import PENALTIES, fit_lens
from attentropy.engine.translator.held_out import FinalOutput
from attentropy.engine.translator.translator import over_rms
from ridge import reference
from tiny import model, tokenizer

TEXT = "The quick brown fox jumps over the lazy dog, and then it sleeps. " * 9


def rows_of(subject, ids_of_windows, layer):
    """Return residuals of a layer and the head's inputs at all windows, without first positions."""
    layers = decoder_layers(subject)
    lens = find_lens(subject, torch.tensor([ids_of_windows[0][:8]]))
    points = {"residual": [Point(one) for one in layers]}
    residuals, finals = [], []
    for ids in ids_of_windows:
        with torch.no_grad(), capture_states(points) as states:
            subject(torch.tensor([ids]), use_cache=False)
        residuals.append(states["residual"][layer][1:])
        finals.append(lens.normed(states["residual"][-1])[1:])
    return torch.cat(residuals), torch.cat(finals)


@pytest.mark.parametrize("kind", ["llama", "gpt_neox", "gemma2"])
def test_each_map_is_the_regression_over_all_rows(kind, tmp_path):
    extra = {"head_dim": 16, "query_pre_attn_scalar": 16} if kind == "gemma2" else {}
    subject = model(kind, **extra)
    own = fit_lens(subject, TEXT, tmp_path / "a.lens.safetensors", tokenizer=tokenizer())
    parts = windows.read_windows(tokenizer(), TEXT, 8000, 256)
    table = read_table(own)
    assert [row["layer"] for row in table] == sorted(own.maps) == [0, 1]
    for row in table:
        x, y = rows_of(subject, [[*parts.start, *one] for one in parts.fit], row["layer"])
        assert row["penalty"] in PENALTIES
        weight, bias = reference(over_rms(x), y, row["penalty"])
        fitted = over_rms(x) @ own.maps[row["layer"]].weight.T + own.maps[row["layer"]].bias
        wanted = over_rms(x).double() @ weight.T + bias
        torch.testing.assert_close(fitted.double(), wanted, rtol=0, atol=2e-3)


def test_the_table_is_measured_on_other_rows_than_the_penalty(embedded, fitted, text):
    translator, _ = fitted
    parts = windows.read_windows(embedded.tokenizer, text, 1000, None)
    choice, table = passes.held_out_rows(parts)
    assert set(choice) & set(table) == set()
    assert translator.facts["held_out"] == str(len(table))
    held_out = [[*parts.start, *one] for one in parts.held_out]
    for row in read_table(translator)[::3]:
        x, y = (part[table] for part in rows_of(embedded.model, held_out, row["layer"]))
        lens = find_lens(embedded.model, torch.arange(8)[None])
        head = lens.weight.detach().double()
        final = (y.double() @ head.T).log_softmax(-1)
        own = translator.maps[row["layer"]]
        hidden = over_rms(x.double()) @ own.weight.double().T + own.bias.double()
        for name, z in (("", hidden), ("_before", lens.normed(x).double())):
            read = (z @ head.T).log_softmax(-1)
            kl = (final.exp() * (final - read)).sum(-1).mean()
            agreement = (final.argmax(-1) == read.argmax(-1)).double().mean()
            assert row[f"kl{name}"] == pytest.approx(float(kl), abs=2e-4)
            assert row[f"agreement{name}"] == pytest.approx(float(agreement), abs=1e-4)


def test_a_fit_makes_the_embedded_models_lens_closer_to_its_output(fitted):
    for row in read_table(fitted[0]):
        assert row["kl"] < row["kl_before"]


def test_few_tokens_are_a_warning(embedded, text, tmp_path):
    options = {"tokenizer": embedded.tokenizer}
    few, enough = tmp_path / "few.lens.safetensors", tmp_path / "enough.lens.safetensors"
    with pytest.warns(windows.FewTokensWarning, match="^500 tokens are few for a fit; 2,000 or"):
        fit_lens(embedded.model, text, few, tokens=500, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error", windows.FewTokensWarning)
        fit_lens(embedded.model, text, enough, tokens=2000, **options)


def test_groups_of_layers_give_the_fit_of_all_at_once(embedded, fitted, text, tmp_path):
    path = tmp_path / "b.lens.safetensors"
    own = fit_lens(embedded.model, text, path, tokenizer=embedded.tokenizer, tokens=1000, memory=1)
    assert own.facts["table"] == fitted[0].facts["table"]
    for layer, one in own.maps.items():
        torch.testing.assert_close(one.weight, fitted[0].maps[layer].weight, rtol=0, atol=0)


@pytest.mark.parametrize("softcap", [None, 3.0])
@pytest.mark.parametrize("has_bias", [False, True])
def test_closeness_is_the_mean_divergence(plain_lens, softcap, has_bias):
    torch.manual_seed(1)
    plain = plain_lens(11, 301)
    bias = torch.randn(301) if has_bias else None
    lens = type(plain)(plain.norm, plain.weight, bias, 0.7, softcap)
    final, hidden = torch.randn(2, 23, 11)

    def logprobs(z):
        logits = z.double() @ lens.weight.double().T + (0 if bias is None else bias.double())
        logits = logits * 0.7
        return (logits if softcap is None else softcap * (logits / softcap).tanh()).log_softmax(-1)

    p, q = logprobs(final), logprobs(hidden)
    own = FinalOutput(lens, final).closeness(hidden)
    assert own.kl == pytest.approx(float((p.exp() * (p - q)).sum(-1).mean()), abs=1e-5)
    assert own.agreement == pytest.approx(float((p.argmax(-1) == q.argmax(-1)).double().mean()))
    assert FinalOutput(lens, final).closeness(final).kl < 1e-5


def test_windows_come_from_each_text_in_turn_and_every_tenth_is_held_out(tmp_path):
    byte_tokenizer = tokenizer()
    (tmp_path / "b.txt").write_text("b" * 700)
    own = windows.read_windows(byte_tokenizer, ["a" * 3000, tmp_path / "b.txt"], 2900, None)
    a, b = (byte_tokenizer(letter, add_special_tokens=False)["input_ids"][0] for letter in "ab")
    assert own.start == [byte_tokenizer.bos_token_id]
    assert own.tokens == 2900
    order = [a, b, a, b, a, b, a, a, a, a, a, a]  # 700 = 256 + 256 + 188 of the second
    last = [9, 11]
    assert [one[0] for one in own.held_out] == [order[i] for i in last]
    assert [one[0] for one in own.fit] == [one for i, one in enumerate(order) if i not in last]
    assert all(len(set(one)) == 1 for one in (*own.fit, *own.held_out))


def test_a_window_and_its_bos_token_fit_into_the_models_positions():
    own = windows.read_windows(tokenizer(), "a" * 500, 500, 100)
    assert max(map(len, own.fit)) == 99


@pytest.mark.parametrize(
    ("text", "tokens", "message"),
    [
        ("a" * 299, 8000, "a fit needs at least 300 tokens of text, not 299"),
        ("a" * 3000, 100, "a fit needs at least 300 tokens of text, not 100"),
        ("a" * 200, 8000, "the text has 200 tokens, fewer than one window of 256"),
        (["a" * 3000, "a"], 8000, "the text has 1 token, fewer than one window"),
        ([], 8000, "no text to fit on"),
    ],
)
def test_too_little_text_is_one_line(text, tokens, message):
    with pytest.raises(UsageError, match=message):
        windows.read_windows(tokenizer(), text, tokens, None)


def test_a_file_that_is_no_text_is_one_line(tmp_path):
    (tmp_path / "x.bin").write_bytes(b"\xff\xfe" * 400)
    with pytest.raises(UsageError, match=r"'x.bin' is not a text in UTF-8"):
        windows.read_windows(tokenizer(), tmp_path / "x.bin", 300, None)
    with pytest.raises(UsageError, match=r"cannot read 'y.txt': No such file"):
        windows.read_windows(tokenizer(), tmp_path / "y.txt", 300, None)


def test_residuals_that_are_not_finite_are_one_line(tmp_path):
    subject = model()

    def spoil(module, args, output):
        hidden = output[0] if isinstance(output, tuple) else output
        if hidden.shape[1] > 40:  # not in the short passes that find the head
            hidden[:, 5] = torch.inf

    decoder_layers(subject)[1].register_forward_hook(spoil)
    with pytest.raises(AttentropyError, match="the residuals of layer 1 are not finite"):
        fit_lens(subject, TEXT, tmp_path / "x.lens.safetensors", tokenizer=tokenizer())
    assert list(tmp_path.iterdir()) == []


def test_a_model_without_a_readable_head_is_one_line(tmp_path):
    subject = model()
    subject.model.norm.register_forward_hook(lambda module, args, output: output * 2)
    subject.register_forward_hook(lambda m, a, output: setattr(output, "logits", output.logits**2))
    with pytest.raises(AttentropyError, match="no lens can be fitted: the lens's logits"):
        fit_lens(subject, TEXT, tmp_path / "x.lens.safetensors", tokenizer=tokenizer())
    masked = model("bert", is_decoder=False)
    with pytest.raises(AttentropyError, match="no lens can be fitted: "):
        fit_lens(masked, TEXT, tmp_path / "x.lens.safetensors", tokenizer=tokenizer())


def test_a_trace_reads_the_residuals_through_the_fit(embedded, fitted):
    translator, path = fitted
    trace = attentropy.extract(device="cpu", lens_translator=path, max_new_tokens=2)
    assert trace.sites == ["residual", "translated"]
    assert trace.attrs["options"]["lens_translator"] == {
        "file": path.name, "sha256": translator.sha256, "kind": "translator", "tokens": 1000,
    }  # fmt: skip
    ids = torch.tensor([trace["token_ids"].tolist()])
    lens = find_lens(embedded.model, ids[:, :8])
    points = {"residual": [Point(one) for one in decoder_layers(embedded.model)]}
    with torch.no_grad(), capture_states(points) as states:
        embedded.model(ids, use_cache=False)
    head = lens.weight.detach().double()
    for layer, state in enumerate(states["residual"][:-1]):
        own = translator.maps[layer]
        hidden = over_rms(state.double()) @ own.weight.double().T + own.bias.double()
        p = (hidden @ head.T).softmax(-1)
        entropy = trace.lens("lens_entropy", site="translated")[layer]
        np.testing.assert_allclose(entropy, -(p * p.log()).sum(-1), atol=2e-4)
    for name in ("lens_entropy", "lens_kl", "lens_rank", "lens_top_ids"):
        last = trace.lens(name, site="translated")[-1]
        np.testing.assert_array_equal(last, trace.lens(name, site="residual")[-1])
    assert np.isnan(trace.lens("rehearsal", site="translated")).all()
    assert np.isfinite(trace.lens("rehearsal", site="residual")).any()
    skill = lens_skill(trace, site="translated")
    assert skill is not None
    assert skill.skill[-1] == pytest.approx(1, abs=1e-5)


def test_a_translator_leaves_the_other_sites_as_they_are(fitted):
    options = {"device": "cpu", "max_new_tokens": 1, "lens": "all"}
    plain = attentropy.extract(**options)
    both = attentropy.extract(**options, lens_translator=fitted[0])
    assert both.sites == ["residual", "translated", "attention", "mlp"]
    for site in plain.sites:
        for name in ("lens_entropy", "lens_kl", "rehearsal", "rehearsal_placebo"):
            np.testing.assert_array_equal(both.lens(name, site=site), plain.lens(name, site=site))
    assert "questions" in plain.attrs["placebo"]
    assert both.attrs["placebo"] == plain.attrs["placebo"]


def test_a_recording_reads_what_a_run_does(embedded, fitted):
    translator, path = fitted
    trace = attentropy.extract(device="cpu", lens_translator=path, max_new_tokens=0)
    ids = torch.tensor([trace["token_ids"].tolist()])
    with attentropy.record(
        embedded.model, tokenizer=embedded.tokenizer, lens="residual", lens_translator=path
    ) as recorder:
        embedded.model(ids)
    recorded = recorder.trace
    assert recorded.sites == trace.sites
    assert recorded.attrs["options"]["lens"] == ["residual"]
    assert recorded.attrs["options"]["lens_translator"]["sha256"] == translator.sha256
    for site in trace.sites:
        for name in ("lens_entropy", "lens_kl"):
            wanted = trace.lens(name, site=site)
            np.testing.assert_allclose(recorded.lens(name, site=site), wanted, atol=1e-4)


def test_a_run_in_chunks_resumes_with_the_same_translator_alone(fitted, tmp_path):
    translator, path = fitted
    options = {"prompt": "Paris is a city. " * 12, "device": "cpu", "max_new_tokens": 1}
    whole = attentropy.extract(**options, lens_translator=path)
    target = tmp_path / "t.zarr"

    def stop(stage, done, total):
        if stage == "reading the prompt" and done >= 32:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attentropy.extract(**options, lens_translator=path, output=target, chunk=16, progress=stop)
    with pytest.raises(UsageError, match="belongs to another run: options lens_translator was"):
        attentropy.extract(**options, output=target, chunk=16, resume=True)
    resumed = attentropy.extract(
        **options, output=target, chunk=16, resume=True, lens_translator=translator
    )
    for name in ("lens_entropy", "lens_kl"):
        wanted = whole.lens(name, site="translated")
        np.testing.assert_allclose(resumed.lens(name, site="translated"), wanted, atol=1e-4)


def test_the_written_file_is_read_back(fitted):
    translator, path = fitted
    again = read_translator(path)
    assert again.facts == translator.facts
    assert again.sha256 == translator.sha256
    assert json.loads(again.facts["table"])
    for layer, one in translator.maps.items():
        assert torch.equal(again.maps[layer].weight, one.weight)
        assert torch.equal(again.maps[layer].bias, one.bias)
    with pytest.raises(UsageError, match="exists; use `force=True`"):
        fit_lens(None, TEXT, path)
