"""`extract`, killed at instants of its end: the next `--resume` gives the same trace."""

import signal

import pytest
import torch

from attentropy.engine.trace.dataset import Trace
from attentropy.report.cli import main
from interrupted import assert_equal, context
from places import STEPS, count_steps

RUN = ["extract", "-p", "Paris is a city. " * 3, "--device", "cpu", "--max-new-tokens", "2",
       "--chunk", "9"]  # fmt: skip
# Those whose number is the same in every run: zarr's threads race to make folders.
COUNTED = tuple(name for name in STEPS if name != "mkdir")


def _instants(steps):
    """Return the last steps that move something, those after them, and one amid the removal."""
    moves = [step for step, name in enumerate(steps) if name in ("rename", "replace")][-6:]
    return sorted({*moves, *(step + 1 for step in moves), (moves[-1] + len(steps)) // 2})


def _child(words, log, step):
    torch.set_num_threads(1)

    def tell(name):
        with open(log, "a") as file:
            file.write(f"{name}\n")

    count_steps(step, tell, COUNTED)
    raise SystemExit(main(words))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["t.zarr", "t.zarr.zip"])
@pytest.mark.parametrize("is_replaced", [False, True], ids=["new", "replaced"])
def test_extract_killed_at_its_end_is_resumed_to_the_same_trace(
    tmp_path, name, is_replaced, capsys
):
    processes, force = context(), ["--force"] * is_replaced

    def start(folder, step):
        folder.mkdir()
        target, log = folder / name, tmp_path / f"{folder.name}.txt"
        if is_replaced:
            old.save(target)
        words = [*RUN, *force, "-o", str(target)]
        process = processes.Process(target=_child, args=(words, str(log), step))
        process.start()
        process.join()
        return process.exitcode, target, log

    old = None
    if is_replaced:
        assert main([*RUN[:2], "Hello", *RUN[3:], "-o", str(tmp_path / "old.zarr")]) == 0
        old = Trace.open(tmp_path / "old.zarr")
    code, target, log = start(tmp_path / "whole", None)
    assert code == 0
    wanted, steps = Trace.open(target), log.read_text().split()
    states = []
    for step in _instants(steps):
        code, target, log = start(tmp_path / str(step), step)
        assert code == -signal.SIGKILL, (step, steps[step])
        there = {path.name for path in target.parent.iterdir() if not path.name.startswith(".")}
        states.append(tuple(sorted(there)))
        assert there <= {name, f"{name}.partial"}
        assert main([*RUN, "--resume", *force, "-o", str(target)]) == 0
        assert_equal(Trace.open(target), wanted)
        assert [path.name for path in target.parent.iterdir()] == [name]
    capsys.readouterr()
    assert len(set(states)) > 1, f"all kills came at the same state: {states}"
