"""Replace a folder by another in steps of which any may be the last before a kill.

A plan, written first, says what is there and what comes. A finished output that has its place in
the scratch folder is carried on to its place, by the same function: at once, or by the next run
where this one is killed.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from attentropy.engine.output.durable import write_durably
from attentropy.engine.output.ownership import RUN_SUFFIX, is_own_run, read_json

_PLAN = "plan.json"
_READY = "ready"  # complete: what has this name will be at the place
_REPLACED = "replaced"
_SPENT = "spent"


def plan(scratch: Path, real: Path, finished: Path, spent: Path | None) -> None:
    """Write the plan to put `finished` at `real` and to remove `spent`, and make it ready."""
    facts = {
        "old": _number(real),
        "new": _number(finished),
        "origin": os.path.relpath(finished, real.parent),
        "spent": None if spent is None else [spent.name, _number(spent)],
    }
    write_durably(scratch / _PLAN, json.dumps(facts).encode())
    os.rename(finished, scratch / _READY)


def is_planned(scratch: Path) -> bool:
    """Return whether there is a plan."""
    return os.path.lexists(scratch / _PLAN)


def carry_out(scratch: Path, real: Path) -> None:
    """Do what is left of the plan in the scratch folder, if there is one."""
    if not is_planned(scratch):
        return
    facts = read_json(scratch / _PLAN)
    ready, replaced = scratch / _READY, scratch / _REPLACED
    if os.path.lexists(ready):
        if _number(real) in (None, facts.get("old")):
            if real.is_dir():
                os.rename(real, replaced)
            os.replace(ready, real)
        else:  # somebody put something else there after the kill
            _return(ready, real.parent, str(facts.get("origin")))
    if _number(real) == facts.get("new", -1):
        _remove_spent(facts.get("spent"), scratch, real.parent)
    elif not os.path.lexists(real) and os.path.lexists(replaced):
        os.rename(replaced, real)
    (scratch / _PLAN).unlink()


def _return(ready: Path, folder: Path, name: str) -> None:
    """Move a finished output back into the folder of its run, which can be resumed then.

    The plan may be a stranger's, so no other place is taken from it.
    """
    origin = Path(name)
    if len(origin.parts) != 2 or not origin.parts[0].endswith(RUN_SUFFIX):
        return
    if is_own_run(folder / origin.parent) and not os.path.lexists(folder / origin):
        os.rename(ready, folder / origin)


def _remove_spent(spent: object, scratch: Path, folder: Path) -> None:
    """Move the spent folder into the scratch folder, if it is the one of the plan."""
    if not isinstance(spent, list) or len(spent) != 2 or Path(str(spent[0])).name != spent[0]:
        return
    if _number(folder / spent[0]) == spent[1]:
        os.rename(folder / spent[0], scratch / _SPENT)


def _number(path: Path) -> int | None:
    """Return the file's number on its disk, which a rename does not change; None for no file."""
    try:
        return path.lstat().st_ino
    except FileNotFoundError:
        return None
