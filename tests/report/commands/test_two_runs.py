"""Two runs of one command with one output: the first continues, the second says who is writing."""

import os
import re
import time

import pytest

from attentropy.report.compare import stored
from commands_in_turn import WRITING, has_ended, make_inputs, start, wait_until_it_writes


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    make_inputs(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--force"]], ids=["new", "force"])
@pytest.mark.parametrize("command", list(WRITING))
def test_the_first_goes_on_and_the_second_says_who_writes(inputs, tmp_path, command, options):
    arguments = WRITING[command]
    outputs = {name for name in arguments if re.fullmatch(r"\w\.[a-z.]+", name)}
    first = start(command, inputs, tmp_path, *options)
    assert wait_until_it_writes(first, tmp_path), first.communicate()[1]
    second = start(command, inputs, tmp_path, *options)
    _, error = second.communicate(timeout=300)
    was_first_done = first.poll() is not None
    _, first_error = first.communicate(timeout=300)
    assert first.returncode == 0, first_error
    if second.returncode == 1:
        assert error.count("\n") == 1
        assert re.match(rf"error: another run is writing to '.*' \(process {first.pid} on ", error)
    elif second.returncode == 2:  # the first was done before the second looked
        assert was_first_done
        assert "exists; use --force to replace it" in error
        assert not options
    else:
        assert (second.returncode, options) == (0, ["--force"]), error
    assert {p.name for p in tmp_path.iterdir()} == outputs
    assert has_ended(first)
    assert has_ended(second)
    for name in outputs:
        if ".zarr" in name:
            stored.open(tmp_path / name)


@pytest.mark.slow
def test_readers_see_a_whole_trace_while_another_is_put_in_its_place(inputs, tmp_path):
    """Each opens the old trace or the new one; values of one that is gone are one line."""
    from attentropy.engine.errors import AttentropyError
    from attentropy.engine.trace.dataset import Trace
    from places import in_child

    traces = [Trace.open(inputs / name) for name in ("a.zarr", "b.zarr")]
    path = traces[0].save(tmp_path / "t.zarr")

    def writes():
        for i in range(12):
            traces[i % 2].save(path, force=True)

    child = os.fork()
    if not child:
        os._exit(in_child(writes))
    opened, messages = 0, []
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        try:
            entropy = Trace.open(path)["entropy"]
        except AttentropyError as error:
            messages.append(str(error))
            continue
        opened += 1
        assert any((entropy == trace["entropy"]).all() for trace in traces)
        time.sleep(0.01)
    assert opened
    expected = "t.zarr was replaced or removed while it was read; open it again"
    assert set(messages) <= {expected}
    assert [p.name for p in tmp_path.iterdir()] == ["t.zarr"]
