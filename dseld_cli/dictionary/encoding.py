"""An encoder over a stored dictionary, within a memory budget; and whether it looks inner products up or computes them.

The rule, where it is left to us ("auto"), asks for nothing that another run may find otherwise, as last bits of codes
depend on it. The stored Gramian is used if

- it is there, in float32, of just these atoms;
- there are more neurons than are all simulated anyway (`lca.encoder.SMALL`);
- atoms have so many features that this processor multiplies them later than it looks up (`lca.subgramian.LONG`);
- there are WORTHWHILE images;
- it takes half of the machine's memory or less: it is read in no order, which only the page cache makes fast.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dseld_cli import store
from dseld_cli.dictionary.atoms import atoms_of, resident_atoms
from dseld_cli.dictionary.gramian import is_of, mapped_tiles, require_of
from dseld_cli.lca.encoder import BATCH, Encoder, Method, is_small, memory_needed
from dseld_cli.lca.recurrence import LCAParams
from dseld_cli.runtime.budget import arrays_within, machine_memory

Inhibition = Literal["auto", "gramian", "atoms"]

WORTHWHILE = 5000
"""Images from which on it matters little that it may have to be read from the disk, as after a restart: 5.5 GB of
50,000 atoms take from five seconds to half a minute, and a millisecond is spared of each image, or less."""


OF_IMAGE = 400
"""Bytes for each image's name, row and place, and for what is counted of it; all of its code is on disk."""


TOGETHER = 3 * 2**29
"""Bytes for the networks of a batch, which is the same on all machines: a budget of 4 GiB has them beside 50,000 atoms
of 2,048 features and what is kept of a million images. From some 200 images on, products cost more than reading."""


@dataclass(frozen=True)
class Means:
    """By what means images are coded, as params.yaml has it.

    Attributes:
        memory: budget in bytes.
        device: "cpu" or "cuda".
        method: how neurons are simulated, see `lca.encoder`.
        inhibition: where inner products come from.

    """

    memory: int
    device: str = "cpu"
    method: Method = "working-set"
    inhibition: Inhibition = "auto"


def stored_gramian(
    dictionary: store.Dictionary, path: Path, params: LCAParams, means: Means, n_images: int
) -> store.Gramian | None:
    """Open the Gramian if inner products are to be looked up there, by the rule above.

    Raises:
        UserError: if it is asked for and is not there, or of other atoms; if one that is there is damaged.

    """
    if means.inhibition == "gramian":
        gramian = store.open_store(path, store.GramianInfo)
        require_of(gramian, dictionary)
        return gramian
    n_atoms, n_features = dictionary.shape("atoms")
    if means.inhibition == "atoms" or means.method == "direct":
        return None
    little = n_images < WORTHWHILE or is_small(n_atoms, n_features, params.steps)
    if little or 2 * n_atoms**2 > machine_memory() // 2 or not multiplied_later(n_features) or not store.present(path):
        return None
    gramian = store.open_store(path, store.GramianInfo)
    return gramian if is_of(gramian, dictionary) and gramian.arrays["gramian"].dtype == "float32" else None


def multiplied_later(n_features: int) -> bool:
    """Whether this processor multiplies two atoms later than it looks their inner product up."""
    from dseld_cli.lca.subgramian import LONG  # numba, which is only needed for a large dictionary

    return n_features >= LONG


def fixed_batch(dictionary: store.Dictionary, steps: int) -> int:
    """How many images a batch over a dictionary has, whatever the budget that holds it.

    An image that is not proved is coded together with others of its batch, so that its last bits depend on which they
    are: only with the same batches do all machines make the same codes. Of a small dictionary, all are simulated.
    """
    n_atoms, n_features = dictionary.shape("atoms")
    if is_small(n_atoms, n_features, steps):
        return BATCH

    def networks(batch: int) -> int:
        return memory_needed("working-set", batch, n_atoms, n_features, steps)

    batch = BATCH
    while networks(batch) - networks(0) > TOGETHER and batch > 1:
        batch -= -(-batch // 16)
    return batch


def encoder_over(
    dictionary: store.Dictionary,
    params: LCAParams,
    means: Means,
    n_images: int,
    gramian: store.Gramian | None = None,
    batch: int | None = None,
) -> Encoder:
    """Make an encoder of n_images over a dictionary, whose batches are as wanted, or as large as the budget holds.

    Raises:
        UserError: if the budget does not hold a single image.

    """
    n_atoms, n_features = dictionary.shape("atoms")
    fixed = resident_atoms(means.memory, n_atoms, n_features) + OF_IMAGE * n_images
    few = means.device == "cpu" and gramian is None and is_small(n_atoms, n_features, params.steps)
    method: Method = "direct" if few else means.method

    def needed(batch: int) -> int:
        given = 12 * batch * n_features + 4 * store.spec.ROWS * n_features  # as they are read, as they are, and mapped
        return fixed + given + memory_needed(method, batch, n_atoms, n_features, params.steps)

    what = "a block of features, one of atoms, and the network of an image"
    spare = arrays_within(means.memory, needed(1), what)
    batch = batch or min(BATCH, max(1, n_images))
    while needed(batch) > spare:
        batch -= -(-batch // 16)
    return Encoder(
        atoms_of(dictionary, means.memory),
        params,
        gramian=mapped_tiles(gramian) if gramian else None,
        method=means.method,
        device=means.device,
        images=n_images,
        batch=batch,
    )
