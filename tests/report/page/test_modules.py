"""The modules of the page's script are joined into one program, and invalid ones are refused."""

import re
from pathlib import Path

import pytest

import attentropy
from attentropy.report.page.document import without_comments
from attentropy.report.page.modules import ModuleError, code_only, join, load, parse
from attentropy.report.page.program import ENTRY, program, script

ROOT = Path(attentropy.__file__).parent / "templates" / "script"
SCRIPTS = {"shell/opening.js", "shell/loader.js"}  # of the page, outside of its program
ROOMS = ("data", "figure", "grid", "text", "below", "shell")  # from low to high

LOW = """\
// Values.

export const one = 1;
const own = () => one;
export function two() {
  return own() + one;
}
"""
HIGH = """\
// A sum.
import {
  one,
  two,
} from "../data/low.js";

export let sum = one + two();
"""


def _load(files, entry="shell/start.js"):
    return load(entry, files.__getitem__)


def test_a_module_comes_after_those_that_it_imports():
    modules = _load({"shell/start.js": HIGH, "data/low.js": LOW})
    assert [module.name for module in modules] == ["data/low.js", "shell/start.js"]
    assert modules[1].imports == {"data/low.js": ("one", "two")}
    assert modules[0].names == ("one", "own", "two")
    assert modules[0].exports == {"one", "two"}
    joined = join(modules)
    assert "import" not in joined
    assert "export" not in joined
    assert joined.index("const one = 1;") < joined.index("let sum = one + two();")
    assert "// Values.\n" in joined


def test_a_module_that_several_import_comes_once():
    files = {
        "shell/start.js": 'import { a } from "./a.js";\nimport { b } from "./b.js";\n',
        "shell/a.js": 'import { one } from "../data/low.js";\nexport const a = one;\n',
        "shell/b.js": 'import { one } from "../data/low.js";\nexport const b = one;\n',
        "data/low.js": LOW,
    }
    names = [module.name for module in _load(files)]
    assert names == ["data/low.js", "shell/a.js", "shell/b.js", "shell/start.js"]


def test_an_imported_name_that_is_not_exported_is_refused():
    files = {"shell/start.js": HIGH.replace("one,", "own,"), "data/low.js": LOW}
    with pytest.raises(ModuleError, match=r"start\.js imports own, which data/low\.js does not"):
        _load(files)


def test_a_name_that_two_modules_declare_is_refused():
    files = {"shell/start.js": HIGH + "const own = 2;\n", "data/low.js": LOW}
    with pytest.raises(ModuleError, match=r"data/low\.js and shell/start\.js declare own"):
        _load(files)


def test_a_circle_of_imports_is_refused():
    files = {
        "a.js": 'import { b } from "./b.js";\nexport const a = 1;\n',
        "b.js": 'import { c } from "./c.js";\nexport const b = 1;\n',
        "c.js": 'import { b } from "./b.js";\nexport const c = 1;\n',
    }
    with pytest.raises(ModuleError, match=r"circle: b\.js -> c\.js -> b\.js"):
        _load(files, "a.js")


@pytest.mark.parametrize(
    "line",
    [
        'import { one as first } from "./low.js";',
        'import * as low from "./low.js";',
        'import low from "./low.js";',
        'import "./low.js";',
        'import { one } from "low";',
        'const low = import("./low.js");',
        "const here = import.meta.url;",
        "export default function () {}",
        "export { one };",
        'export * from "./low.js";',
        "export const one = 1, two = 2;",
        "const { one, two } = three;",
        "const [one] = three;",
        "const one = 1; const two = 2;",
        "function one() {} const two = 2;",
        "const one = 1",
        "var one = 1;",
        "start();",
        "if (one) two();",
        "  const one = 1;",
    ],
)
def test_other_syntax_at_the_top_of_a_module_is_refused(line):
    with pytest.raises(ModuleError, match=r"^a\.js"):
        parse("a.js", f"// Header.\n{line}\n")


def test_an_import_after_code_is_refused():
    with pytest.raises(ModuleError):
        parse("a.js", 'const a = 1;\nimport { b } from "./b.js";\n')


@pytest.mark.parametrize(
    "line",
    [
        "export const add = (a, b = 2) => a + b;",
        'const text = "import, export; }";',
        "const list = [1, 2, 3];",
        "const mark = /[/;,]{2}\\//g;",
        "const half = (a) => a / 2 / 3;",
        "const nested = (a) => `${a.map((b) => `<${b}, {;`).join(`}`)};`;",
        "export async function wait({ a, b }) {\n  for (;;) { await a; }\n}",
        "export class Wide {\n  get() { return {}; }\n}",
        "let none;",
    ],
)
def test_one_declaration_is_one_name_whatever_its_value_says(line):
    module = parse("a.js", f"{line}\n")
    assert len(module.names) == 1
    assert module.body == line.removeprefix("export ") + "\n"


def test_code_only_blanks_literal_text_and_keeps_what_runs():
    source = "a(`x ${b + `y ${c}` /* d */} z`, 'e', \"f\"); // g\nh = i / j / k; return /l/;"
    code = code_only(source)
    assert re.findall(r"\w+", code) == ["a", "b", "c", "h", "i", "j", "k", "return"]
    assert len(code) == len(source)
    assert code.count("\n") == source.count("\n")


# The page's own modules.


@pytest.fixture(scope="module")
def modules():
    return load(ENTRY, script)


def test_the_entry_needs_every_module_but_the_scripts_around_the_program(modules):
    files = {file.relative_to(ROOT).as_posix() for file in ROOT.rglob("*.js")}
    assert {module.name for module in modules} == files - SCRIPTS


def test_the_program_is_the_modules_without_their_comments(modules):
    joined, text = join(modules), without_comments(join(modules))
    assert not re.search(r"^ *//", text, re.MULTILINE)
    assert code_only(text).split() == code_only(joined).split()
    assert text in program().text


def test_rooms_import_only_lower_rooms(modules):
    for module in modules:
        floor = ROOMS.index(module.name.split("/")[0])
        for source in module.imports:
            assert ROOMS.index(source.split("/")[0]) <= floor, f"{module.name} imports {source}"


def test_each_module_begins_with_its_idea(modules):
    for module in modules:
        assert re.match(r"// [A-Z`].*\n", script(module.name)), module.name


def _identifiers(code):
    """Return the identifiers of the code that are neither properties nor keys of objects."""
    return set(re.findall(r"(?:(?<![\w$.])|(?<=\.\.\.))[A-Za-z_$][\w$]*(?![\w$]|\s*:(?!:))", code))


def _code(module):
    """Return the code with `? b :` as `? b ;`, so that `b` does not look like a key."""
    return re.sub(r"\?(?![.?])([^?:;]*):", r"?\1 ;", module.code)


def test_a_name_of_another_module_is_imported_where_it_is_used_and_only_there(modules):
    """Compare names in the source text; local names may not equal exports of other modules."""
    owners = {name: module.name for module in modules for name in module.exports}
    for module in modules:
        imported = {name for names in module.imports.values() for name in names}
        used = {n for n in _identifiers(_code(module)) if owners.get(n, module.name) != module.name}
        assert used == imported, module.name


def test_each_export_is_imported_somewhere(modules):
    imported = {n for module in modules for names in module.imports.values() for n in names}
    for module in modules:
        if module.name != ENTRY:
            assert module.exports <= imported, module.name


# Matches the operator after a name that is assigned to.
_ASSIGNS = r"(?:=(?![=>])|[-+*/%|&?]{1,2}=(?!=)|\+\+|--)"


def test_no_module_assigns_to_an_imported_name(modules):
    """Reject such assignments: imports are read-only in modules, but not in the joined program."""
    for module in modules:
        for name in {name for names in module.imports.values() for name in names}:
            assigned = rf"(?<![\w$.]){re.escape(name)}\s*{_ASSIGNS}"
            assert not re.search(assigned, module.code), (module.name, name)


def test_the_program_is_one_strict_function_without_a_modules_syntax():
    own = program().text.partition('((vegaEmbed)=>{"use strict";\n')[2]
    assert own.endswith("startPage(vegaEmbed);});")
    assert not re.search(r"^(?:import|export)\b", own, re.MULTILINE)
