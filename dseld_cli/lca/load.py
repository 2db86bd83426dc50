"""Compiled loads from an address: how kernels read single entries of arrays that are mapped into memory in many pieces.

Whoever calls them keeps those arrays alive, and asks for nothing outside of them: no check is made here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir
from numba import types
from numba.extending import intrinsic


def _load32(_context: Any, _address: Any) -> Any:
    return types.uint32(types.uint64), _loading(32)


def _load16(_context: Any, _address: Any) -> Any:
    return types.uint32(types.uint64), _loading(16)


def _loading(bits: int) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        value = builder.load(builder.inttoptr(arguments[0], ir.IntType(bits).as_pointer()))
        return value if bits == 32 else builder.zext(value, ir.IntType(32))

    return generate


load32 = cast(Callable[[Any], Any], intrinsic(_load32))
"""Four bytes at an address (uint64), as uint32."""
load16 = cast(Callable[[Any], Any], intrinsic(_load16))
"""Two bytes at an address (uint64), as uint32."""
