"""Tasks side by side."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info

from dseld_cli.runtime.engine import cores, in_order, on_all_cores, shares, workers


def test_results_come_in_order_and_tasks_are_drawn_few_ahead() -> None:
    drawn: list[int] = []

    def draw(n: int) -> int:
        drawn.append(n)
        return n

    for i, result in enumerate(in_order(lambda n: n * n, map(draw, range(50)))):
        assert result == i * i
        assert len(drawn) <= i + workers() + 2


def test_tasks_run_in_several_threads_each_with_its_share_of_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    before = torch.get_num_threads()
    both = threading.Barrier(2, timeout=30)
    shares = list(in_order(lambda _: (both.wait(), torch.get_num_threads(), blas_threads())[1:], range(2)))
    assert shares == [(1, {1})] * 2
    assert torch.get_num_threads() == before
    assert list(in_order(lambda _: torch.get_num_threads(), range(1))) == [1]


def blas_threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def test_cores_are_those_that_omp_num_threads_says_or_those_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3,2")
    assert cores() == 3
    assert shares(7) == [slice(0, 2), slice(2, 4), slice(4, 7)]
    assert on_all_cores(lambda n: n * n, range(9)) == [n * n for n in range(9)]
    assert shares(0) == [slice(0, 0)]
    monkeypatch.setenv("OMP_NUM_THREADS", "all")
    assert cores() == len(os.sched_getaffinity(0))


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


def test_where_a_task_fails_the_others_begin_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else an interruption, or an error, would be said when all the work is done."""
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    failed, begun = threading.Event(), []

    def task(n: int) -> None:
        begun.append(n)
        if n == 1:
            failed.set()
            raise ValueError("no")
        assert failed.wait(10)
        time.sleep(0.05)

    with pytest.raises(ValueError, match="no"):
        on_all_cores(task, range(100))
    assert len(begun) < 10


def test_the_main_thread_works_itself_where_there_is_one_task_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted in a compiled function, it would be told of a fault of that."""
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    here = threading.main_thread()
    assert here not in on_all_cores(lambda _: threading.current_thread(), range(50))
    assert on_all_cores(lambda _: threading.current_thread(), range(1)) == [here]


def test_tasks_that_have_tasks_of_their_own_never_wait_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads stay: all of them may be at work when more is asked of them."""
    monkeypatch.setenv("OMP_NUM_THREADS", "3")

    def squares(n: int) -> list[int]:
        return on_all_cores(lambda i: i * i, range(n))

    expected = [[i * i for i in range(n)] for n in range(40)]
    assert on_all_cores(squares, range(40)) == expected
    assert list(in_order(squares, range(40))) == expected


FORKED = """
import os, warnings
from dseld_cli.runtime.engine import on_all_cores
warnings.simplefilter("ignore")  # Python 3.12 warns of threads at a fork
def squares(): return on_all_cores(lambda n: n * n, range(100)) == [n * n for n in range(100)]
assert squares()
child = os.fork()
if child == 0:
    os._exit(0 if squares() else 1)
raise SystemExit(os.waitpid(child, 0)[1])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_process_that_is_forked_has_threads_of_its_own() -> None:
    env = os.environ | {"OMP_NUM_THREADS": "3"}
    subprocess.run([sys.executable, "-c", FORKED], env=env, timeout=60, check=True)


def test_what_numpy_is_to_ignore_here_it_ignores_in_every_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    with np.errstate(over="ignore"):
        found = on_all_cores(lambda x: np.float32(x) * np.float32(1e38), [10, 20, 30])
    assert np.isinf(found).all()
