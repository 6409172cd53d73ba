"""The lazy rescale of `hopper_lazy` in inline assembly: what Gluon's operations cannot say.

A warp votes whether some maximum of its rows rose enough, and only then moves its sums. The branch
is what makes the rescale cheap: a select would compute it at every tile.
"""

from __future__ import annotations

from triton.experimental import gluon
from triton.experimental.gluon import language as gl

from attentropy.kernels.attention.hopper_constants import LANES
from attentropy.kernels.attention.hopper_kernel import parts

# One pair of rows of a thread. Inputs, four each (two columns of the first row, two of the second):
# the thread's largest new scores, m, l and t, then RISE / c and c. Outputs: m, l, t and the factor
# by which other sums are multiplied. Only where the warp votes that some maximum rose by more, it
# compares the four threads of a row and raises m.
RAISE = gl.constexpr("""{
 .reg .pred p, q;
 .reg .f32 a, b, t, u, fa, fb;
 max.f32 a, $16, $17;
 max.f32 b, $18, $19;
 mov.f32 $0, $20; mov.f32 $1, $21; mov.f32 $2, $22; mov.f32 $3, $23;
 mov.f32 $4, $24; mov.f32 $5, $25; mov.f32 $6, $26; mov.f32 $7, $27;
 mov.f32 $8, $28; mov.f32 $9, $29; mov.f32 $10, $30; mov.f32 $11, $31;
 mov.f32 $12, 0f3F800000; mov.f32 $13, 0f3F800000; mov.f32 $14, 0f3F800000; mov.f32 $15, 0f3F800000;
 sub.f32 t, a, $20;
 sub.f32 u, b, $22;
 max.f32 t, t, u;
 setp.gt.f32 p, t, $32;
 vote.sync.any.pred q, p, 0xffffffff;
 @!q bra SKIP;
 shfl.sync.bfly.b32 t, a, 2, 31, -1;
 shfl.sync.bfly.b32 u, b, 2, 31, -1;
 max.f32 a, a, t;
 max.f32 b, b, u;
 shfl.sync.bfly.b32 t, a, 1, 31, -1;
 shfl.sync.bfly.b32 u, b, 1, 31, -1;
 max.f32 a, a, t;
 max.f32 b, b, u;
 max.f32 a, a, $20;
 max.f32 b, b, $22;
 sub.f32 t, $20, a;
 sub.f32 u, $22, b;
 mul.f32 t, t, $36;
 mul.f32 u, u, $36;
 ex2.approx.ftz.f32 fa, t;
 ex2.approx.ftz.f32 fb, u;
 fma.rn.f32 $8, t, $24, $28; fma.rn.f32 $9, t, $25, $29;
 fma.rn.f32 $10, u, $26, $30; fma.rn.f32 $11, u, $27, $31;
 mul.f32 $8, $8, fa; mul.f32 $9, $9, fa; mul.f32 $10, $10, fb; mul.f32 $11, $11, fb;
 mul.f32 $4, $24, fa; mul.f32 $5, $25, fa; mul.f32 $6, $26, fb; mul.f32 $7, $27, fb;
 mov.f32 $0, a; mov.f32 $1, a; mov.f32 $2, b; mov.f32 $3, b;
 mov.f32 $12, fa; mov.f32 $13, fa; mov.f32 $14, fb; mov.f32 $15, fb;
SKIP:
}""")

RAISE_CONSTRAINTS = gl.constexpr(",".join(["=&f"] * 16 + ["f"] * 24))


def _scale_assembly(count: int) -> str:
    """Return code that multiplies `count` numbers of a thread, two rows in turns by pairs.

    Inputs: the numbers, then the factor of each. Without a factor other than 1 in the warp nothing
    is multiplied.
    """
    lines = [
        "{",
        " .reg .pred p, q;",
        f" setp.neu.f32 p, ${2 * count}, 0f3F800000;",
        f" setp.neu.or.f32 p, ${2 * count + 2}, 0f3F800000, p;",
        *(f" mov.f32 ${i}, ${count + i};" for i in range(count)),
        " vote.sync.any.pred q, p, 0xffffffff;",
        " @!q bra SKIP;",
        *(f" mul.f32 ${i}, ${i}, ${2 * count + i};" for i in range(count)),
        "SKIP:",
        "}",
    ]
    return "\n".join(lines)


_SCALE_32 = gl.constexpr(_scale_assembly(32))
_SCALE_64 = gl.constexpr(_scale_assembly(64))
_CONSTRAINTS_32 = gl.constexpr(",".join(["=&f"] * 32 + ["f"] * 64))
_CONSTRAINTS_64 = gl.constexpr(",".join(["=&f"] * 64 + ["f"] * 128))


@gluon.jit
def rescaled(b_acc, b_factor):
    """Return b_acc [64, D] times b_factor [64, LANES], the same in all lanes of a row."""
    D: gl.constexpr = b_acc.shape[1]
    b_x = parts(b_acc, LANES)
    b_y = gl.expand_dims(gl.convert_layout(b_factor, gl.SliceLayout(1, b_x.type.layout)), 1)
    b_x, b_y = gl.broadcast(b_x, b_y)
    if D == 64:
        b_x = gl.inline_asm_elementwise(
            _SCALE_32, _CONSTRAINTS_32, [b_x, b_y], dtype=gl.float32, is_pure=True, pack=32
        )
    else:
        b_x = gl.inline_asm_elementwise(
            _SCALE_64, _CONSTRAINTS_64, [b_x, b_y], dtype=gl.float32, is_pure=True, pack=64
        )
    return gl.convert_layout(gl.reshape(b_x, [b_acc.shape[0], D]), b_acc.type.layout)
