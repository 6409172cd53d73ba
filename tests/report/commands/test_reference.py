"""`--reference` names earlier traces of the same model, and refuses others in one line."""

import json

import pytest

from attentropy.engine.trace.dataset import Trace
from attentropy.report.cli import main
from traces import synthetic


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """Save a trace, three references and one of another model, in the current folder."""
    monkeypatch.chdir(tmp_path)
    references = [(f"r{i}", 4 + i, "a") for i in range(3)]
    for name, seed, digest in (("t", 3, "a"), *references, ("o", 3, "b")):
        trace = synthetic(seed=seed)
        if name.startswith("r"):
            trace.dataset["entropy"].values[:] *= 0.3
        model = trace.attrs["model"] | {"weights_sha256": digest}
        Trace(trace.dataset.assign_attrs(model=model)).save(f"{name}.zarr.zip")


def _references(*names):
    return [part for name in names for part in ("--reference", f"{name}.zarr.zip")]


def test_findings_name_the_reference_traces(stored, capsys):
    run = ["render", "t.zarr.zip", "-o", "t.html", "--json"]
    assert main([*run, *_references("r0", "r1", "r2")]) == 0
    texts = [finding["text"] for finding in json.loads(capsys.readouterr().out)["observations"]]
    assert any("than each of 3 reference traces in" in text for text in texts)


@pytest.mark.parametrize(
    ("names", "message"),
    [(["r0"], "--reference needs at least 3 traces"),
     (["r0", "r1", "o"], "--reference: trace 3 is not of the same model"),
     (["gone"], "no trace at 'gone.zarr.zip'")],
)  # fmt: skip
def test_what_is_no_reference_is_refused_in_one_line(stored, capsys, names, message):
    assert main(["render", "t.zarr.zip", "-o", "t.html", *_references(*names)]) != 0
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
