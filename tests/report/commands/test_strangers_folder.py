"""A stranger's folder is refused in one line where it cannot be a model; nothing of it runs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from refusals import assert_refused
from tiny import save

pytestmark = pytest.mark.costly


@pytest.mark.parametrize("missing", ["*.safetensors", "tokenizer*", "config.json"])
def test_a_folder_that_lacks_a_part_is_named(here, capsys, missing):
    folder = save(here / "tiny")
    for file in folder.glob(missing):
        file.unlink()
    assert_refused(capsys, ["report", "tiny", "-p", "x"], 2, "'tiny'")


def test_a_model_without_attention_is_refused(here, capsys):
    save(here / "mamba", "mamba", state_size=4, expand=2, num_hidden_layers=2)
    assert_refused(capsys, ["report", "mamba", "-p", "x"], 1, "attention")


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
    assert_refused(capsys, ["report", "tiny", "-p", "x"], code, word)
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
    assert_refused(
        capsys, ["report", "attentropy-tests/none", "-p", "x"], 1, "attentropy-tests/none"
    )
