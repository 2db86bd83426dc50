"""Compiled loads from an address: how kernels read single entries of arrays that are mapped into memory in many pieces.

Whoever calls them keeps those arrays alive, and asks for nothing outside of them: no check is made here.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic


@intrinsic  # type: ignore[misc]
def load32(_context: Any, _address: Any) -> Any:
    """Four bytes at an address (uint64), as uint32."""
    return types.uint32(types.uint64), _loading(32)


@intrinsic  # type: ignore[misc]
def load16(_context: Any, _address: Any) -> Any:
    """Two bytes at an address (uint64), as uint32."""
    return types.uint32(types.uint64), _loading(16)


def _loading(bits: int) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        value = builder.load(builder.inttoptr(arguments[0], ir.IntType(bits).as_pointer()))
        return value if bits == 32 else builder.zext(value, ir.IntType(32))

    return generate
