"""How a command that is refused ends."""

import os

from attentropy.report.cli import main

ONE_LINE = "error: "


def assert_refused(capsys, arguments, code, *words):
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
