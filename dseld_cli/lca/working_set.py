"""Exact K-step LCA codes at a few products with the dictionary: simulate a working set, prove the others silent.

The direct recurrence (`dynamics.respond`) multiplies 2 K times with the atoms, mostly to learn that silent neurons stay
silent. Here each image

1. starts from the atoms of largest |b| as its working set W (one product, `strongest`);
2. runs the recurrence of W alone, on G[W, W], in float64 (`kernels.simulate`);
3. multiplies the atoms with the few directions that the path of its residual takes, and bounds what every neuron
   outside W reaches (`certificate`, where the proof stands);
4. is done if none reaches lambda: then the simulation is the whole network's trajectory. Else those that might
   join W, and 2 to 4 run again; G[W, W] grows by the new rows alone.

Which atoms are taken into W, and how, decides the speed and nothing else: the code rests on step 4. An image that does
not get there (because W outgrows what pays off, or after MAX_ROUNDS) is computed by `respond`. Where the working set
itself diverges the image is reported unstable, without a code.

Choices:

- G[W, W] comes from the atoms, unless the caller hands over the stored Gramian, which is then read once a round
  (`look_up`) for the same codes. From 50,000 atoms of 1,280 features it costs about 1 ms an
  image; the store's 5.45 GB would be read once a round, 0.8 s each from the page cache at best (plain files, 6.6 GB/s),
  so it could only win from some 1,600 images a batch on, and with M^2 against the atoms' w^2 N the more atoms the less.
- The atoms are read in order only: once for the first look, and twice a round (to fetch the rows that are new in any
  W of the batch, then to screen). Rows are shared by the batch, so a larger batch costs fewer reads and less copying.
- Small linear algebra runs one image a thread, with single-threaded BLAS; the products with all atoms use all threads.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import Tensor

from dseld_cli.lca import kernels
from dseld_cli.lca.certificate import KNOTS, Certificate, Precision, certify, gamma
from dseld_cli.lca.codes import SparseCodes
from dseld_cli.lca.inhibition import AtomBlocks, GramianTiles, driving_input, silence, through_atoms
from dseld_cli.lca.recurrence import Dynamics, Response, respond, unstable
from dseld_cli.lca.screening import TILE, Skipped, Strongest, ragged, screen, strongest

Int64 = NDArray[np.int64]
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

START = 192
"""Atoms of largest |b| that a working set starts with."""

MARGIN = 0.005
"""The first certificate asks for silence by this share of lambda: what comes as near often fires in the end."""

MAX_ROUNDS = 12
"""An image that is not proved by then is computed directly. Two rounds prove nine images of ten."""

MOST_VIOLATORS = 1024
"""So many of the atoms that a certificate leaves unproved join a working set at once, those with the largest bounds."""

DIVERGED = 1e30
"""A working set whose energy passes this, or is no number, has diverged: there is no code to agree with."""

FEW_STEPS = 3
"""Up to so many steps the direct form needs no more products than this one."""

TYPICAL = 512
"""Neurons of a working set to provide for, on average: CIFAR-10 features need 380, MNIST pixels 200. Where a batch
needs more, its images are put off and coded in batches of half the size."""

LARGEST = 8192
"""No working set grows beyond this: its sub-Gramian alone takes 256 MiB."""

DIRECT_ELEMENTS = 2**24
"""Membrane potentials that the direct form holds at a time (it keeps about eight such arrays)."""


@dataclass
class Report:
    """What the codes of a batch cost.

    Attributes:
        products: (B,) full passes over the atoms that each image cost: products of all atoms with one vector.
        proved: (B,) bool, whether the image's certificate held; all others were computed directly or are unstable.
        unstable: (B,) bool, see `dynamics.unstable`.
        working_set: (B,) neurons simulated at last.
        reads: times that the atoms were read as a whole.
        seconds: wall clock a phase.

    """

    products: Float64
    proved: NDArray[np.bool_]
    unstable: NDArray[np.bool_]
    working_set: Int64
    reads: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Charge the time spent inside to a phase."""
        start = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


@dataclass(frozen=True)
class Coded:
    """Codes of B images; `energy` (B, K + 1) is E(a[k]) - E(0), as in `Response`."""

    codes: SparseCodes
    energy: Float64
    report: Report

    @classmethod
    def of(cls, response: Response, products: int) -> Coded:
        """Codes of the direct recurrence, at `products` passes over the atoms."""
        n, n_atoms = response.code.shape
        diverged = unstable(response.energy).cpu().numpy()
        report = Report(np.full(n, float(products)), np.zeros(n, bool), diverged, np.full(n, n_atoms))
        return cls(SparseCodes.from_response(response), response.energy.double().cpu().numpy(), report)


@dataclass(frozen=True)
class Outcome:
    """One image's code (atoms rising), with neurons firing (K,) and energy (K + 1,)."""

    atoms: Int64
    values: Float32
    firing: NDArray[np.int32]
    energy: Float64


@dataclass
class Image:
    """One image on its way: features (N,), atoms it must not use, working set W (w,), sub-Gramian G[W, W] so far."""

    features: Float32
    excluded: Int64
    working_set: Int64
    gram: Float32


@dataclass(frozen=True)
class Trial:
    """What a working set gave: the image's code, if the certificate holds. None certifies one that diverged."""

    outcome: Outcome
    certificate: Certificate | None


class Rows:
    """The atoms that any working set of the batch holds: ids rising, rows (U, N)."""

    def __init__(self, n_features: int) -> None:
        self.ids = np.zeros(0, np.int64)
        self.rows = np.zeros((0, n_features), np.float32)

    def add(self, wanted: Int64, atoms: AtomBlocks) -> bool:
        """Fetch what is not here yet, in one reading of the atoms; whether that was needed."""
        new = np.setdiff1d(wanted, self.ids)
        if len(new) == 0:
            return False
        ids = np.union1d(self.ids, new)
        rows = np.empty((len(ids), self.rows.shape[1]), np.float32)
        rows[np.searchsorted(ids, self.ids)] = self.rows
        for block_rows, block in atoms():
            here = new[np.searchsorted(new, block_rows.start) : np.searchsorted(new, block_rows.stop)]
            if len(here):
                rows[np.searchsorted(ids, here)] = block[torch.from_numpy(here - block_rows.start)].cpu().numpy()
        self.ids, self.rows = ids, rows
        return True

    def __getitem__(self, atoms: Int64) -> Float32:
        return self.rows[np.searchsorted(self.ids, atoms)]


def encode(
    features: Tensor,
    atoms: AtomBlocks,
    n_atoms: int,
    dynamics: Dynamics,
    *,
    gramian: GramianTiles | None = None,
    excluded: list[Int64] | None = None,
) -> Coded:
    """Code images S (B, N) over unit-norm atoms (n_atoms, N); `excluded[i]` are atoms that image i must not use."""
    batch = len(features)
    barred = [np.unique(out) for out in excluded or [np.zeros(0, np.int64)] * batch]
    report = Report(np.zeros(batch), np.zeros(batch, bool), np.zeros(batch, bool), np.zeros(batch, np.int64))
    outcomes: dict[int, Outcome] = {}
    parts = [list(range(batch))] if dynamics.steps > FEW_STEPS and batch else []
    while parts:
        part = parts.pop()
        proved, later = prove(features, part, atoms, n_atoms, dynamics, barred, report, gramian)
        outcomes |= proved
        half = (len(part) + 1) // 2
        parts += [later[start : start + half] for start in range(0, len(later), half)]
    rest = [i for i in range(batch) if i not in outcomes]
    with report.phase("direct"):
        outcomes |= compute_directly(features, atoms, n_atoms, dynamics, barred, rest)
    report.products[rest] += 2 * dynamics.steps - 1
    energy = np.stack([outcomes[i].energy for i in range(batch)]) if batch else np.zeros((0, dynamics.steps + 1))
    report.unstable[:] = unstable(torch.from_numpy(energy)).numpy()
    return Coded(assemble([outcomes[i] for i in range(batch)], dynamics.steps), energy, report)


def memory_needed(batch: int, n_atoms: int, n_features: int, steps: int) -> int:
    """Bytes that `encode` needs for a batch, beside the features and the block of atoms that the caller holds."""
    rows = 2 * min(batch * TYPICAL, n_atoms) * n_features  # all working sets' atoms, twice while they are added to
    image = TYPICAL**2 + KNOTS * n_features + 6 * MOST_VIOLATORS + 8 * TILE + 4 * steps
    task = torch.get_num_threads() * 2 * TYPICAL * n_features
    direct = 8 * min(DIRECT_ELEMENTS, batch * n_atoms)
    return 4 * (rows + batch * image + LARGEST**2 + task + direct + 4 * TILE * n_features)


def prove(
    features: Tensor, part: list[int], atoms: AtomBlocks, n_atoms: int, dynamics: Dynamics, excluded: list[Int64],
    report: Report, gramian: GramianTiles | None,
) -> tuple[dict[int, Outcome], list[int]]:  # fmt: skip
    """Code images `part` as far as they can be proved or found unstable, by image; and which images are put off."""
    with report.phase("driving input"):
        floor, skipped = 0.5 * dynamics.lambda_, Skipped.of([excluded[i] for i in part])
        start, precision, passes = strongest(features[part], atoms, START, floor, skipped)
    report.products[part] += passes
    report.reads += 1
    images = {
        i: Image(features[i].cpu().numpy(), excluded[i], start.best(row, START), np.zeros((0, 0), np.float32))
        for row, i in enumerate(part)
    }
    later: list[int] = []
    rows = Rows(features.shape[1])
    outcomes: dict[int, Outcome] = {}
    for margin in [MARGIN] + [0.0] * (MAX_ROUNDS - 1):
        with report.phase("gather atoms"):
            report.reads += rows.add(np.concatenate([image.working_set for image in images.values()]), atoms)
        if gramian:
            with report.phase("read Gramian"):
                look_up(list(images.values()), gramian)
        with report.phase("simulate"):
            trials = try_out(images, rows, dynamics, precision, margin)
        outcomes |= {i: trial.outcome for i, trial in trials.items() if trial.certificate is None}
        certificates = {i: trial.certificate for i, trial in trials.items() if trial.certificate is not None}
        with report.phase("screen"):
            skipped = Skipped.of([np.union1d(images[i].working_set, images[i].excluded) for i in certificates])
            violators, found = screen(
                list(certificates.values()), atoms, MOST_VIOLATORS, precision, skipped, features.device
            )
        report.reads += bool(certificates)
        for row, (i, certificate) in enumerate(certificates.items()):
            report.products[i] += len(certificate.references)
            report.working_set[i] = len(images[i].working_set)
            report.proved[i] = found[row] == 0
            if report.proved[i]:
                outcomes[i] = trials[i].outcome
            else:
                admit(images[i], violators, row)
        images = {i: images[i] for i in images if i not in outcomes and pays_off(images[i], n_atoms, dynamics)}
        while len(images) > 1 and crowded(images.values(), len(features)):
            later.append(max(images, key=lambda i: len(images[i].working_set)))
            del images[later[-1]]
        if not images:
            break
    return outcomes, later


def crowded(images: Iterable[Image], batch: int) -> bool:
    """Whether these images' working sets, or sub-Gramians, take more memory than `memory_needed` said of the batch."""
    sizes = np.array([len(image.working_set) for image in images])
    return bool(sizes.sum() > batch * TYPICAL or (sizes**2).sum() > batch * TYPICAL**2 + LARGEST**2)


def admit(image: Image, violators: Strongest, row: int) -> None:
    """Let the strongest violators into the working set."""
    image.working_set = np.concatenate([image.working_set, violators.best(row, MOST_VIOLATORS)])


def pays_off(image: Image, n_atoms: int, dynamics: Dynamics) -> bool:
    """Whether a working set of w neurons costs less than the direct form: w^2 / 2 products of atoms against 2 K M."""
    w = len(image.working_set)
    return w <= LARGEST and w * w < 4 * dynamics.steps * n_atoms and 2 * w < max(n_atoms, 2 * START)


def try_out(
    images: dict[int, Image], rows: Rows, dynamics: Dynamics, precision: Precision, margin: float
) -> dict[int, Trial]:
    """Simulate the working sets, one image a core: linear algebra of this size gains nothing from several."""
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(torch.get_num_threads()) as pool:
        trials = pool.map(lambda image: simulate(image, rows, dynamics, precision, margin), images.values())
        return dict(zip(images, trials, strict=True))


def simulate(image: Image, rows: Rows, dynamics: Dynamics, precision: Precision, margin: float) -> Trial:
    """Run the recurrence of the image's working set; the certificate asks for silence by `margin` below lambda."""
    atoms = rows[image.working_set]  # (w, N)
    image.gram = grown_gram(image.gram, atoms)
    b = (atoms @ image.features).astype(np.float64)
    norm_s = float(np.linalg.norm(image.features.astype(np.float64)))
    rounding = 2 * gamma(atoms.shape[1]) * precision.norm**2
    a, firing, energy, means, leak, gap = kernels.simulate(
        image.gram, b, norm_s, rounding, dynamics.lambda_, dynamics.tau, dynamics.steps, KNOTS
    )
    if not (np.abs(energy) < DIVERGED).all():
        return Trial(Outcome(np.zeros(0, np.int64), np.zeros(0, np.float32), firing, energy), None)
    fires = np.flatnonzero(a)
    fires = fires[np.argsort(image.working_set[fires])]
    outcome = Outcome(image.working_set[fires], a[fires].astype(np.float32), firing, energy)
    allowed = dynamics.lambda_ * (1 - margin)
    return Trial(outcome, certify(image.features, atoms, means, leak, gap, allowed, precision))


def grown_gram(gram: Float32, atoms: Float32) -> Float32:
    """G[W, W] (w, w) of atoms (w, N), whose first rows and columns are known from when W was smaller."""
    old, w = len(gram), len(atoms)
    if old == 0:
        return atoms @ atoms.T
    if old == w:
        return gram
    grown = np.empty((w, w), np.float32)
    grown[:old, :old] = gram
    grown[old:] = atoms[old:] @ atoms.T
    grown[:old, old:] = grown[old:, :old].T
    return grown


def look_up(images: list[Image], gramian: GramianTiles) -> None:
    """Take G[W, W] of every image out of the stored Gramian, in one reading of it."""
    sizes = np.array([len(image.working_set) for image in images])
    ends = np.cumsum(sizes**2)
    entries = np.empty(ends[-1], np.float32)
    order = [np.argsort(image.working_set) for image in images]
    indptr, positions = ragged(order)
    atoms = np.concatenate([image.working_set[o] for image, o in zip(images, order, strict=True)])
    for rows, columns, tile in gramian():
        kernels.look_up(
            tile.cpu().numpy(), rows.start, columns.start, indptr, atoms, positions, ends - sizes**2, entries
        )
    for image, end, w in zip(images, ends, sizes, strict=True):
        image.gram = entries[end - w * w : end].reshape(w, w)


def compute_directly(
    features: Tensor, atoms: AtomBlocks, n_atoms: int, dynamics: Dynamics, excluded: list[Int64], images: list[int]
) -> dict[int, Outcome]:
    """Code some images by the recurrence of all neurons, by image."""
    outcomes: dict[int, Outcome] = {}
    at_once = max(1, DIRECT_ELEMENTS // n_atoms)
    for start in range(0, len(images), at_once):
        part = images[start : start + at_once]
        b = driving_input(features[part], atoms, n_atoms)
        inhibition = silence(b, through_atoms(atoms, features.shape[1]), [excluded[i] for i in part])
        outcomes |= zip(part, outcomes_of(respond(b, inhibition, dynamics)), strict=True)
    return outcomes


def outcomes_of(response: Response) -> Iterator[Outcome]:
    """Take the images of a dense response apart."""
    for code, firing, energy in zip(response.code.cpu(), response.firing.cpu(), response.energy.cpu(), strict=True):
        atoms = code.nonzero()[:, 0]
        yield Outcome(atoms.numpy(), code[atoms].numpy(), firing.numpy(), energy.double().numpy())


def assemble(outcomes: list[Outcome], steps: int) -> SparseCodes:
    """Sparse codes of consecutive images."""
    indptr, indices = ragged([outcome.atoms for outcome in outcomes])
    values = np.concatenate([np.zeros(0, np.float32), *(outcome.values for outcome in outcomes)])
    firing = np.stack([outcome.firing for outcome in outcomes]) if outcomes else np.zeros((0, steps), np.int32)
    return SparseCodes(indptr, indices.astype(np.int32), values, firing)
