"""Facts about compiled kernels are cached only until something that they depend on changes."""

import os

import ahead


def _tree(folder):
    for path in ("kernels/attention/triton_kernel.py", "tests/kernels/compiled.py"):
        (folder / path).parent.mkdir(parents=True)
        (folder / path).write_text("x = 1\n")
    return folder


def test_a_changed_kernel_or_script_or_compiler_has_another_digest(tmp_path, monkeypatch):
    tree = _tree(tmp_path)
    digests = {ahead.digest(tree)}
    assert ahead.digest(tree) in digests
    for path in ("kernels/attention/triton_kernel.py", "tests/kernels/compiled.py"):
        (tree / path).write_text("x = 2\n")
        digests.add(ahead.digest(tree))
    (tree / "kernels/attention/new.py").write_text("")
    digests.add(ahead.digest(tree))
    monkeypatch.setattr(ahead, "version", lambda name: "0.0")
    digests.add(ahead.digest(tree))
    monkeypatch.setitem(os.environ, "TRITON_PTXAS_PATH", "elsewhere")
    digests.add(ahead.digest(tree))
    assert len(digests) == 6


def test_a_kernel_is_compiled_once_and_again_when_the_digest_changes(tmp_path):
    script, runs = tmp_path / "script.py", tmp_path / "runs"
    script.write_text(
        "import json, sys\n"
        f"open({str(runs)!r}, 'a').write(' '.join(sys.argv[1:]) + '\\n')\n"
        "for name in sys.argv[1:]: print(json.dumps({'name': name, 'spilled': 0}))\n"
    )
    for names, key in ((["a", "b"], "1"), (["b"], "1"), (["b", "c"], "1"), (["b"], "2")):
        facts = ahead.compile_ahead(tmp_path, script, names, key)
        assert facts == {name: {"name": name, "spilled": 0} for name in names}
    assert runs.read_text().splitlines() == ["a b", "c", "b"]
