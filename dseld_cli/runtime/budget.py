"""The memory budget: what of it is left for arrays."""

from __future__ import annotations

from dseld_cli.errors import UserError

RUNTIME = 2**30
"""Bytes that Python, torch (a CUDA build: 0.7 GiB) and the allocator's slack take before any array of ours."""


def arrays_within(memory: int, needed: int, what: str) -> int:
    """Bytes that a budget leaves for arrays.

    Raises:
        UserError: if they are fewer than `needed`.

    """
    spare = memory - RUNTIME
    if spare < needed:
        least = (RUNTIME + needed) / 2**30
        raise UserError(f"run.memory: {memory / 2**30:.1f}GiB does not hold {what}; at least {least:.1f}GiB is needed")
    return spare
