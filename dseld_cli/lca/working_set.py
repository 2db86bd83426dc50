"""Exact K-step LCA codes at a few products with the dictionary: simulate a working set, prove the others silent.

The direct recurrence (`recurrence.run_lca`) multiplies 2 K times with the atoms, mostly to learn that silent neurons
stay silent. Here each image

1. starts from the atoms of largest |b| as its working set W (`screening.strongest`);
2. runs the recurrence of W alone, on G[W, W], in float64 (`path.simulate`);
3. asks a sketch of the dictionary who else might fire: they join, and 2 runs again;
4. multiplies the atoms with the few directions that the path of its residual takes, and bounds what every neuron
   outside W reaches (`certificate`, where the proof stands);
5. is done if none reaches lambda: then the simulation is the whole network's trajectory. Else those that might join W,
   and 2 runs again. The path moves little by that. So, of all atoms, only those that were nearest to lambda, the watch
   list of 4, are looked at again, by the products that they had, and exactly where those leave doubt; 4 itself only if
   the path moved by more than the list covers.

Which atoms are taken into W, and how, decides the speed and nothing else: the code rests on the bounds of 4 and 5. An
image that does not get there (because W outgrows what pays off, or after MAX_ROUNDS) is computed by `run_lca`. Where
the working set itself diverges the image is reported unstable, without a code.

Choices:

- G[W, W] is looked up in the stored Gramian where the caller hands it over, else computed from the atoms
  (`subgramian`).
- Atoms that are not in memory are read in order only: to screen, and to fetch the rows that are new in any W of the
  batch. Rows are shared by the batch, so a larger batch costs fewer reads.
- Small linear algebra runs one image per thread; the products with all atoms use all cores.
- An image's bits depend on its own code alone, not on its batch, nor on the number of threads (`path`, `subgramian`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from dseld_cli.lca import certificate, path, search
from dseld_cli.lca.atoms import TILE, Atoms, Rows
from dseld_cli.lca.certificate import KNOTS, MAX_REFERENCES, Certificates, Precision
from dseld_cli.lca.inhibition import GramianTiles
from dseld_cli.lca.knots import gamma
from dseld_cli.lca.products import Products
from dseld_cli.lca.recurrence import LCAParams
from dseld_cli.lca.report import Report
from dseld_cli.lca.screening import KNOWN, SKETCHED, Ragged, Screen, Strongest, Watched
from dseld_cli.lca.subgramian import StoredGramian, WorkingSet, from_atoms, from_store
from dseld_cli.runtime.engine import cores, on_all_cores

Int64 = NDArray[np.int64]
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

START = 128
"""Atoms of largest |b| that a working set starts with."""

MOST_GUESSED = 300
"""At most so many join on the word of the sketch."""

MARGIN = 0.005
"""What comes within this share of lambda often fires in the end: where some atoms join, so do these."""

SLACK = 0.1
"""Atoms within this share of lambda are watched: so far may the path move before all atoms are screened again."""

MAX_ROUNDS = 12
"""An image that is not proved by then is computed directly. One round proves nearly all images."""

MAX_LOOKS = 8
"""So often a watch list is looked through after one screening of all atoms."""

MOST_VIOLATORS = 2048
"""So many of the atoms nearest to lambda, or beyond, are kept, those with the largest bounds."""

DIVERGED = 1e30
"""A working set whose energy passes this, or is no number, has diverged."""

TYPICAL = 512
"""Neurons of a working set to provide for, on average: CIFAR-10 features need 250, MNIST pixels 200. Where a batch
needs more, the images that need most wait until the others are done."""

LARGEST = 8192
"""No working set grows beyond this: its sub-Gramian alone takes 256 MiB."""


@dataclass(frozen=True)
class Outcome:
    """One image's code (atoms rising), with neurons firing (K,), how many ever did, and energy (K + 1,)."""

    atoms: Int64
    values: Float32
    firing: NDArray[np.int32]
    fired: int
    energy: Float64


@dataclass(eq=False)
class Image:
    """One image on its way; equal to itself alone.

    Attributes:
        number: which of the batch it is.
        features: (N,).
        excluded: atoms that it must not use.
        working_set: W and G[W, W].
        outcome: what simulating W gave, if it did not diverge.
        fired: atoms of W that ever fired, (f,).
        path: A (C, f), c (C,), gap (C,) of the path's knots.
        watched: atoms that came within SLACK of lambda when all were screened.
        covered: how far the path may move from that one before the list says nothing.
        fresh: whether the sketch has not been asked about it.
        slot: which of the certificates is its.

    """

    number: int
    features: Float32
    excluded: Int64
    working_set: WorkingSet
    outcome: Outcome | None = None
    fired: Int64 = field(default_factory=lambda: np.zeros(0, np.int64))
    path: tuple[Float64, Float64, Float64] = (np.zeros((0, 0)), np.zeros(0), np.zeros(0))
    watched: Watched = field(default_factory=Watched.none)
    covered: float = 0.0
    fresh: bool = True
    slot: int = 0

    def waiting(self) -> Image:
        """Keep its working set's atoms and nothing else, until there is room for their matrix."""
        return Image(self.number, self.features, self.excluded, WorkingSet(self.working_set.atoms), fresh=False)

    def admit(self, atoms: Int64) -> None:
        """Let atoms into the working set."""
        self.working_set.atoms = np.concatenate([self.working_set.atoms, atoms])


class WorkingSets:
    """Codes batches of images over some atoms, as far as they can be proved, in memory that is provided for `most`."""

    def __init__(
        self, atoms: Atoms, screen: Screen, params: LCAParams, gramian: GramianTiles | None, most: int
    ) -> None:
        self.atoms, self.screen, self.params, self.most = atoms, screen, params, most
        self.gramian = StoredGramian(gramian) if gramian else None

    def encode(self, features: Float32, excluded: Sequence[Int64], report: Report) -> dict[int, Outcome]:
        """Code images (B, N) as far as they can be proved or found unstable: outcomes by image."""
        outcomes: dict[int, Outcome] = {}
        products = self.screen.prepare(len(features))
        waiting = self._begun(features, excluded, products, report) if len(features) else []
        while waiting:
            later: list[Image] = []
            part = put_off(waiting, self.most, later)
            self._encode(part, products, report, outcomes, later)
            waiting = later
        return outcomes

    def _begun(self, features: Float32, excluded: Sequence[Int64], products: Products, report: Report) -> list[Image]:
        """Begin working sets with the atoms of largest |b|."""
        with report.phase("driving input"):
            floor = 0.5 * self.params.lambda_
            start, cost = self.screen.strongest(features, START, floor, Ragged.of(excluded), products)
            report.products += cost
            report.reads += self.screen.sketch is None
        return [Image(i, image, excluded[i], WorkingSet(start.of(i)[0][:START])) for i, image in enumerate(features)]

    def _encode(
        self, images: list[Image], products: Products, report: Report, outcomes: dict[int, Outcome],
        later: list[Image],
    ) -> None:  # fmt: skip
        """Code images that fit in memory together, but for those that turn out not to, which are added to `later`."""
        rows, precision = Rows(self.atoms), products.precision
        certificates = Certificates.empty(len(images), self.atoms.shape[1])
        for slot, image in enumerate(images):
            image.slot = slot

        certify = partial(self._certify, rows, precision, certificates)
        images = self._simulate(images, rows, report, outcomes, precision, certify)
        fresh = [image for image in images if image.fresh]
        if self.screen.sketch and fresh:
            with report.phase("sketch"):
                joined = self._guess(fresh, certificates, products, report)
            stay = [image for image in images if image not in joined]
            images = stay + self._simulate(joined, rows, report, outcomes, precision, certify)
        for _ in range(MAX_ROUNDS):
            images = put_off(images, self.most, later)
            images = self._round(images, rows, certificates, products, report, outcomes, later)
            if not images:
                break

    def _round(
        self, images: list[Image], rows: Rows, certificates: Certificates, products: Products, report: Report,
        outcomes: dict[int, Outcome], later: list[Image],
    ) -> list[Image]:  # fmt: skip
        """Put images' certificates to all atoms, follow those whose path moves; which are to be screened again."""
        with report.phase("screen"):
            near = self._screen(images, certificates, products, report)
        moving = []
        for i, image in enumerate(images):
            image.watched, image.covered = near.watched(i), -float(near.floors[i])
            moving += self._take(image, image.watched.atoms, image.watched.excess, report, outcomes)
        precision, lost = products.precision, list[Image]()
        seen: dict[int, tuple[Int64, Float32] | None] = {}
        certify = partial(self._certify, rows, precision, certificates)

        def look_again(image: Image) -> None:
            seen[image.slot] = self._look_again(image, rows, certificates, precision)

        for look in range(MAX_LOOKS + 1):
            if not moving:
                break
            moving = put_off(moving, self.most, later)
            if look == MAX_LOOKS or not self._fetch_watched(moving, rows, report):
                lost += self._simulate(moving, rows, report, outcomes, precision, certify)
                break
            moving = self._simulate(moving, rows, report, outcomes, precision, look_again)
            looked, moving = moving, []
            for image in looked:
                found = seen[image.slot]
                if found is None:
                    lost.append(image)
                    continue
                report.products[image.number] += len(found[0]) * MAX_REFERENCES / self.atoms.shape[0]
                moving += self._take(image, *found, report, outcomes)
        return lost

    def _fetch_watched(self, images: list[Image], rows: Rows, report: Report) -> bool:
        """Fetch the atoms that are watched, and those that join, if they do not take too much memory."""
        wanted = [image.watched.atoms for image in images] + [image.working_set.atoms for image in images]
        ids = np.concatenate([np.zeros(0, np.int64), *wanted])
        if rows.atoms.resident is None and len(np.union1d(ids, rows.ids)) > self.most * TYPICAL:
            return False
        with report.phase("gather atoms"):
            report.reads += rows.fetch(ids)
        return True

    def _take(
        self, image: Image, atoms: Int64, excess: Float32, report: Report, outcomes: dict[int, Outcome]
    ) -> list[Image]:
        """Take the image as proved if no atom's excess reaches 0; else let those in that do. Whether it goes on."""
        report.working_set[image.number] = len(image.working_set)
        if not (excess >= 0).any():
            assert image.outcome is not None
            outcomes[image.number] = image.outcome
            report.proved[image.number] = True
            image.working_set.gram = np.zeros((0, 0), np.float32)  # the memory is for those that go on
            return []
        image.admit(atoms[excess >= -MARGIN * self.params.lambda_])
        return [image] if self._pays_off(image) else []

    def _pays_off(self, image: Image) -> bool:
        """Whether a working set of w neurons costs less than the direct form: w^2 / 2 inner products against 2 K M."""
        w, n_atoms = len(image.working_set), self.atoms.shape[0]
        return w <= LARGEST and w * w < 4 * self.params.steps * n_atoms and 2 * w < max(n_atoms, 2 * START)

    def _simulate(
        self, images: list[Image], rows: Rows, report: Report, outcomes: dict[int, Outcome], precision: Precision,
        then: Callable[[Image], None],
    ) -> list[Image]:  # fmt: skip
        """Run the recurrence of the images' working sets, `then` something for those that did not diverge: which.

        An image's atoms are in the processor's cache only once that way. None certifies a path that diverged.
        """
        if not images:
            return []
        with report.phase("gather atoms"):
            report.reads += rows.fetch(np.concatenate([image.working_set.atoms for image in images]))

        def run(image: Image) -> None:
            self._complete(image.working_set, rows)
            if not diverged(simulate(image, rows, self.params, precision).energy):
                then(image)

        with report.phase("simulate"):
            on_all_cores(run, images)
        for image in images:
            assert image.outcome is not None
            if diverged(image.outcome.energy):
                outcomes[image.number] = image.outcome
        return [image for image in images if image.number not in outcomes]

    def _complete(self, working_set: WorkingSet, rows: Rows) -> None:
        """Complete G[W, W]."""
        if self.gramian:
            from_store(working_set, self.gramian)
        else:
            from_atoms(working_set, rows)

    def _certify(self, rows: Rows, precision: Precision, into: Certificates, image: Image) -> None:
        """Write an image's certificate: of its path as it is now."""
        certificate.certify(
            image.slot, image.features, rows.rows, rows.places(image.fired), image.path, self.params.lambda_, precision,
            into,
        )  # fmt: skip

    def _guess(
        self, images: list[Image], certificates: Certificates, products: Products, report: Report
    ) -> list[Image]:  # fmt: skip
        """Let in whom the sketch expects to fire; which images that concerns."""
        assert self.screen.sketch is not None
        room, none = np.full_like(certificates.room, self.params.lambda_), np.zeros_like(certificates.relative)
        likely = replace(certificates, room=room, relative=none)  # no proof: what is likely counts
        found = self.screen.guess(likely, slots(images), MOST_GUESSED, 0.0, skipped(images), products)
        joined = []
        for i, image in enumerate(images):
            report.products[image.number] += certificates.counts[image.slot] * self.screen.sketch.cost
            atoms, _ = found.of(i)
            image.admit(atoms[:MOST_GUESSED])
            joined += [image] if len(atoms) else []
        return joined

    def _screen(
        self, images: list[Image], certificates: Certificates, products: Products, report: Report
    ) -> Strongest:  # fmt: skip
        """Put the images' certificates to all atoms."""
        asking = slots(images)
        report.products[[image.number for image in images]] += certificates.counts[asking]
        report.reads += 1
        floor, open_from = -SLACK * self.params.lambda_, -MARGIN * self.params.lambda_
        return self.screen.near(certificates, asking, MOST_VIOLATORS, floor, open_from, skipped(images), products)

    def _look_again(
        self, image: Image, rows: Rows, certificates: Certificates, precision: Precision
    ) -> tuple[Int64, Float32] | None:
        """Look at the watched atoms that the path may have reached: with their excesses; None if it moved too far.

        Then the path's certificate, to be put to all atoms, takes the place of the one that was.
        """
        i, now = image.slot, Certificates.empty(1, self.atoms.shape[1])
        fired, lambda_ = rows.places(image.fired), self.params.lambda_
        certificate.follow(0, image.features, rows.rows, fired, image.path, lambda_, precision, now)
        moved = certificate.shift(
            precision.norm, certificates.knots[i], certificates.leak[i], certificates.reserve[i],
            now.knots[0], now.leak[0], now.reserve[0],
        )  # fmt: skip
        if not moved < image.covered:
            self._certify(rows, precision, certificates, image)
            return None
        references = certificates.references[i, : certificates.counts[i]]
        certificate.bound(0, references, lambda_, precision, now)
        reached = search.reached(image.watched.atoms, image.watched.excess, -moved, np.sort(image.working_set.atoms))
        atoms = image.watched.atoms[reached]
        return atoms, search.second_look(
            rows.rows, rows.places(atoms), image.watched.known[reached], references, now.weights[0], now.relative[0],
            now.room[0], now.knots[0], now.exact_room[0], -MARGIN * lambda_,
        )  # fmt: skip


def simulate(image: Image, rows: Rows, params: LCAParams, precision: Precision) -> Outcome:
    """Run the recurrence of one image's working set."""
    working_set = image.working_set
    new = working_set.atoms[len(working_set.b) :]
    working_set.b = np.append(working_set.b, path.driving_input(image.features, rows.rows, rows.places(new)))
    norm_s = float(np.linalg.norm(image.features.astype(np.float64)))
    rounding = (2 * gamma(len(image.features)) + gamma(len(working_set) + 4)) * precision.norm**2
    a, firing, energy, fired, *knots = path.simulate(
        working_set.gram, working_set.b, np.argsort(working_set.atoms), norm_s, rounding, params.lambda_,
        params.tau, params.steps, KNOTS,
    )  # fmt: skip
    fires = np.flatnonzero(a) if not diverged(energy) else np.zeros(0, np.int64)
    fires = fires[np.argsort(working_set.atoms[fires])]
    image.outcome = Outcome(working_set.atoms[fires], a[fires].astype(np.float32), firing, len(fired), energy)
    image.fired, image.path = working_set.atoms[fired], (knots[0], knots[1], knots[2])
    return image.outcome


def diverged(energy: Float64) -> bool:
    """Whether a recurrence has left all bounds: there is no code to agree with."""
    return not bool((np.abs(energy) < DIVERGED).all())


def slots(images: Sequence[Image]) -> Int64:
    """Numbers of the images' certificates."""
    return np.array([image.slot for image in images], np.int64)


def skipped(images: Sequence[Image]) -> Ragged:
    """Atoms that each image does not ask about: its working set, and those that it must not use."""
    return Ragged.of(
        [
            np.union1d(image.working_set.atoms, image.excluded)
            if len(image.excluded)
            else np.sort(image.working_set.atoms)
            for image in images
        ]
    )


def put_off(images: list[Image], most: int, later: list[Image]) -> list[Image]:
    """Images that fit in memory that is provided for so many: the others, those of most neurons, go to `later`."""
    if not crowded(images, most):
        return images
    stay = sorted(images, key=lambda image: len(image.working_set))
    while len(stay) > 1 and crowded(stay, most):
        later.append(stay.pop().waiting())
    return stay


def crowded(images: Iterable[Image], most: int) -> bool:
    """Whether these images' working sets, or sub-Gramians, take more memory than `memory_needed` said of so many."""
    sizes = np.array([len(image.working_set) for image in images])
    return bool(sizes.sum() > most * TYPICAL or (sizes**2).sum() > most * TYPICAL**2 + LARGEST**2)


def memory_needed(batch: int, n_atoms: int, n_features: int, steps: int) -> int:
    """Bytes that coding a batch needs, beside the features and the atoms, or the block of them, that are held."""
    rows = 2 * min(batch * TYPICAL, n_atoms) * n_features  # all working sets' atoms, twice while they are added to
    certificates = (KNOTS + 2 * MAX_REFERENCES) * n_features
    image = TYPICAL**2 + certificates + (6 + 2 * KNOWN) * MOST_VIOLATORS + 2 * MAX_REFERENCES * TILE + 4 * steps
    task = cores() * 2 * TYPICAL * n_features
    sketch = n_atoms * n_features // SKETCHED
    return 4 * (rows + batch * image + LARGEST**2 + task + sketch + 4 * TILE * n_features)
