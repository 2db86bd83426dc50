"""Tasks side by side."""

import threading

import pytest
import torch

from dseld_cli.runtime.engine import in_order, torch_threads, workers


def test_results_come_in_order_and_tasks_are_drawn_few_ahead() -> None:
    drawn: list[int] = []

    def draw(n: int) -> int:
        drawn.append(n)
        return n

    for i, result in enumerate(in_order(lambda n: n * n, map(draw, range(50)))):
        assert result == i * i
        assert len(drawn) <= i + workers() + 2


def test_tasks_run_in_several_threads_each_with_its_share_of_the_cores() -> None:
    with torch_threads(2):
        both = threading.Barrier(2, timeout=30)
        shares = list(in_order(lambda _: (both.wait(), torch.get_num_threads())[1], range(2)))
        assert shares == [1, 1]
        assert torch.get_num_threads() == 2
        assert list(in_order(lambda _: torch.get_num_threads(), range(1))) == [1]


def test_a_task_that_fails_ends_the_rest_and_leaves_the_threads_as_they_were() -> None:
    before = torch.get_num_threads()

    def work(n: int) -> int:
        if n == 3:
            raise ValueError("three")
        return n

    seen = []
    with pytest.raises(ValueError, match="three"):
        seen.extend(in_order(work, iter(range(100))))
    assert torch.get_num_threads() == before
