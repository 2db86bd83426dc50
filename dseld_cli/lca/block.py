"""Blocks of inner products that stay in registers, written instruction by instruction.

As many sums as there are registers for, so that there are more multiplications than loads: what a compiler makes of
loops has half as many with AVX-512, and does not multiply integers of 16 bits, two of which take the room of a float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

from llvmlite import ir
from numba import types
from numba.core.registry import cpu_target
from numba.extending import intrinsic

COLUMNS = 4


@cache
def compiled_for(instructions: str) -> bool:
    """Whether kernels are compiled for a processor that has these: avx2, avx512f, avx512bw."""
    _, _, features = cpu_target.target_context.codegen().magic_tuple()
    return f"+{instructions}" in str(features).split(",")


LANES, INTEGER_ROWS = (16, 6) if compiled_for("avx512bw") else (8, 2)
"""Sums of integers per register, and rows of a block of them: with AVX-512 there are 32 registers, else 16."""

FLOAT_ROWS, FLOAT_LANES = 6, 16
"""The same of float32, of which blocks are made for AVX-512 alone."""

_INT32, _INT64, _FLOAT = ir.IntType(32), ir.IntType(64), ir.FloatType()


@dataclass(frozen=True)
class _Kind:
    """Vectors of factors and of sums, what adds products of two to a third, and two sums."""

    factors: Any
    sums: Any
    multiply_add: Callable[[Any, Any, Any, Any], Any]
    add: str

    @property
    def size(self) -> int:
        """Bytes of a vector."""
        return 4 * int(self.sums.count)


def _in_registers(builder: Any, rows: Sequence[Any], columns: Sequence[Any], steps: Any, kind: _Kind) -> list[Any]:
    """Loop over the features of rows and columns, given by address: for each row, and each column, a vector of sums."""
    before, loop, after = builder.block, builder.append_basic_block(), builder.append_basic_block()
    builder.branch(loop)
    builder.position_at_end(loop)
    step, sums = builder.phi(_INT64), [builder.phi(kind.sums) for _ in range(len(rows) * len(columns))]
    done = builder.mul(step, _INT64(kind.size))

    def load(row: Any) -> Any:
        return builder.load(builder.inttoptr(builder.add(row, done), kind.factors.as_pointer()), align=2)

    right, more = [load(column) for column in columns], []
    for p, row in enumerate(rows):
        left = load(row)
        more += [kind.multiply_add(builder, left, y, sums[p * len(right) + q]) for q, y in enumerate(right)]
    next_step, zero = builder.add(step, _INT64(1)), ir.Constant(kind.sums, None)
    builder.cbranch(builder.icmp_signed("<", next_step, steps), loop, after)
    for value, first, then in zip([step, *sums], [_INT64(0), *[zero] * len(sums)], [next_step, *more], strict=True):
        value.add_incoming(first, before)
        value.add_incoming(then, loop)
    builder.position_at_end(after)
    return more


def _sums_of_lanes(builder: Any, four: Sequence[Any], kind: _Kind) -> Any:
    """Add the lanes of each of four vectors, in the same order: a vector of four sums."""

    def take(x: Any, y: Any, lanes: Sequence[int]) -> Any:
        return builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(_INT32, len(lanes)), list(lanes)))

    def add(x: Any, y: Any, first: Sequence[int], second: Sequence[int]) -> Any:
        return getattr(builder, kind.add)(take(x, y, first), take(x, y, second))

    lanes = int(kind.sums.count)
    while lanes > 4:
        lanes //= 2
        four = [add(x, x, range(lanes), range(lanes, 2 * lanes)) for x in four]
    a, b, c, d = four
    ab, cd = (add(x, y, (0, 4, 1, 5), (2, 6, 3, 7)) for x, y in ((a, b), (c, d)))
    return add(ab, cd, (0, 1, 4, 5), (2, 3, 6, 7))


def _nth(builder: Any, base: Any, stride: Any, n: int) -> Any:
    return builder.add(base, builder.mul(stride, _INT64(n)))


def _four(builder: Any, address: Any) -> Any:
    return builder.inttoptr(address, ir.VectorType(_FLOAT, 4).as_pointer())


def _function(builder: Any, name: str, result: Any, arguments: Sequence[Any]) -> Any:
    return builder.module.globals.get(name) or ir.Function(builder.module, ir.FunctionType(result, arguments), name)


_FLOATS = ir.VectorType(_FLOAT, FLOAT_LANES)
_INTEGERS, _PAIRS = ir.VectorType(_INT32, LANES), ir.VectorType(ir.IntType(16), 2 * LANES)
_MULTIPLY_PAIRS = {8: "llvm.x86.avx2.pmadd.wd", 16: "llvm.x86.avx512.pmaddw.d.512"}[LANES]


def _multiply_add(builder: Any, left: Any, right: Any, sums: Any) -> Any:
    fma = _function(builder, f"llvm.fma.v{FLOAT_LANES}f32", _FLOATS, [_FLOATS] * 3)
    return builder.call(fma, [left, right, sums])


def _multiply_pairs_add(builder: Any, left: Any, right: Any, sums: Any) -> Any:
    """One instruction where there is one (VNNI), else two."""
    pairs = builder.call(_function(builder, _MULTIPLY_PAIRS, _INTEGERS, [_PAIRS] * 2), [left, right])
    return builder.add(sums, pairs)


_OF_FLOAT32 = _Kind(_FLOATS, _FLOATS, _multiply_add, "fadd")
_OF_INTEGERS = _Kind(_PAIRS, _INTEGERS, _multiply_pairs_add, "add")


def _block_of_float32(_context: Any, builder: Any, _signature: Any, arguments: Sequence[Any]) -> Any:
    rows, columns = arguments[:FLOAT_ROWS], arguments[FLOAT_ROWS : FLOAT_ROWS + COLUMNS]
    steps, found, stride = arguments[FLOAT_ROWS + COLUMNS :]
    sums = _in_registers(builder, rows, columns, steps, _OF_FLOAT32)
    for p in range(FLOAT_ROWS):
        row = _sums_of_lanes(builder, sums[p * COLUMNS : (p + 1) * COLUMNS], _OF_FLOAT32)
        builder.store(row, _four(builder, _nth(builder, found, stride, p)), align=4)
    return _INT32(0)


def _block_of_integers(_context: Any, builder: Any, _signature: Any, arguments: Sequence[Any]) -> Any:
    left, left_stride, right, right_stride, steps, left_scales, right_scales, found, stride = arguments
    rows = [_nth(builder, left, left_stride, p) for p in range(INTEGER_ROWS)]
    columns = [_nth(builder, right, right_stride, q) for q in range(COLUMNS)]
    sums = _in_registers(builder, rows, columns, steps, _OF_INTEGERS)
    of_columns = builder.load(_four(builder, right_scales), align=4)
    for p in range(INTEGER_ROWS):
        row = _sums_of_lanes(builder, sums[p * COLUMNS : (p + 1) * COLUMNS], _OF_INTEGERS)
        of_row = builder.load(builder.inttoptr(_nth(builder, left_scales, _INT64(4), p), _FLOAT.as_pointer()))
        scales = of_columns.type(ir.Undefined)
        for q in range(COLUMNS):
            scales = builder.insert_element(scales, of_row, _INT32(q))
        products = builder.fmul(builder.fmul(builder.sitofp(row, of_columns.type), scales), of_columns)
        builder.store(products, _four(builder, _nth(builder, found, stride, p)), align=4)
    return _INT32(0)


def _float32(
    _context: Any, _a: Any, _b: Any, _c: Any, _d: Any, _e: Any, _f: Any, _w: Any, _x: Any, _y: Any, _z: Any,
    _steps: Any, _found: Any, _stride: Any,
) -> Any:  # fmt: skip
    return types.int32(*[types.int64] * 13), _block_of_float32


def _integers(
    _context: Any, _left: Any, _left_stride: Any, _right: Any, _right_stride: Any, _steps: Any, _left_scales: Any,
    _right_scales: Any, _found: Any, _stride: Any,
) -> Any:  # fmt: skip
    return types.int32(*[types.int64] * 9), _block_of_integers


block_of_float32 = cast(Any, intrinsic(_float32))
"""Write inner products of six rows with four, (6, 4): addresses of the rows, steps of 16 features (one at least), the
address of the first product, and the bytes from a row of them to the next."""

block_of_integers = cast(Any, intrinsic(_integers))
"""Write inner products of INTEGER_ROWS rows of 16-bit integers with four, times the scales of both: addresses of either
side, each with its bytes from a row to the next; steps of 2 LANES features; addresses of the scales; and as above. No
sum may leave 32 bits."""
