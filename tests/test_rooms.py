"""Rooms import only lower rooms; reading and reporting need no torch."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
# From the lowest floor up; rooms of one line do not import each other.
FLOORS = """
kernels.common
kernels.native
kernels.choice
kernels.attention
kernels.second_sweep kernels.vocabulary
kernels.registered
kernels.ops kernels.sweep
engine.errors
engine.failures
engine.output
engine.keeping
engine.arguments
engine.selection
engine.measure
engine.trace
engine.demo
engine.model
engine.prompt
engine.provenance
engine.attention
engine.maps
engine.lens
engine.translator
engine.record
engine.sources
engine.cost
engine.run
engine.profile
engine.bench engine.coverage engine.demo.training
report.inkless
report.text report.palette report.units report.images report.glossary
report.vega report.streams report.processor_time report.collecting
report.vega_process
report.planes report.scale report.terminal
report.compare
report.read
report.findings
report.pack
report.figures
report.content
report.page
report.export
report.drawing
report.bench
report.commands
report.cli
"""
FLOOR = {room: i for i, line in enumerate(FLOORS.split("\n")) for room in line.split()}
# A trace draws itself with what the report has: the one late import upwards, in one function.
EXCEPTIONS = {("engine.trace", "report.drawing")}


def _name(path: Path) -> str:
    return f"attentropy.{path.relative_to(ROOT).with_suffix('')}".replace("/", ".")


TREES = {
    _name(path).removesuffix(".__init__"): ast.parse(path.read_text("utf-8"))
    for folder in ("kernels", "engine", "report")
    for path in sorted((ROOT / folder).rglob("*.py"))
}


def room(module: str) -> str:
    """Return the room of a module, the longest of `FLOORS` that its name starts with."""
    parts = module.split(".")[1:]
    names = [".".join(parts[:n]) for n in range(len(parts), 0, -1)]
    return next((name for name in names if name in FLOOR), parts[0])


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield every module that a syntax tree imports, the project's own down to the module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in TREES else node.module


def own_imports() -> Iterator[tuple[str, str]]:
    """Yield (importing module, imported module) within the project."""
    for module, tree in TREES.items():
        yield from ((module, name) for name in imports(tree) if name.startswith("attentropy."))


def test_rooms_import_only_lower_rooms():
    upward = [
        (module, name)
        for module, name in own_imports()
        if (here := room(module)) != (there := room(name))
        and (here, there) not in EXCEPTIONS
        and FLOOR[there] >= FLOOR[here]
    ]
    assert upward == []


def test_no_modules_import_each_other_in_a_circle():
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for module, name in own_imports():
        if (room(module), room(name)) not in EXCEPTIONS:
            sorter.add(module, name)
    sorter.prepare()  # raises CycleError, which names the modules


def test_reading_and_reporting_import_no_torch_at_the_top():
    heavy = []
    for module in (name for name in TREES if room(name).startswith(("engine.trace", "report"))):
        for node in TREES[module].body:
            late = isinstance(node, ast.FunctionDef | ast.ClassDef)
            if late or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)):
                continue
            roots = {name.split(".")[0] for name in imports(node)}
            heavy += [module] if roots & {"torch", "transformers"} else []
    assert heavy == []
