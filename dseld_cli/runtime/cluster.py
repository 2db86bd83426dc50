"""Blocks of work, here or on Dask: in processes of this machine, or on a cluster that is there (SLURM, Kubernetes).

A block is frozen, can be pickled, and names its inputs by path and fingerprint; its work writes what it makes aside and
returns where. So only the process that was started by hand changes a store, whoever computes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from dseld_cli import __version__
from dseld_cli.errors import DoesNotFit, UserError
from dseld_cli.runtime.allocator import keep_freed_memory
from dseld_cli.runtime.console import say
from dseld_cli.runtime.engine import cores, one_core_each


class Block(Protocol):
    """A piece of work."""

    @property
    def number(self) -> int:
        """Which of them it is."""


T = TypeVar("T", bound=Block)
R = TypeVar("R")

PATIENCE = 30
"""Seconds in which a scheduler has to answer."""
BUNDLE = 32
"""Small blocks that are handed out together, at most: more than a worker has cores, and few to lose with it."""
LOCAL = re.compile(r"local:([1-9]\d*)")


class Engine(Protocol):
    """Does blocks of work."""

    def place(self, path: Path, url: str | None = None) -> Path | str:
        """Name what lies here, or also at a URL, so that whoever does a block finds it."""

    def as_done(self, work: Callable[[T], R], blocks: Iterable[T]) -> Generator[tuple[T, R], None, None]:
        """Yield each block with what its work returned, in whatever order they are done; closed, it gives up the rest.

        Raises:
            Exception: what the work of a block raised; the others are given up.

        """

    def one_core_each(
        self, work: Callable[[T], R], blocks: Sequence[T], most: int
    ) -> Generator[tuple[T, R], None, None]:
        """Do the same with many small blocks: whoever does some of them does at most so many at once, each on one core.

        Raises:
            Exception: as `as_done` does.

        """


class Here:
    """Does blocks in this process."""

    def place(self, path: Path, url: str | None = None) -> Path | str:
        """Name a file as it is named here."""
        return path

    def as_done(self, work: Callable[[T], R], blocks: Iterable[T]) -> Generator[tuple[T, R], None, None]:
        """Yield each block with what its work, which uses all cores, returned, in order."""
        return ((block, work(block)) for block in blocks)

    def one_core_each(
        self, work: Callable[[T], R], blocks: Sequence[T], most: int
    ) -> Generator[tuple[T, R], None, None]:
        """Yield each small block with what its work returned, in order."""
        yield from zip(blocks, one_core_each(work, blocks, most), strict=True)


HERE = Here()


@dataclass(frozen=True)
class Bundle(Generic[T, R]):
    """Small blocks that are handed out together.

    Attributes:
        work: what is done with each.
        blocks: at least one of them.
        most: how many are done at once.

    """

    work: Callable[[T], R]
    blocks: Sequence[T]
    most: int

    @property
    def number(self) -> int:
        """Which block comes first."""
        return self.blocks[0].number


def _all_of(bundle: Bundle[T, R]) -> list[R]:
    return list(one_core_each(bundle.work, bundle.blocks, bundle.most))


@dataclass(frozen=True)
class Dask:
    """Does blocks on the workers of a Dask cluster, as many as there are at any moment: no block waits at a worker."""

    client: Any

    def place(self, path: Path, url: str | None = None) -> Path | str:
        """Name a URL, or a file from the root: workers may have been started elsewhere, on the same file system."""
        return url or path.absolute()

    def as_done(self, work: Callable[[T], R], blocks: Iterable[T]) -> Generator[tuple[T, R], None, None]:
        """Yield each block with what its work returned; a block whose worker is lost is done by another.

        Raises:
            UserError: if a block ends one worker after another.

        """
        executor, waiting, todo = self.client.get_executor(pure=False), dict[Future[R], T](), iter(blocks)
        try:
            while True:
                room = self._at_once() - len(waiting)  # of a dead worker, all it has is suspect
                for _, block in zip(range(room), todo, strict=False):
                    waiting[executor.submit(_on_worker, work, block)] = block
                if not waiting:
                    return
                for done in wait(waiting, return_when=FIRST_COMPLETED).done:
                    block = waiting.pop(done)  # and forget it: what is held is done again if its worker dies
                    yield block, _result(done, block)
        finally:
            for left in waiting:
                left.cancel()
            executor.shutdown(wait=False)

    def one_core_each(
        self, work: Callable[[T], R], blocks: Sequence[T], most: int
    ) -> Generator[tuple[T, R], None, None]:
        """Yield each small block with what its work returned; each worker has some bundles of them to do."""
        n = max(1, min(BUNDLE, len(blocks) // (4 * self._at_once())))
        bundles = (Bundle(work, blocks[start : start + n], most) for start in range(0, len(blocks), n))
        with closing(self.as_done(_all_of, bundles)) as done:
            for bundle, results in done:
                yield from zip(bundle.blocks, results, strict=True)

    def _at_once(self) -> int:
        """How many blocks are worked on at this moment, if there are enough."""
        return max(1, sum(map(int, self.client.nthreads().values())))


def _on_worker(work: Callable[[T], R], block: T) -> R:
    keep_freed_memory()
    return work(block)


def _result(done: Future[R], block: Block) -> R:
    """Read what a block's work returned.

    Raises:
        UserError: if it ended all workers that tried.

    """
    from distributed.scheduler import KilledWorker

    try:
        return done.result()
    except KilledWorker as error:
        raise UserError(
            f"block {block.number} ended every worker that tried it, the last at {error.last_worker.address}: its log "
            "tells why; too little memory, perhaps. What is done is kept: run the same command again"
        ) from None


def require_version(wanted: str) -> None:
    """Refuse to do blocks of another version of dseld.

    Raises:
        DoesNotFit: if the run was begun by one.

    """
    if wanted != __version__:
        raise DoesNotFit(f"a worker has dseld {__version__}, this is {wanted}: install the same on both")


@contextmanager
def engine(name: str, scheduler: str, memory: int) -> Iterator[Engine]:
    """Make ready what blocks are done by: "threads", or "dask" at a scheduler.

    Args:
        name: of the engine.
        scheduler: tcp://HOST:PORT or tls://HOST:PORT, a scheduler file, or local:N for N processes of this machine.
        memory: budget of each block in bytes.

    Raises:
        UserError: if Dask is not installed, the scheduler does not answer, or a worker may not use so much memory.

    """
    if name == "threads":
        yield HERE
        return
    try:
        import distributed
    except ImportError:
        raise UserError("run.engine: dask needs Dask: pip install 'dseld[dask]'") from None
    with ExitStack() as stack:
        address = (
            stack.enter_context(_local(distributed, int(found[1]))) if (found := LOCAL.fullmatch(scheduler)) else None
        )
        client = stack.enter_context(_client(distributed, address or scheduler))
        if not client.nthreads():
            say(f"waiting for a worker of {scheduler}")
        client.wait_for_workers(1)
        _require_memory(client, memory)
        yield Dask(client)


@contextmanager
def _local(distributed: Any, n: int) -> Iterator[Any]:
    """Start processes of this machine, among which its cores are shared; each keeps the budget by itself."""
    threads = max(1, cores() // n)
    with distributed.LocalCluster(
        n_workers=n,
        threads_per_worker=1,
        memory_limit=0,
        dashboard_address="127.0.0.1:0",
        env={"OMP_NUM_THREADS": threads},
        silence_logs="CRITICAL",
    ) as cluster:
        yield cluster


@contextmanager
def _client(distributed: Any, scheduler: Any) -> Iterator[Any]:
    """Connect with a scheduler.

    Raises:
        UserError: if it does not answer, or there is no such file.

    """
    if isinstance(scheduler, str):
        is_file = "://" not in scheduler
        if is_file and not Path(scheduler).is_file():
            raise UserError(
                f"run.scheduler: {scheduler} is no file, and neither tcp://HOST:PORT nor local:N: start a scheduler "
                "with `dask scheduler --scheduler-file FILE`, or use local:2"
            )
        where = {"scheduler_file": scheduler} if is_file else {"address": scheduler}
    else:
        where = {"address": scheduler}
    try:
        client = distributed.Client(**where, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UserError(f"run.scheduler: no Dask scheduler answers at {scheduler}: {error}") from None
    with client:
        yield client


def _require_memory(client: Any, memory: int) -> None:
    """Refuse workers that would be ended for using what they are given.

    Raises:
        UserError: naming the first.

    """
    for worker in client.scheduler_info(n_workers=-1)["workers"].values():
        limit, at_once = worker["memory_limit"] or 0, worker["nthreads"]
        if limit and limit < at_once * memory:
            raise UserError(
                f"worker {worker['name']} may use {limit / 2**30:.1f} GiB, and does {at_once} blocks of run.memory "
                f"({memory / 2**30:.1f} GiB) at once: start it with --nthreads 1 and a larger --memory-limit, or lower "
                "run.memory"
            )
