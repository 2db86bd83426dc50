"""Blocks of inner products that stay in registers, for processors with AVX-512: written instruction by instruction.

Six rows times four: 24 sums, each of 16 lanes, and what is being multiplied fill the 32 registers, so that there are
more multiplications than loads. What a compiler makes of loops keeps half as many sums, and knows no bfloat16.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, cast

from llvmlite import binding, ir
from numba import types
from numba.core.registry import cpu_target
from numba.extending import intrinsic

ROWS, COLUMNS = 6, 4


@cache
def has_float32() -> bool:
    """Whether kernels are compiled for a processor that has these registers."""
    return "+avx512f" in _features()


@cache
def has_bfloat16() -> bool:
    """Whether it multiplies bfloat16, too; LLVM has a type for that since its version 17."""
    return "+avx512bf16" in _features() and binding.llvm_version_info >= (17,)


def _features() -> list[str]:
    _, _, features = cpu_target.target_context.codegen().magic_tuple()
    return str(features).split(",")


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
_PAIRS = ir.VectorType(_BFloat16(), 32)
_ZERO = ir.Constant(_SUMS, [0.0] * 16)


def _block(factors: Any, multiply_add: Callable[[Any, Any, Any, Any], Any]) -> Any:
    """Make a block of vectors of `factors`, which take 64 bytes each, and of what adds products of two to sums."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Sequence[Any]) -> Any:
        """Loop over the features, with all sums in registers; then add each one's lanes, and store them."""
        rows, columns = arguments[:ROWS], arguments[ROWS : ROWS + COLUMNS]
        steps, found, stride = arguments[ROWS + COLUMNS :]
        before, loop, after = builder.block, builder.append_basic_block(), builder.append_basic_block()
        builder.branch(loop)
        builder.position_at_end(loop)
        step, sums = builder.phi(_INT64), [builder.phi(_SUMS) for _ in range(ROWS * COLUMNS)]
        done = builder.mul(step, _INT64(64))

        def load(row: Any) -> Any:
            return builder.load(builder.inttoptr(builder.add(row, done), factors.as_pointer()), align=2)

        right, more = [load(column) for column in columns], []
        for p, row in enumerate(rows):
            left = load(row)
            more += [multiply_add(builder, left, right[q], sums[p * COLUMNS + q]) for q in range(COLUMNS)]
        next_step = builder.add(step, _INT64(1))
        builder.cbranch(builder.icmp_signed("<", next_step, steps), loop, after)
        for value, first, then in zip(
            [step, *sums], [_INT64(0), *[_ZERO] * len(sums)], [next_step, *more], strict=True
        ):
            value.add_incoming(first, before)
            value.add_incoming(then, loop)
        builder.position_at_end(after)
        for p in range(ROWS):
            place = builder.inttoptr(builder.add(found, builder.mul(stride, _INT64(p))), _FOUR.as_pointer())
            builder.store(_sums_of_lanes(builder, more[p * COLUMNS : (p + 1) * COLUMNS]), place, align=4)
        return _INT32(0)

    def typed(
        _context: Any, _a: Any, _b: Any, _c: Any, _d: Any, _e: Any, _f: Any, _w: Any, _x: Any, _y: Any, _z: Any,
        _steps: Any, _found: Any, _stride: Any,
    ) -> Any:  # fmt: skip
        return types.int32(*[types.int64] * (ROWS + COLUMNS + 3)), generate

    return cast(Any, intrinsic(typed))


def _multiply_add(builder: Any, left: Any, right: Any, sums: Any) -> Any:
    fma = _function(builder, "llvm.fma.v16f32", [_SUMS, _SUMS, _SUMS])
    return builder.call(fma, [left, right, sums])


def _multiply_pairs_add(builder: Any, left: Any, right: Any, sums: Any) -> Any:
    dot = _function(builder, "llvm.x86.avx512bf16.dpbf16ps.512", [_SUMS, _PAIRS, _PAIRS])
    return builder.call(dot, [sums, left, right])


def _function(builder: Any, name: str, arguments: Sequence[Any]) -> Any:
    return builder.module.globals.get(name) or ir.Function(builder.module, ir.FunctionType(_SUMS, arguments), name)


def _sums_of_lanes(builder: Any, four: Sequence[Any]) -> Any:
    """Add the lanes of each of four vectors, in the same order: a vector of four sums."""

    def take(x: Any, y: Any, lanes: Sequence[int]) -> Any:
        return builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(_INT32, len(lanes)), list(lanes)))

    def add(x: Any, y: Any, first: Sequence[int], second: Sequence[int]) -> Any:
        return builder.fadd(take(x, y, first), take(x, y, second))

    halves = [add(x, x, range(8), range(8, 16)) for x in four]
    a, b, c, d = (add(x, x, range(4), range(4, 8)) for x in halves)
    ab, cd = (add(x, y, (0, 4, 1, 5), (2, 6, 3, 7)) for x, y in ((a, b), (c, d)))
    return add(ab, cd, (0, 1, 4, 5), (2, 3, 6, 7))


block_of_float32 = _block(_SUMS, _multiply_add)
"""Write inner products of six rows with four, (6, 4): addresses of the rows, steps of 16 features (one at least), the
address of the first product, and the bytes from a row of them to the next."""

block_of_bfloat16 = _block(_PAIRS, _multiply_pairs_add)
"""The same of rows of bfloat16, in steps of 32 features, which are summed in float32."""
