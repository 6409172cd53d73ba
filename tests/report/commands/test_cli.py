"""The command line does the main job in one call and reports each error in one line."""

import io
import json
import logging
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoModelForCausalLM

from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.schema import FORMAT_VERSION
from attentropy.report.cli import main
from tiny import save
from traces import synthetic

pytestmark = pytest.mark.costly

ONE_LINE = "error: "


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _fails(capsys, arguments, code, *words):
    """Assert that the command exits with `code` and one line that has `words`; return the line."""
    before = sorted(os.listdir())
    assert main([str(a) for a in arguments]) == code
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if not line.startswith("note:")]
    assert out == ""
    assert len(lines) == 1, err
    assert lines[0].startswith(ONE_LINE)
    for word in words:
        assert word in lines[0]
    assert sorted(os.listdir()) == before
    return lines[0]


def test_report_writes_the_page_of_the_embedded_model(here, capsys):
    assert main(["report", "--save-trace", "t.zarr.zip", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    page = (here / "report.html").read_text("utf-8")
    assert summary["bytes"] == (here / "report.html").stat().st_size
    assert summary["answer"] == "Canberra"
    assert len(summary["observations"]) >= 3
    assert "Canberra" in page
    assert sorted(os.listdir()) == ["report.html", "t.zarr.zip"]
    assert main(["render", "t.zarr.zip", "-o", "again.html"]) == 0
    assert (here / "again.html").read_text("utf-8") == page


def test_extract_and_info_agree(here, capsys):
    save(here / "tiny")
    run = ["extract", "tiny", "-p", "hello", "--max-new-tokens", "2", "-o", "t.zarr"]
    assert main(run) == 0
    assert "t.zarr" in capsys.readouterr().out
    assert main(["info", "t.zarr", "--json"]) == 0
    info = json.loads(capsys.readouterr().out)
    trace = Trace.open("t.zarr")
    assert info["tokens"] == len(trace.tokens)
    assert info["model"]["name"] == "tiny"
    assert trace.dataset.sizes["step"] <= 2
    assert np.isfinite(trace["lens_entropy"]).all()


def test_what_to_keep_beside_the_statistics_is_chosen_by_options(here, capsys, monkeypatch):
    save(here / "tiny")
    run = ["extract", "tiny", "-p", "hello", "--max-new-tokens", "0", "-o"]
    options = ["--map-tile", "4x8", "--map-heads", "all", "--window", "-3:,:", "--window", ":2,:2"]
    assert main([*run, "a.zarr", *options]) == 0
    assert main([*run, "b.zarr", "--no-scores", "--map-tile", "none"]) == 0
    a, b = Trace.open("a.zarr"), Trace.open("b.zarr")
    n = len(a.tokens)
    assert a["map"].shape == (3, 4, -(-n // 4), -(-n // 8))
    assert a["window1"].shape == (3, 4, 3, n)
    assert a["window2"].shape == (3, 4, 2, 2)
    assert np.isfinite(a["head_sink"]).all()
    assert not [name for name in b.dataset if str(name).startswith(("head_", "map", "received"))]
    monkeypatch.setattr("attentropy.report.page.page.render", lambda *a, **options: "")
    assert main(["report", "-o", "r.html"]) == 0
    output = capsys.readouterr().out
    assert "of 32 heads" in output
    assert "uniform: " in output


def test_the_prompt_comes_from_a_file_standard_input_or_messages(here, capsys, monkeypatch):
    save(here / "tiny")
    (here / "p.txt").write_text("héllo", "utf-8")
    (here / "m.json").write_text(json.dumps([{"role": "user", "content": "héllo"}]), "utf-8")
    base = ["extract", "tiny", "--max-new-tokens", "0", "--force"]
    assert main([*base, "-f", "p.txt", "-o", "a.zarr"]) == 0
    assert main([*base, "-m", "m.json", "-o", "b.zarr"]) == 0
    stdin = io.TextIOWrapper(io.BytesIO((here / "p.txt").read_bytes()))
    monkeypatch.setattr("sys.stdin", stdin)
    assert main([*base, "-f", "-", "-o", "c.zarr"]) == 0
    ids = [list(Trace.open(f"{n}.zarr")["token_ids"]) for n in "abc"]
    assert ids[0] == ids[1] == ids[2]


def test_the_prompt_may_be_token_ids(here, monkeypatch):
    save(here / "tiny")
    (here / "ids.json").write_text("[256, 64, 65]")
    (here / "ids.txt").write_text("256 64\n65\n")
    base = ["extract", "tiny", "--max-new-tokens", "0", "--force"]
    assert main([*base, "--ids", "ids.json", "-o", "a.zarr"]) == 0
    assert main([*base, "--ids", "ids.txt", "-o", "b.zarr"]) == 0
    stdin = io.TextIOWrapper(io.BytesIO(b"256 64 65"))
    monkeypatch.setattr("sys.stdin", stdin)
    assert main([*base, "--ids", "-", "-o", "c.zarr"]) == 0
    traces = [Trace.open(f"{n}.zarr") for n in "abc"]
    assert [list(trace["token_ids"]) for trace in traces] == [[256, 64, 65]] * 3
    assert traces[0].roles == ["bos", "content", "content"]


def test_messages_may_hold_tool_turns_and_parts_and_what_is_left_out_is_noted(here, capsys):
    save(here / "tiny")
    call = {"function": {"name": "f", "arguments": {"a": 1}}}
    turns = [
        {"role": "user", "content": [{"type": "text", "text": "héllo"}]},
        {"role": "assistant", "content": "so", "tool_calls": [call]},
        {"role": "tool", "content": "3"},
    ]
    (here / "m.json").write_text(json.dumps(turns), "utf-8")
    run = ["extract", "tiny", "-m", "m.json", "--max-new-tokens", "0", "-o", "t.zarr"]
    assert main(run) == 0
    trace = Trace.open("t.zarr")
    words = [t for t, r in zip(trace.tokens, trace.roles, strict=True) if r == "content"]
    assert "".join(words) == "hélloso3"


def test_a_doubled_bos_is_noted_on_standard_error_and_in_the_trace(here, capsys):
    save(here / "tiny")
    (here / "ids.txt").write_text("256 256 64")
    assert main(["extract", "tiny", "--ids", "ids.txt", "-o", "t.zarr"]) == 0
    assert "note: the prompt starts with <|bos|> twice" in capsys.readouterr().err
    assert "<|bos|> twice" in Trace.open("t.zarr").attrs["notes"][0]


def test_a_raw_prompt_without_lens(here):
    save(here / "tiny")
    run = ["extract", "tiny", "-p", "abc", "--no-chat-template", "--lens", "none", "-o", "t.zarr"]
    assert main(run) == 0
    trace = Trace.open("t.zarr")
    assert trace.tokens == ["a", "b", "c"]
    assert "lens_entropy" not in trace


def test_sites_layers_and_positions_of_the_lens_are_chosen(here):
    save(here / "tiny")
    run = ["extract", "tiny", "-p", "hello", "--max-new-tokens", "1", "-o", "t.zarr"]
    options = ["--lens", "attention, residual", "--lens-layers", "0,-1:", "--lens-positions", "-3:"]
    assert main([*run, *options]) == 0
    trace = Trace.open("t.zarr")
    assert list(trace["site"]) == ["residual", "attention"]
    read = np.isfinite(trace["lens_entropy"])
    assert read.any((0, 2)).tolist() == [True, False, True]
    assert np.flatnonzero(read.any((0, 1))).tolist() == list(range(len(trace.tokens)))[-3:]


def test_info_predicts_what_the_lens_costs(here, capsys):
    folder = save(here / "tiny")
    parameters = sum(p.numel() for p in AutoModelForCausalLM.from_pretrained(folder).parameters())
    assert main(["info", "tiny", "--tokens", "5000", "--json"]) == 0
    lens = json.loads(capsys.readouterr().out)["lens"]
    assert lens["parameters"] == parameters
    assert lens["forward_flops"] == 2 * parameters * 5000
    whole, default = lens["at every position"], lens["by default"]
    assert whole["supports only 256"] == 5000
    assert 1024 <= default["supports only 256"] < 5000
    assert default["flops"] <= lens["forward_flops"] < whole["flops"]
    product = 2 * 48 * 264
    assert whole["flops"] == product * (5000 * 3 * 2 + 1024 * 3 + 5000)
    assert whole["of_the_forward_pass"] == pytest.approx(
        whole["flops"] / lens["forward_flops"], abs=1e-3
    )
    assert whole["kept_bytes"] == 3 * 5000 * 48 * 4
    assert main(["info", "--tokens", "100"]) == 0
    assert "attentropy-demo" in capsys.readouterr().out


def test_info_describes_this_machine_and_a_model(here, capsys):
    assert main(["info", "--json"]) == 0
    assert "cpu" in json.loads(capsys.readouterr().out)["devices"][-1]
    save(here / "tiny")
    assert main(["info", "tiny"]) == 0
    assert "llama" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["report", "./no-such-folder", "-p", "x"], ["no model folder"]),
        (["report", "tiny", "-p", "  "], ["empty"]),
        (["report", "tiny", "-f", "latin.txt"], ["UTF-8", "latin.txt"]),
        (["report", "tiny", "-f", "none.txt"], ["none.txt"]),
        (["report", "tiny", "-p", "x" * 400], ["supports only 256"]),
        (["report", "tiny", "-p", "x", "-o", "none/r.html"], ["no folder"]),
        (["report", "tiny", "-p", "x", "-o", "there.html"], ["--force"]),
        (["report", "tiny", "-p", "x", "-o", "tiny"], ["folder"]),
        (["report", "tiny", "-p", "x", "-f", "latin.txt"], ["one of"]),
        (["report", "tiny", "-p", "x", "--ids", "ids.txt"], ["one of"]),
        (["report", "tiny", "--ids", "ids.txt"], ["264", "position 1"]),
        (["report", "tiny", "--ids", "words.txt"], ["words.txt", "numbers"]),
        (["report", "tiny", "--ids", "object.json"], ["object.json"]),
        (["report", "tiny", "--ids", "empty.json"], ["no token id"]),
        (["report", "tiny", "--ids", "floats.json"], ["whole numbers"]),
        (["report", "tiny", "--ids", "ids.txt", "--system", "x"], ["--system"]),
        (["report", "tiny", "-m", "latin.txt"], ["latin.txt"]),
        (["report", "tiny", "-m", "object.json"], ["list"]),
        (["report", "tiny"], ["prompt"]),
        (["report", "tiny", "-p", "x", "--top-k", "0"], ["top-k"]),
        (["report", "tiny", "-p", "x", "--device", "toaster"], ["device"]),
        (["report", "tiny", "-p", "x", "--lens", "head"], ["--lens must be"]),
        (["report", "tiny", "-p", "x", "--map-tile", "big"], ["--map-tile must be", "64x32"]),
        (["report", "tiny", "-p", "x", "--window", "1:2"], ["--window must be", "-64:,0:512"]),
        (
            ["report", "tiny", "-p", "x", "--window", "999:,:"],
            ["--window: 999:,: selects no query"],
        ),
        (["report", "tiny", "-p", "x", "--lens", "none,mlp"], ["none"]),
        (
            ["report", "tiny", "-p", "x", "--lens", ""],
            ["--lens must be", "residual, attention, mlp"],
        ),
        (["report", "tiny", "-p", "x", "--lens-layers", "9"], ["--lens-layers", "0 to 2"]),
        (["report", "tiny", "-p", "x", "--lens-positions", "a:b"], ["--lens-positions", "'a:b'"]),
        (
            ["report", "tiny", "-p", "x", "--no-chat-template", "--lens-positions", "template"],
            ["selects nothing"],
        ),
        (["info", "t.zarr", "--tokens", "9"], ["--tokens"]),
        (["extract", "tiny", "-p", "x", "-o", "trace.npz"], ["zarr"]),
        (["nonsense"], ["nonsense"]),
        (["render"], ["TRACE"]),
    ],
)
def test_bad_usage_is_one_line_and_code_2(here, capsys, arguments, words):
    save(here / "tiny")
    (here / "latin.txt").write_bytes("Größe".encode("latin-1"))
    (here / "object.json").write_text("{}")
    (here / "ids.txt").write_text("1 264")
    (here / "words.txt").write_text("1 two")
    (here / "empty.json").write_text("[]")
    (here / "floats.json").write_text("[1.5]")
    (here / "there.html").write_text("mine")
    _fails(capsys, arguments, 2, *words)
    assert (here / "there.html").read_text() == "mine"


@pytest.mark.parametrize("missing", ["*.safetensors", "tokenizer*", "config.json"])
def test_a_folder_that_lacks_a_part_is_named(here, capsys, missing):
    folder = save(here / "tiny")
    for file in folder.glob(missing):
        file.unlink()
    _fails(capsys, ["report", "tiny", "-p", "x"], 2, "'tiny'")


def test_a_model_without_attention_is_refused(here, capsys):
    save(here / "mamba", "mamba", state_size=4, expand=2, num_hidden_layers=2)
    _fails(capsys, ["report", "mamba", "-p", "x"], 1, "attention")


def _huge_layers(folder):
    config = json.loads((folder / "config.json").read_text())
    config |= {"num_hidden_layers": 10**9, "hidden_size": 10**12}
    (folder / "config.json").write_text(json.dumps(config))


def _foreign_code(folder):
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Config"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text("import os; os.mkdir('taken')")


def _pickle_only(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _index_elsewhere(folder):
    index = {"weight_map": {"lm_head.weight": "../x.bin"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def _lying_header(folder):
    entry = {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 4 * 10**12]}
    header = json.dumps({"lm_head.weight": entry}).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)


def _huge_tokenizer(folder):
    with open(folder / "tokenizer.json", "r+b") as file:
        file.truncate(10**11)


def _template(written):
    return lambda folder: (folder / "chat_template.jinja").write_text(written)


HOSTILE = {
    "layers": (_huge_layers, 1, "layers"),
    "code": (_foreign_code, 1, "its own code"),
    "pickle": (_pickle_only, 2, "safetensors"),
    "index": (_index_elsewhere, 2, "index"),
    "header": (_lying_header, 1, "cannot load"),
    "tokenizer": (_huge_tokenizer, 1, "tokenizer.json"),
    "internals": (_template("{{ ''.__class__.__mro__ }}"), 2, "chat template"),
    "bomb": (_template("{{ 'a' * 300000000 }}"), 2, "chat template"),
    "loop": (_template("{% for i in [].append(1) %}{% endfor %}"), 2, "chat template"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_strangers_folder_is_refused_in_one_line_and_nothing_of_it_runs(here, capsys, name):
    spoil, code, word = HOSTILE[name]
    spoil(save(here / "tiny"))
    _fails(capsys, ["report", "tiny", "-p", "x"], code, word)
    assert not (here / "taken").exists()


# Runs behind the README's line, whose own peak it forgets.
PEAK = """
import resource, sys
from pathlib import Path
from attentropy.report.cli import main
Path("/proc/self/clear_refs").write_text("5")
def peak():
    return [resource.getrusage(who).ru_maxrss for who in
            (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
assert main(["extract", "good", "-p", "x", "-o", "t.zarr"]) == 0
before = max(peak())
for folder in sys.argv[1:]:
    assert main(["extract", folder, "-p", "x", "-o", "u.zarr"]) in (1, 2)
print("PEAK", (max(peak()) - before) // 1024)
"""


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """Return what a new process prints for the README's line and, on Linux, for `PEAK` after it.

    One process runs both, because importing the libraries takes most of the time.
    """
    readme = (Path(__file__).parents[3] / "README.md").read_text("utf-8")
    code = next(line for line in readme.splitlines() if 'python -c "' in line).split('"')[1]
    folder = tmp_path_factory.mktemp("strangers")
    save(folder / "good")
    for name, (spoil, _, _) in HOSTILE.items():
        spoil(save(folder / name))
    if sys.platform == "linux":
        code += PEAK
    command = [sys.executable, "-c", code, *HOSTILE]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_one_liner_of_the_readme_works(printed):
    assert "answer 'Canberra'" in printed


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux alone")
def test_a_strangers_folder_takes_little_memory(printed):
    assert int(printed.split("PEAK")[1]) < 150  # MiB


def test_an_unknown_hub_model_is_refused(here, capsys, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    _fails(capsys, ["report", "attentropy-tests/none", "-p", "x"], 1, "attentropy-tests/none")


def _truncated(path):
    synthetic().save(path)
    path.write_bytes(path.read_bytes()[:2000])


def _foreign(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("zarr.json", '{"zarr_format": 3, "node_type": "group", "attributes": {}}')


def _newer(path):
    trace = synthetic()
    trace.save(path.with_suffix(""))
    metadata = path.with_suffix("") / "zarr.json"
    metadata.write_text(
        metadata.read_text().replace(
            f'"format_version": {FORMAT_VERSION}', f'"format_version": {FORMAT_VERSION + 1}'
        )
    )
    path.with_suffix("").rename(path.with_suffix("").with_name("new.zarr"))


@pytest.mark.parametrize(
    ("make", "name", "word"),
    [(_truncated, "t.zarr.zip", "truncated"), (_foreign, "t.zarr.zip", "not an attentropy trace"),
     (_newer, "new.zarr", "newer")],
)  # fmt: skip
def test_a_trace_that_cannot_be_read_is_refused(here, capsys, make, name, word):
    make(here / "t.zarr.zip")
    _fails(capsys, ["render", name], 1, word)


def test_a_failure_has_a_traceback_only_in_debug(here, capsys, monkeypatch):
    monkeypatch.setattr("attentropy.report.page.page.render", lambda *a, **options: 1 / 0)
    synthetic().save(here / "t.zarr")
    assert "ZeroDivisionError" in _fails(capsys, ["render", "t.zarr"], 1, "--debug")
    with pytest.raises(ZeroDivisionError):
        main(["--debug", "render", "t.zarr"])


def test_debug_also_shows_what_the_package_logs(here, capsys, monkeypatch):
    logger = logging.getLogger("attentropy.engine")
    monkeypatch.setattr(
        "attentropy.report.page.page.render", lambda *a, **options: logger.debug("swallowed") or ""
    )
    synthetic().save(here / "t.zarr")
    for arguments, shown in ((["--debug"], True), ([], False)):
        assert main([*arguments, "render", "t.zarr", "--force"]) == 0
        assert ("DEBUG attentropy.engine: swallowed" in capsys.readouterr().err) == shown
    assert not logging.getLogger("attentropy").handlers


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from attentropy.report.cli import main; assert main(['--help']) == 0; "
        "heavy = {'torch', 'transformers', 'altair', 'xarray', 'zarr', 'numpy', 'jinja2', 'rich'}; "
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert "HEAVY []" in out
    for command in ("report", "extract", "render", "info"):
        assert f"  {command} " in out


def test_the_pypi_package_kernels_is_not_shadowed_in_the_repositorys_root():
    root = Path(__file__).parents[3]
    code = "import kernels; print(kernels.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert "site-packages" in done.stdout
    assert not (root / "kernels" / "__init__.py").exists()


def test_info_prints_the_memory_and_time_of_a_run(here, capsys):
    save(here / "tiny")
    assert main(["info", "tiny", "--tokens", "300"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    values = {line[0]: line[1:] for line in lines if len(line) > 1}
    assert values["peak_bytes"][1] == "MB"
    assert float(values["all"][0]) > 0


def test_info_predicts_what_is_kept_of_a_long_prompt(capsys, monkeypatch):
    from attentropy.engine.cost import speed as pace

    monkeypatch.setattr(pace, "_BUDGET", 0.0)
    options = [
        "--tokens",
        "4k",
        "--stats",
        "entropy",
        "--heads",
        "mean",
        "--lens",
        "none",
        "--json",
    ]
    assert main(["info", *options, "--chunk", "1k", "--storage", "float16"]) == 0
    prediction = json.loads(capsys.readouterr().out)
    assert prediction["run"] == {"chunk": 1024, "lens_positions": 0, "map_tile": [8, 8]}
    rows = 8 * 4096
    assert prediction["disk"]["statistics_bytes"] == pytest.approx(
        rows * (2 * 0.88 + 4 * 0.6), rel=1e-3
    )
    assert main(["info", *options, "--map-tile", "none", "--window", "0:9,0:9"]) == 0
    assert "map_bytes" not in json.loads(capsys.readouterr().out)["disk"]
    assert main(["info", "--heads", "mean"]) == 2
    assert "give --tokens N too" in capsys.readouterr().err
    assert main(["info", "--tokens", "100", "--window", "9"]) == 2
