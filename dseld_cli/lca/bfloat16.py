"""Products of rows rounded to bfloat16, by the instructions that some processors have for them (AVX512-BF16).

They multiply twice as much at a time as those of float32, and sum in float32. torch has them, too, but takes seconds to
load, and returns sums in bfloat16. So the part of a product that stays in registers is written here, instruction by
instruction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any, cast

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core.registry import cpu_target
from numba.extending import intrinsic
from numpy.typing import NDArray

from dseld_cli.lca.compiled import compiled
from dseld_cli.lca.knots import round_to_bfloat16

Float32 = NDArray[np.float32]
UInt16 = NDArray[np.uint16]

LEFT, RIGHT = 6, 4
"""Rows of a block: its 24 sums, and the factors that are multiplied, fit in 32 registers."""

FEATURES = 32
"""Features that one instruction takes; each of its 16 sums is added two products."""

PANEL = 96
"""Rows of the left side that stay in the processor's cache."""


@cache
def supported() -> bool:
    """Whether kernels are compiled for a processor that has the instructions, by an LLVM that has the type."""
    _, _, features = cpu_target.target_context.codegen().magic_tuple()
    return "+avx512bf16" in features.split(",") and binding.llvm_version_info >= (17,)


def rounded(rows: Float32, multiple: int) -> UInt16:
    """Bits of rows (m, N) in bfloat16, with zeros up to a multiple of so many rows, and of FEATURES."""
    m, n = rows.shape
    bits = np.empty((m + -m % multiple, n + -n % FEATURES), np.uint16)
    round_into(rows, bits)
    return bits


@compiled
def round_into(rows: Float32, bits: UInt16) -> None:
    """Round rows (m, N) to the nearest bfloat16, ties to even: the upper half of their bits."""
    whole = rows.view(np.uint32)
    for m in range(len(bits)):
        to = bits[m]
        to[rows.shape[1] if m < len(rows) else 0 :] = 0
        if m < len(rows):
            x = whole[m]
            for i in range(len(x)):
                to[i] = (x[i] + 0x7FFF + ((x[i] >> 16) & 1)) >> 16


@compiled
def largest(rows: Float32) -> tuple[float, float]:
    """Largest norm of rows (m, N), and largest distance of one from itself rounded, in float32; NaN if one is."""
    norm = lost = np.float32(0)
    rest = np.empty_like(rows[:1])
    for m in range(len(rows)):
        rest[0] = rows[m]
        round_to_bfloat16(rest)
        square = error = np.float32(0)
        for i in range(rows.shape[1]):
            square += rows[m, i] * rows[m, i]
            error += (rows[m, i] - rest[0, i]) * (rows[m, i] - rest[0, i])
        norm = square if square > norm or square != square else norm
        lost = error if error > lost or error != error else lost
    return math.sqrt(norm), math.sqrt(lost)


@compiled
def multiply(left: UInt16, right: UInt16, found: Float32) -> None:
    """Write found = left right^T (l, r); left (l, N) and right (r, N), multiples of LEFT and RIGHT rows."""
    l_stride, r_stride, f_stride = left.strides[0], right.strides[0], found.strides[0]
    l_start, r_start, f_start = left.ctypes.data, right.ctypes.data, found.ctypes.data
    for panel in range(0, len(left), PANEL):
        for q in range(0, len(right), RIGHT):
            for p in range(panel, min(panel + PANEL, len(left)), LEFT):
                block(
                    l_start + p * l_stride, l_stride, r_start + q * r_stride, r_stride, left.shape[1] // FEATURES,
                    f_start + p * f_stride + 4 * q, f_stride,
                )  # fmt: skip


class _BFloat16(ir.Type):  # type: ignore[misc]
    """LLVM's type, which llvmlite has no name for."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat16)

    def __hash__(self) -> int:
        return hash("bfloat")


_INT32, _INT64 = ir.IntType(32), ir.IntType(64)
_SUMS, _FOUR = ir.VectorType(ir.FloatType(), 16), ir.VectorType(ir.FloatType(), 4)
_FACTORS = ir.VectorType(_BFloat16(), FEATURES)
_ZERO = ir.Constant(_SUMS, [0.0] * 16)


def _generate(_context: Any, builder: Any, _signature: Any, arguments: Sequence[Any]) -> Any:
    """Loop over the features, with the block's sums in registers; then sum each one's lanes, and store them."""
    left, left_stride, right, right_stride, steps, found, found_stride = arguments
    before, loop, after = builder.block, builder.append_basic_block(), builder.append_basic_block()
    builder.branch(loop)
    builder.position_at_end(loop)
    multiply_add = _instruction(builder.module)
    step, sums = builder.phi(_INT64), [builder.phi(_SUMS) for _ in range(LEFT * RIGHT)]
    done = builder.mul(step, _INT64(2 * FEATURES))
    columns = [_load(builder, builder.add(right, done), right_stride, q) for q in range(RIGHT)]
    more = []
    for p in range(LEFT):
        row = _load(builder, builder.add(left, done), left_stride, p)
        more += [builder.call(multiply_add, [sums[p * RIGHT + q], row, columns[q]]) for q in range(RIGHT)]
    next_step = builder.add(step, _INT64(1))
    builder.cbranch(builder.icmp_signed("<", next_step, steps), loop, after)
    for value, first, then in zip([step, *sums], [_INT64(0), *[_ZERO] * len(sums)], [next_step, *more], strict=True):
        value.add_incoming(first, before)
        value.add_incoming(then, loop)
    builder.position_at_end(after)
    for p in range(LEFT):
        row = _sums_of_lanes(builder, more[p * RIGHT : (p + 1) * RIGHT])
        builder.store(row, _pointer(builder, found, found_stride, p, _FOUR), align=4)
    return _INT32(0)


def _instruction(module: Any) -> Any:
    name = "llvm.x86.avx512bf16.dpbf16ps.512"
    return module.globals.get(name) or ir.Function(module, ir.FunctionType(_SUMS, [_SUMS, _FACTORS, _FACTORS]), name)


def _pointer(builder: Any, base: Any, stride: Any, row: int, to: Any) -> Any:
    return builder.inttoptr(builder.add(base, builder.mul(stride, _INT64(row))), to.as_pointer())


def _load(builder: Any, base: Any, stride: Any, row: int) -> Any:
    return builder.load(_pointer(builder, base, stride, row, _FACTORS), align=2)


def _sums_of_lanes(builder: Any, four: Sequence[Any]) -> Any:
    """Sum the lanes of each of four vectors: a vector of four sums."""

    def take(x: Any, y: Any, *lanes: int) -> Any:
        return builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(_INT32, len(lanes)), lanes))

    def add(x: Any, y: Any, first: Sequence[int], second: Sequence[int]) -> Any:
        return builder.fadd(take(x, y, *first), take(x, y, *second))

    halves = [add(x, x, range(8), range(8, 16)) for x in four]
    a, b, c, d = (add(x, x, range(4), range(4, 8)) for x in halves)
    ab, cd = (add(x, y, (0, 4, 1, 5), (2, 6, 3, 7)) for x, y in ((a, b), (c, d)))
    return add(ab, cd, (0, 1, 4, 5), (2, 3, 6, 7))


def _block(
    _context: Any, _left: Any, _left_stride: Any, _right: Any, _right_stride: Any, _steps: Any, _found: Any,
    _found_stride: Any,
) -> Any:  # fmt: skip
    long = types.int64
    return types.int32(long, long, long, long, long, long, long), _generate


block = cast(Any, intrinsic(_block))
"""Write a block, LEFT rows times RIGHT rows: addresses of left, right and found, each with its stride in bytes."""
