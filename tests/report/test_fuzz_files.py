"""A sample of `tests/report/fuzz_files.py`: each kind of a stranger's file, through commands."""

import json

import pytest

from attentropy.report.cli import main
from hostile_files import KINDS_OF_FILES, make, save_templates
from pictures import without_pictures

pytestmark = pytest.mark.costly


@pytest.mark.parametrize(
    "cases", [range(30), pytest.param(range(30, 180), marks=pytest.mark.slow)], ids=["some", "more"]
)
def test_a_strangers_file_gives_a_result_or_one_line(tmp_path, monkeypatch, capsys, cases):
    (tmp_path / "templates").mkdir()
    templates = save_templates(tmp_path / "templates")
    failed, kinds = [], set()
    for number in cases:
        folder = tmp_path / str(number)
        folder.mkdir()
        name, arguments = make(number, templates, folder)
        kinds.add(name.partition(":")[0])
        monkeypatch.chdir(folder)
        with without_pictures():
            code = main(arguments)
        error = capsys.readouterr().err
        if code not in (0, 1, 2) or "--debug" in error or (code and error.count("error: ") != 1):
            failed.append(f"{number}: {name}: {json.dumps(arguments)}: {code}: {error[-200:]}")
    assert failed == []
    assert kinds == set(KINDS_OF_FILES)
