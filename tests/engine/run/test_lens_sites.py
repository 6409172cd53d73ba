"""The sites, layers and positions that the lens of a run reads."""

import numpy as np
import pytest
import torch

from attentropy.engine.run.extract import extract
from tiny import save


@pytest.fixture(scope="module")
def trace():
    """Return the trace of the default options."""
    return extract(device="cpu")


@pytest.fixture(scope="module")
def three_sites():
    return extract(device="cpu", lens=("mlp", "attention", "residual"))


def test_each_site_is_read_as_a_plain_softmax_over_its_own_normed_output(three_sites, embedded):
    model = embedded.model
    ids = torch.tensor(three_sites["token_ids"][None]).long()
    outputs = {}
    hooks = [
        getattr(layer, name).register_forward_hook(
            lambda m, a, out, key=(site, i): outputs.__setitem__(
                key, out[0] if isinstance(out, tuple) else out
            )
        )
        for i, layer in enumerate(model.model.layers)
        for site, name in (("attention", "self_attn"), ("mlp", "mlp"))
    ]
    with torch.no_grad():
        final = model(ids, use_cache=False).logits[0].double().log_softmax(-1)
        for hook in hooks:
            hook.remove()
        assert list(three_sites["site"]) == ["residual", "attention", "mlp"]
        for (site, layer), output in outputs.items():
            logprobs = model.lm_head(model.model.norm(output))[0].double().log_softmax(-1)
            here = three_sites.dataset.isel(layer=layer, site=list(three_sites["site"]).index(site))
            np.testing.assert_allclose(
                here["lens_entropy"], -(logprobs.exp() * logprobs).sum(-1), atol=1e-4
            )
            np.testing.assert_allclose(
                here["lens_kl"], (final.exp() * (final - logprobs)).sum(-1), atol=1e-4
            )
            target = torch.tensor(three_sites["target_ids"]).long()[:, None]
            np.testing.assert_allclose(
                here["lens_target_logprob"], logprobs.gather(-1, target)[:, 0], atol=1e-4
            )


def test_further_sites_leave_the_residuals_values_alone(three_sites, trace):
    for name in trace.dataset.data_vars:
        if name.startswith(("lens", "rehearsal")):
            np.testing.assert_array_equal(three_sites[name][0], trace[name][0], err_msg=name)


def test_layers_and_positions_that_were_not_read_are_missing_and_the_others_unchanged(trace):
    result = extract(device="cpu", lens_layers="1,4:6", lens_positions="template,5:7")
    n, roles = len(trace.tokens), trace["role"]
    columns = np.isin(np.arange(n), [5, 6]) | (roles != "content")  # the answer's too
    rows = np.isin(np.arange(8), [1, 4, 5])
    read = rows[:, None] & columns[None, :]
    for name in trace.dataset.data_vars:
        if not name.startswith(("lens", "rehearsal")):
            continue
        some, whole = result[name][0], trace[name][0]
        np.testing.assert_allclose(some[read], whole[read], atol=2e-6, err_msg=name)
        missing = some[~read]
        assert (missing == -1).all() if missing.dtype.kind == "i" else np.isnan(missing).all()
    np.testing.assert_array_equal(result["target_ids"], np.where(columns, trace["target_ids"], -1))
    assert result.attrs["options"]["lens_layers"] == "1,4:6"
    assert result.attrs["notes"] == []


def test_a_prompt_beyond_the_budget_is_sampled_and_says_so(trace):
    result = extract(prompt="Paris is a city. " * 300, device="cpu", max_new_tokens=2)
    n = result.prompt_tokens
    assert np.isfinite(result["lens_entropy"][0, :, n:]).all()
    assert (result["target_ids"][n:] >= 0).all()
    read = np.isfinite(result["lens_entropy"][0, :, :n])
    assert (read == read[0]).all()
    assert n > read[0].sum() >= 1024
    assert read[0][-300:].all()
    assert read[0][result["role"][:n] != "content"].all()
    assert (result["target_ids"][:n] >= 0).tolist() == read[0].tolist()
    assert f"the lens reads {read[0].sum():,} of {n:,} positions" in result.attrs["notes"][0]


def test_a_site_that_is_refused_is_noted_and_the_others_are_read(tmp_path):
    folder = save(
        tmp_path / "tiny", "minimax", num_local_experts=4, head_dim=12,
        layer_types=["full_attention"] * 3,
    )  # fmt: skip
    options = {"device": "cpu", "test_sources": "none"}
    result = extract(folder, "Hello", lens=("residual", "attention"), **options)
    assert list(result["site"]) == ["residual"]
    assert result.attrs["notes"] == [
        "no lens at attention: layer 0 does more than add an attention output and an MLP "
        "output to its input"
    ]
    alone = extract(folder, "Hello", lens=("attention",), **options)
    assert "lens_entropy" not in alone
    assert len(alone.attrs["notes"]) == 1
