"""A notebook shows a trace as pictures that make no requests and run no scripts."""

import base64
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest

from attentropy.engine.errors import UsageError
from attentropy.engine.trace.dataset import Trace
from attentropy.report.compare.difference import compare
from traces import synthetic

HOSTILE = '</text></svg><script>alert(1)</script><image href="https://evil.example/x.png"/>'
ADDRESS = re.compile(r"(?:src|srcset|href)=[\"'](?!data:|#)")


def _images(html):
    """Return the SVG documents of the fragment."""
    return [base64.b64decode(image) for image in re.findall(r"svg\+xml;base64,([^\"]+)", html)]


@pytest.fixture(scope="module")
def hostile():
    tokens = [HOSTILE, "x", HOSTILE, "\x00\u202e", *"abcdef"]
    return synthetic(tokens, ["content"] * len(tokens), words=[HOSTILE] * 8)


@pytest.fixture(scope="module")
def html():
    return synthetic()._repr_html_()


@pytest.fixture(scope="module")
def hostile_html(hostile):
    return hostile._repr_html_()


def test_both_views_are_drawn_for_light_and_dark_pages(html):
    assert len(_images(html)) == 4
    assert len(set(_images(html))) == 4
    assert "Logit-lens entropy" in html
    assert "Attention entropy" in html
    drawn = " ".join(ElementTree.fromstring(_images(html)[0]).itertext())
    assert "_Austral…" in drawn


def test_a_trace_without_the_lens_shows_attention_alone():
    trace = synthetic()
    lens = [name for name in trace.dataset if str(name).startswith(("lens", "rehearsal"))]
    html = Trace(trace.dataset.drop_vars(lens))._repr_html_()
    assert len(_images(html)) == 2
    assert "Attention entropy" in html


def test_a_trace_without_entropies_says_so():
    trace = synthetic()
    rest = Trace(trace.dataset.drop_vars(list(trace.dataset.data_vars)))
    assert "no entropies" in rest._repr_html_()


def test_no_script_runs_and_nothing_is_fetched(hostile_html):
    for text in (hostile_html, *(image.decode() for image in _images(hostile_html))):
        assert "<script" not in text.lower()
        assert not ADDRESS.search(text)
        assert "foreignobject" not in text.lower()
        assert not re.search(r"\son\w+=", text)


def test_hostile_tokens_are_words_in_the_picture(hostile_html):
    images = _images(hostile_html)
    for image in images:
        root = ElementTree.fromstring(image)  # well-formed: no token closed an element
        kinds = {element.tag.split("}")[-1] for element in root.iter()}
        assert kinds <= {"svg", "g", "path", "text", "tspan", "image", "rect", "defs", "clipPath",
                         "line"}  # fmt: skip
    assert "</" in "".join(ElementTree.fromstring(images[0]).itertext())


def test_a_hostile_name_and_answer_are_words_in_the_fragment(hostile):
    data = hostile.dataset.assign_attrs(answer=HOSTILE, model={"name": HOSTILE + "\n"})
    html = Trace(data)._repr_html_()
    assert "&lt;script" in html
    assert "<script" not in html


def test_two_on_one_page_share_no_id(html, hostile_html):
    page = html + hostile_html
    ids = re.findall(r"\sid=[\"']([^\"']*)", page)
    assert len(ids) == len(set(ids))
    assert len(_images(page)) == 8


def test_repr_is_one_line():
    trace = synthetic()
    data = trace.dataset.assign_attrs(answer="a\nb" * 100, model={"name": "m\x1b[31m\n" * 100})
    for shown in (repr(trace), repr(Trace(data))):
        assert shown.isprintable()
        assert len(shown) < 400
    assert f"{len(trace.tokens)} tokens" in repr(trace)


@pytest.mark.costly
@pytest.mark.parametrize("package", ["altair", "vl_convert"])
def test_without_the_drawing_libraries_a_table_is_shown(package):
    code = f"""
import sys
sys.modules[{package!r}] = None
from traces import synthetic
html = synthetic()._repr_html_()
assert html.startswith("<pre>"), html
assert "layer" in html and "attention" in html and "pip install" in html, html
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False,
        env={"PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.costly
def test_reading_a_trace_imports_nothing_of_the_report():
    code = (
        "import sys, attentropy.engine.trace.dataset; "
        "print([m for m in sys.modules if '.report' in m])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    assert done.stdout == "[]\n"


@pytest.fixture(scope="module")
def difference():
    return compare(synthetic(), synthetic(seed=2))


def test_a_difference_is_drawn_with_its_own_scale(difference):
    html = difference._repr_html_()
    assert len(_images(html)) == 4
    assert "<pre" not in html
    assert "Logit-lens entropy, B − A" in html
    assert "white 0.00 (no difference)" in html


def test_a_trace_and_a_difference_write_their_reports(difference, tmp_path):
    for subject in (synthetic(), difference):
        path = subject.report(tmp_path / "x.html", force=True, max_bytes="3MB", sections=(2, 9))
        assert path == tmp_path / "x.html"
        assert path.read_text("utf-8") == subject.to_html(max_bytes=3_000_000, sections="2:9")
    with pytest.raises(UsageError, match="use `force=True` to replace it"):
        synthetic().report(path)
    with pytest.raises(UsageError, match=r"name the report NAME\.html"):
        synthetic().report(tmp_path / "x.pdf")
    with pytest.raises(UsageError, match="`max_bytes` must be a number of bytes"):
        synthetic().to_html(max_bytes="big")


def test_a_trace_exports_its_figures_by_the_paths_ending(tmp_path):
    trace = synthetic()
    for name in ("f.svg", "f.png", "f.pdf", "f.csv"):
        assert trace.export(tmp_path / name, figure="lens", section=slice(0, 5)).is_file()
    figure = trace.export(section=(0, 5))
    assert figure.data == (tmp_path / "f.svg").read_bytes()
    assert repr(figure) == f"<Exported svg, {len(figure.data) / 1000:.1f} kB: Logit-lens entropy>"
    assert figure._repr_svg_().startswith("<svg")
    assert figure._repr_png_() is figure._repr_pdf_() is figure._repr_html_() is None
    assert figure.save(tmp_path / "g.svg").read_bytes() == figure.data
    with pytest.raises(UsageError, match="exists"):
        figure.save(tmp_path / "g.svg")
    with pytest.raises(UsageError, match=r"name the file NAME\.svg"):
        figure.save(tmp_path / "g.png")
    with pytest.raises(UsageError, match="must end in"):
        trace.export(tmp_path / "g.jpg")


def test_each_format_has_the_notebooks_method_of_its_own(hostile):
    shown = {name: hostile.export(format=name) for name in ("png", "pdf", "csv")}
    assert shown["png"]._repr_png_().startswith(b"\x89PNG")
    assert shown["pdf"]._repr_pdf_().startswith(b"%PDF")
    table = shown["csv"]._repr_html_()
    assert table.startswith("<table><tr><td>part</td>")
    assert "<script" not in table
    assert all(one._repr_svg_() is None for one in shown.values())


def test_a_trace_lists_its_variables_as_xarray_does():
    trace = synthetic()
    assert trace.keys() == list(trace) == list(trace.dataset)
    assert len(trace) == len(trace.dataset)
    assert {name: trace[name].shape for name in trace}["entropy"] == (6, 3, 17)
    assert "role" in trace
    assert bool(Trace(trace.dataset.drop_vars(trace.keys())))
