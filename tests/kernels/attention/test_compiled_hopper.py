"""Hopper's kernel compiles without spills, and entropy adds one instruction per score."""

import pytest

import compiler
from attentropy.kernels.common import tiles
from uniform import unwritten

# Bytes that one version of Triton spills and the others do not.
SPILLED = {(3, 8): {"sm_90/64/entropy": 56}}.get(compiler.VERSION, {})
# By version of Triton: fused multiply-adds (least, most) that entropy adds per score. 3.8 does not
# fuse all of them.
ADDED = {(3, 6): (1.0, 1.1), (3, 7): (1.0, 1.1), (3, 8): (0.6, 0.7)}
NAMES = [f"sm_90/{head}/{variant}" for head in (64, 128) for variant in ("off", "plain", "entropy")]


# Without the cache, a kernel takes several seconds to compile.
HEADS = [128, pytest.param(64, marks=pytest.mark.slow)]
EVERY = [pytest.param(n, marks=[pytest.mark.slow] * ("/64/" in n)) for n in NAMES]


class _Compiled(dict):
    """The facts of the kernels by name, those of a head size compiled when one is needed."""

    def __init__(self, compile_ahead):
        super().__init__()
        self.compile_ahead = compile_ahead

    def __missing__(self, name):
        head = name.split("/")[1]
        names = [one for one in NAMES if one.split("/")[1] == head]
        self.update(self.compile_ahead("compiled_hopper.py", names))
        return self[name]


@pytest.fixture(scope="module")
def compiled(compile_ahead):
    return _Compiled(compile_ahead)


@pytest.mark.parametrize("name", EVERY)
def test_nothing_spills_and_nothing_is_rounded_to_tf32(compiled, name):
    assert compiled[name]["spilled"] <= SPILLED.get(name, 0)
    assert compiled[name]["tf32"] == 0


@pytest.mark.parametrize("name", EVERY)
def test_no_uniform_register_is_read_where_a_path_did_not_write_it(compiled, name):
    assert compiled[name]["unwritten"] == 0


@pytest.mark.parametrize("head", HEADS)
def test_entropy_off_is_the_machine_code_of_attention_without_it(compiled, head):
    assert compiled[f"sm_90/{head}/off"]["code"] == compiled[f"sm_90/{head}/plain"]["code"]


@pytest.mark.parametrize("head", HEADS)
def test_entropy_is_one_fused_multiply_add_per_score(compiled, head):
    off, entropy = compiled[f"sm_90/{head}/off"], compiled[f"sm_90/{head}/entropy"]
    least, most = compiler.of_version(ADDED)
    tile = tiles._HOPPER[head]
    scores = tile.groups * 3 * 64 * tile.keys // 128  # first tile and two loops, over the threads
    assert least * scores <= entropy["fma"] - off["fma"] <= most * scores
    assert entropy["exponentials"] == off["exponentials"]
    assert entropy["matrix"] == off["matrix"]


def _listing(*lines):
    return "\n".join(f"        /*{i:04x}0*/    {line} ;" for i, line in enumerate(lines))


def test_a_register_that_a_skipped_branch_writes_is_found():
    skipped = "@P0 BRA 0x030", "UIADD3 UR14, UR9, 0x2, URZ"
    read = "HGMMA.64x128x16.F32.BF16 R24, gdesc[UR12], R24", "EXIT"
    first = "UMOV UR9, 0x1", *skipped, "UIMAD.WIDE UR12, UR9, 0x2, URZ", "UMOV UR15, URZ", *read
    assert unwritten(_listing(*first)) == [read[0]]
    second = "UMOV UR9, 0x1", "UMOV UR14, 0x2", *first[1:]
    assert unwritten(_listing(*second).replace("0x030", "0x040")) == []
    others = "UTMALDG.4D [UR8], [UR24]", "UIADD3.64 UR20, UR12, 0x2, URZ", "EXIT"
    assert unwritten(_listing(*others)) == list(others[:2])


def test_a_product_with_weights_in_registers_reads_the_second_descriptor():
    product = "HGMMA.64x64x16.F32.BF16 R88, R124, gdesc[UR24].tnspB, R88"
    rest = "UIADD3.64 UR26, UR12, 0x80, URZ", product, "EXIT"
    assert unwritten(_listing("UMOV UR12, 0x1", "UMOV UR13, 0x1", *rest)) == []
    assert unwritten(_listing("UMOV UR24, 0x1", "UMOV UR25, 0x1", *rest[1:])) == [product]


def test_a_copy_of_nothing_counts_where_it_is_read():
    saved = "MOV R10, UR53", "UMOV UR53, 0x2", "R2UR UR53, R10"
    dead = *saved, "UMOV UR53, 0x3", "UIADD3 UR8, UR53, 0x1, URZ", "EXIT"
    assert unwritten(_listing(*dead)) == []
    read = "UIADD3 UR8, UR53, 0x1, URZ"
    assert unwritten(_listing(*saved, read, "EXIT")) == [read]
    stored = "STG.E desc[UR12][R2.64], R10"
    first = "UMOV UR12, 0x1"
    assert unwritten(_listing(first, saved[0], stored, "EXIT")) == [stored]
    assert unwritten(_listing(first, saved[0], "@!P1 MOV R10, 0x4", stored, "EXIT")) == []
