"""The command line: options in, one stage call, user errors out as one line and exit code 2. No logic."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from dseld_cli import __version__
from dseld_cli.config.load import load
from dseld_cli.decoders import registry
from dseld_cli.errors import UserError


class Commands(TyperGroup):
    """Turns what the user can mend into one line on standard error and exit code 2."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except UserError as error:
            _fail(str(error))
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
                raise
            where = error.filename or f"below {Path.cwd()}"
            _fail(f"{error.strerror}, {where}: make room or grant access, then run the same command again; it resumes")


def _fail(line: str) -> None:
    print(f"error: {line}", file=sys.stderr)
    raise typer.Exit(2)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

START = "Starting a project"
PIPELINE = "The pipeline, in order (dvc repro runs what is out of date)"
GROW = "Growing a dictionary"
COMPARE = "Trained decoders and baselines"
PAPER = "Tables and figures of the paper"
USE = "Using a dictionary"
IMAGES = "Which images"
NETWORK = "Which network"
GIVEN = "Features made elsewhere"

Split = Annotated[str, typer.Option(help="Which split: train or test.", metavar="SPLIT", show_default=True)]
Memory = Annotated[
    str | None, typer.Option(metavar="SIZE", help="Memory budget, e.g. 4GiB. Default: params.yaml, run.memory.")
]
Device = Annotated[str | None, typer.Option(metavar="DEVICE", help="cpu or cuda. Default: params.yaml, run.device.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Decoders = Annotated[
    list[str] | None,
    typer.Option(
        "--decoder",
        metavar="NAME",
        help="Which (dseld decode --list-decoders); may be given again. Default: all of params.yaml.",
    ),
]
Options = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        metavar="KEY=VALUE",
        help="An option of the decoder; may be given again. Default: params.yaml, decoder_options.",
    ),
]


def _version(wanted: bool) -> None:
    if wanted:
        print(f"dseld {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it, exit.")
    ] = False,
) -> None:
    """Classify images by sparse coding over exemplars (D-SELD): no training by gradients, and it grows by appending.

    Images become features (extract), some of them atoms of a dictionary
    (build-dict); a test image is coded over the dictionary by a network of
    competing neurons (encode), and a decoder reads its class off the code
    (decode).

    Every default is in [bold]params.yaml[/bold], where each key is explained;
    an option overrides it for one run. Every intermediate is a store below
    [bold]data/[/bold] that knows what it was made from.

    [dim]Example:[/dim]  dvc repro
    [dim]Example:[/dim]  dseld encode --lambda 2 && dseld decode && dseld evaluate
    """


@app.command(rich_help_panel=PIPELINE)
def extract(
    dataset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="digits, mnist, fashion-mnist, cifar10, cifar100, imagenet, tiny-imagenet or folder:PATH. "
            "Default: params.yaml, data.dataset.",
            rich_help_panel=IMAGES,
        ),
    ] = None,
    data_root: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Where named data sets are or go. Default: params.yaml, data.root.",
            rich_help_panel=IMAGES,
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            metavar="SPLIT", help="train, val or test. Default: params.yaml, extract.splits.", rich_help_panel=IMAGES
        ),
    ] = None,
    limit_per_class: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="Images of each class and split at most, or all. Default: params.yaml, extract.limit_per_class.",
            rich_help_panel=IMAGES,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            metavar="SEED",
            help="Seeds the draws of val and of the limit. Default: params.yaml, extract.seed.",
            rich_help_panel=IMAGES,
        ),
    ] = None,
    broken: Annotated[
        str | None,
        typer.Option(
            metavar="WHAT",
            help="What a broken image does: fail or skip. Default: params.yaml, extract.broken.",
            rich_help_panel=IMAGES,
        ),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="none (pixels), a torchvision classifier (resnet152, resnet152@IMAGENET1K_V1), "
            "efficientnet_lite0 to 2, or timm:NAME. Default: params.yaml, extract.backbone.",
            rich_help_panel=NETWORK,
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="WHICH",
            help="default, random, or a file. Default: params.yaml, extract.weights.",
            rich_help_panel=NETWORK,
        ),
    ] = None,
    image_size: Annotated[
        str | None,
        typer.Option(
            metavar="PIXELS",
            help="Side of the image that the network sees. Default: params.yaml, extract.image_size.",
            rich_help_panel=NETWORK,
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            metavar="TYPE",
            help="float32 or bfloat16. Default: params.yaml, extract.precision.",
            rich_help_panel=NETWORK,
        ),
    ] = None,
    list_backbones: Annotated[
        bool, typer.Option("--list-backbones", help="Print a table of them, exit.", rich_help_panel=NETWORK)
    ] = False,
    from_npz: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Take in arrays features (n, N) and labels (n); maybe classes, source, extractor.",
            rich_help_panel=GIVEN,
        ),
    ] = None,
    from_npy: Annotated[
        tuple[Path, Path] | None,
        typer.Option(metavar="FEATURES LABELS", help="Take in two arrays.", rich_help_panel=GIVEN),
    ] = None,
    extractor: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="What made them: only features of one name go together.", rich_help_panel=GIVEN
        ),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(metavar="N", help="Images a pass. Default: params.yaml, extract.batch_size.")
    ] = None,
    workers: Annotated[
        str | None,
        typer.Option(metavar="N", help="Processes that decode images, or auto. Default: params.yaml, extract.workers."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="STORE", help="Where one split goes. Default: data/features/<split>.zarr.")
    ] = None,
    device: Device = None,
) -> None:
    """Turn images into features.

    Reads a data set; writes data/features/<split>.zarr for every split in
    params.yaml, extract.splits. A killed run goes on where it stopped. Features
    that something else extracted can be taken in, one split at a time.

    [dim]Example:[/dim]  dseld extract --dataset folder:~/photos --backbone resnet152
    [dim]Example:[/dim]  dseld extract --dataset folder:june --split train --output data/additions/june.zarr
    [dim]Example:[/dim]  dseld extract --split test --from-npz test.npz --extractor dinov2
    """
    from dseld_cli.stages import extract as stage

    if list_backbones:
        return stage.list_backbones()
    if split not in (None, "train", "val", "test"):
        raise UserError(f"--split {split}: there are train, val and test")
    if output and not split:
        raise UserError("--output takes one split: add --split train or --split test")
    if from_npz or from_npy:
        return _bring(from_npz, from_npy, split, extractor, output)
    params = _params(
        {
            "data.dataset": dataset,
            "data.root": data_root,
            "extract.backbone": backbone,
            "extract.weights": weights,
            "extract.image_size": _count(image_size),
            "extract.precision": precision,
            "extract.limit_per_class": _count(limit_per_class),
            "extract.seed": seed,
            "extract.broken": broken,
            "extract.batch_size": batch_size,
            "extract.workers": _count(workers),
            "run.device": device,
        }
    )
    if split and seed is not None and "val" in params.extract.splits:
        raise UserError("--seed with one split: train and val are drawn together; set extract.seed in params.yaml")
    return stage.run(params, split, output)


def _bring(
    from_npz: Path | None,
    from_npy: tuple[Path, Path] | None,
    split: str | None,
    extractor: str | None,
    output: Path | None,
) -> None:
    from dseld_cli.images import external_features as given
    from dseld_cli.stages import extract as stage

    if not split:
        raise UserError("--from-npz and --from-npy take in one split: add --split train, val or test")
    found = given.from_npy(*from_npy) if from_npy else given.from_npz(from_npz or Path())
    stage.bring(found, split, extractor, output)


@app.command(rich_help_panel=PIPELINE)
def build_dict(
    size: Annotated[
        str | None, typer.Option(metavar="M", help="Number of atoms, or all. Default: params.yaml, build_dict.size.")
    ] = None,
    sampling: Annotated[
        str | None,
        typer.Option(metavar="HOW", help="random or balanced. Default: params.yaml, build_dict.sampling."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="SEED", help="Seeds the draw. Default: params.yaml, build_dict.seed.")
    ] = None,
    duplicates: Annotated[
        str | None,
        typer.Option(
            metavar="WHAT", help="Exact duplicates: keep or drop. Default: params.yaml, build_dict.duplicates."
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option(metavar="SPLIT", help="train, val or test. Default: params.yaml, build_dict.split.")
    ] = None,
    base_only: Annotated[
        bool, typer.Option("--base-only", help="Leave the additions to add-exemplars, as dvc.yaml does.")
    ] = False,
    memory: Memory = None,
) -> None:
    """Draw images as atoms of the dictionary.

    Reads data/features/<split>.zarr; writes data/base.zarr, the unit-norm
    features of the images drawn, shuffled, and then data/dictionary.zarr, the
    base with the additions that params.yaml lists.

    [dim]Example:[/dim]  dseld build-dict --size 50000 --seed 1
    [dim]Example:[/dim]  dseld build-dict --size 1000 --sampling balanced
    """
    from dseld_cli.stages import add_exemplars, build_dict

    params = _params(
        {
            "build_dict.size": _count(size),
            "build_dict.sampling": sampling,
            "build_dict.seed": seed,
            "build_dict.duplicates": duplicates,
            "build_dict.split": split,
            "run.memory": memory,
        }
    )
    build_dict.run(params)
    if not base_only:
        add_exemplars.run(params)


@app.command(rich_help_panel=PIPELINE)
def gramian(memory: Memory = None, device: Device = None) -> None:
    """Compute the inner products of all atoms, which inhibit neurons that explain the same thing.

    Reads data/dictionary.zarr; writes data/gramian.zarr in tiles, within the
    memory budget. A killed run goes on at the tiles that are missing. Needed
    only when encode.inhibition is gramian.

    [dim]Example:[/dim]  dseld gramian --memory 2GiB
    """
    from dseld_cli.stages import gramian as stage

    stage.run(_params({"run.memory": memory, "run.device": device}))


@app.command(rich_help_panel=PIPELINE)
def encode(
    lambda_: Annotated[
        float | None, typer.Option("--lambda", metavar="L", help="Firing threshold. Default: params.yaml, lca.lambda.")
    ] = None,
    tau: Annotated[
        float | None, typer.Option(metavar="TAU", help="Time constant in steps. Default: params.yaml, lca.tau.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(metavar="K", help="Number of steps. Default: params.yaml, lca.steps.")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(metavar="HOW", help="working-set or direct: same codes. Default: params.yaml, encode.method."),
    ] = None,
    inhibition: Annotated[
        str | None,
        typer.Option(metavar="FROM", help="atoms or gramian: same codes. Default: params.yaml, encode.inhibition."),
    ] = None,
    images: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="How many images, drawn at random, or all. Default: params.yaml, encode.images (split train: "
            "train_decoder.images).",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="SEED", help="Seeds that draw. Default: params.yaml, encode.seed.")
    ] = None,
    energy: Annotated[
        bool | None,
        typer.Option(
            "--energy/--no-energy", help="Store the energy at every step. Default: params.yaml, encode.energy."
        ),
    ] = None,
    split: Split = "test",
    for_training: Annotated[
        bool, typer.Option("--for-training", help="Nothing to do if params.yaml lists no trained decoders.")
    ] = False,
    memory: Memory = None,
    device: Device = None,
) -> None:
    """Code images sparsely over the dictionary: K steps of the Locally Competitive Algorithm.

    Reads data/features/<split>.zarr, data/dictionary.zarr and, if inhibition is
    from there, data/gramian.zarr; writes data/codes/<split>.zarr. A killed run
    goes on at the batch it was in.

    Codes of the train split are for training a decoder: an image's own atom,
    and exact copies of it, cannot fire (params.yaml, train_decoder.codes).

    [dim]Example:[/dim]  dseld encode --lambda 2 --images 500
    [dim]Example:[/dim]  dseld encode --split train && dseld train-decoder
    """
    from dseld_cli.stages import encode as stage

    section = "train_decoder" if split == "train" else "encode"
    params = _params(
        {
            "lca.lambda": lambda_,
            "lca.tau": tau,
            "lca.steps": steps,
            "encode.method": method,
            "encode.inhibition": inhibition,
            "encode.energy": energy,
            f"{section}.images": _count(images),
            f"{section}.seed": seed,
            "run.memory": memory,
            "run.device": device,
        }
    )
    if for_training and not params.trained_decoders:
        return stage.skip(split)
    return stage.run(params, split)


@app.command(rich_help_panel=PIPELINE)
def decode(
    decoder: Decoders = None,
    option: Options = None,
    split: Split = "test",
    memory: Memory = None,
    list_decoders: Annotated[
        bool, typer.Option("--list-decoders", help="Print a table of them and their options, exit.")
    ] = False,
) -> None:
    """Read a class off each code.

    Reads data/codes/<split>.zarr and the atoms' classes; writes
    data/predictions/<split>/<decoder>.zarr, with scores that sum to one.

    max-activation takes the class of the strongest neuron (paper, Eq. 9),
    class-sum the class whose neurons sum highest (Eq. 10), balanced-class-sum
    allows for classes with unequal numbers of exemplars, minimum-residual takes
    the class that alone explains most of the image (SRC, Wright 2009), and
    shallow-nn is a network that dseld train-decoder trained before. Without
    --decoder, params.yaml's decoders run, and its trained ones where they fit.
    A package that is installed beside dseld can bring others.

    [dim]Example:[/dim]  dseld decode --decoder class-sum
    [dim]Example:[/dim]  dseld decode --list-decoders
    """
    from dseld_cli.stages import decode as stage

    if list_decoders:
        return stage.list_decoders()
    return stage.run(load({"run.memory": memory}), _chosen(decoder), split, _options(option, decoder))


@app.command(rich_help_panel=PIPELINE)
def evaluate(decoder: Decoders = None, split: Split = "test", memory: Memory = None) -> None:
    """Compare predictions with labels: a table here, metrics.json, and plots for `dvc plots show`.

    Reads data/predictions/<split>/, data/baselines/<split>/ and what they were
    made from; writes metrics.json (of another split than test:
    metrics-<split>.json) and data/evaluation/<split>/: accuracy per class,
    confusion, what each decoder says of each image, plots. Trained decoders and
    baselines that params.yaml lists are evaluated where they were run.

    [dim]Example:[/dim]  dseld evaluate --decoder class-sum
    """
    from dseld_cli.stages import evaluate as stage

    stage.run(load({"run.memory": memory}), _chosen(decoder), split)


@app.command(rich_help_panel=COMPARE)
def train_decoder(
    decoder: Decoders = None,
    option: Options = None,
    seed: Annotated[
        int | None, typer.Option(metavar="SEED", help="Seeds the training. Default: params.yaml, train_decoder.seed.")
    ] = None,
    memory: Memory = None,
) -> None:
    """Train decoders on codes of training images.

    Reads data/codes/train.zarr, where no image is coded with its own atom;
    writes data/decoders/<decoder>.zarr. shallow-nn is one linear layer that
    starts as class-sum, and stops when images held out gain no more. Then run
    dseld decode. Which images it learns from is in params.yaml, train_decoder;
    exemplars that were added later are not among them.

    [dim]Example:[/dim]  dseld encode --split train && dseld train-decoder
    """
    from dseld_cli.stages import train_decoder as stage

    params = load({"train_decoder.seed": seed, "run.memory": memory})
    stage.run(params, _chosen(decoder), _options(option, decoder))


@app.command(rich_help_panel=COMPARE)
def baselines(
    baseline: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="nearest-class-mean, cosine-knn or logistic-regression; may be given again. Default: all of "
            "params.yaml, baselines.names.",
        ),
    ] = None,
    neighbours: Annotated[
        int | None,
        typer.Option(metavar="K", help="Neighbours in cosine-knn. Default: params.yaml, baselines.neighbours."),
    ] = None,
    split: Split = "test",
    memory: Memory = None,
) -> None:
    """Classify the test images from the same features and exemplars without coding, for comparison.

    Reads data/features/<split>.zarr and data/dictionary.zarr; writes
    data/baselines/<split>/<name>.zarr, which dseld evaluate shows below the
    decoders.

    [dim]Example:[/dim]  dseld baselines --baseline cosine-knn --neighbours 5
    """
    from dseld_cli.stages import baselines as stage

    given = {"baselines.names": baseline, "baselines.neighbours": neighbours, "run.memory": memory}
    stage.run(load(given), split=split)


@app.command(rich_help_panel=GROW)
def add_exemplars(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[SOURCE]",
            help="A feature store made by dseld extract --output, or folder:PATH with images in PATH/train/<class>/.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what SOURCE would add, cost and need in disk; change nothing.")
    ] = False,
    memory: Memory = None,
) -> None:
    """Add images to the dictionary, new classes included, in time proportional to their number.

    Adds SOURCE to the list of additions in params.yaml, and what it brings to
    data/dictionary.zarr and, if there is one, data/gramian.zarr: old atoms and
    tiles stay as they are. Without SOURCE, as dvc.yaml runs it, brings
    data/dictionary.zarr up to date with params.yaml. Afterwards `dvc repro`
    codes images anew. Killed at any moment, the old or the new dictionary is in
    force, and running it again completes it.

    [dim]Example:[/dim]  dseld add-exemplars data/additions/june.zarr
    [dim]Example:[/dim]  dseld add-exemplars folder:~/photos/june --dry-run
    """
    from dseld_cli.stages import add_exemplars as stage

    if dry_run and source is None:
        raise UserError("--dry-run takes a SOURCE: say what is to be added")
    params = _params({"run.memory": memory})
    stage.run(params, source, dry_run)
    if source and not dry_run:
        _follow(params)


@app.command(rich_help_panel=GROW)
def remove_exemplars(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Images as the dictionary's source names them, or whole additions."),
    ] = None,
    index: Annotated[
        list[int] | None, typer.Option(metavar="I", help="Place of an image in the dictionary; may be given again.")
    ] = None,
    compact: Annotated[
        bool, typer.Option("--compact", help="Close the gaps of removed images: all atoms behind move up.")
    ] = False,
    memory: Memory = None,
) -> None:
    """Take images, or a whole addition, out of the dictionary.

    Adds images to the list of removals in params.yaml, takes additions off that
    of additions, and brings data/dictionary.zarr and, if there is one,
    data/gramian.zarr up to date. A removed image leaves an atom of zeros that
    never fires; nothing else changes place, unless --compact closes the gaps.

    [dim]Example:[/dim]  dseld remove-exemplars train/cat/0042.png --index 17
    [dim]Example:[/dim]  dseld remove-exemplars data/additions/june.zarr
    """
    from dseld_cli.stages import remove_exemplars as stage

    if not (names or index or compact):
        raise UserError("nothing to remove: give NAMEs of images or additions, --index I, or --compact")
    params = _params({"run.memory": memory})
    stage.run(names or (), index or (), compact)
    _follow(params)


def _follow(params: Any) -> None:
    """Let the Gramian, if there is one, follow a dictionary that was changed by hand; in dvc.yaml it is a stage."""
    from dseld_cli import paths, store
    from dseld_cli.stages import gramian

    if store.present(paths.GRAMIAN):
        gramian.run(params)


@app.command(rich_help_panel=USE)
def classify(
    images: Annotated[
        list[Path] | None,
        typer.Argument(metavar="IMAGE...", help="Image files, or folders of them; -: paths on standard input."),
    ] = None,
    decoder: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Any decoder; a trained one first. Default: params.yaml, classify.decoder."),
    ] = None,
    exemplars: Annotated[
        int | None,
        typer.Option(metavar="N", help="How many exemplars to show. Default: params.yaml, classify.exemplars."),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="WHICH",
            help="default, or the file of the weights behind the dictionary. Default: params.yaml, extract.weights.",
        ),
    ] = None,
    broken: Annotated[
        str | None,
        typer.Option(
            metavar="WHAT", help="What a broken image does: fail or skip. Default: params.yaml, extract.broken."
        ),
    ] = None,
    json: Json = False,
    watch: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Stay, and classify what is in FOLDER and what comes into it."),
    ] = None,
    memory: Memory = None,
    device: Device = None,
) -> None:
    """Name the class of images, and the exemplars that decided it.

    Reads data/dictionary.zarr, and extracts features as its own were extracted;
    writes nothing. An exemplar's share is its part of the positive activations
    of the class. With --watch, or with - for IMAGE, the dictionary stays
    loaded, and each image gives a line of JSON.

    [dim]Example:[/dim]  dseld classify holiday/*.jpg
    [dim]Example:[/dim]  dseld classify holiday --json > classes.json
    [dim]Example:[/dim]  dseld classify --watch inbox >> classes.jsonl
    """
    from dseld_cli.stages import classify as stage

    if bool(watch) == bool(images):
        raise UserError("give images, folders of them or - (paths on standard input), or --watch FOLDER")

    params = _params(
        {
            "classify.decoder": decoder,
            "classify.exemplars": exemplars,
            "extract.weights": weights,
            "extract.broken": broken,
            "run.memory": memory,
            "run.device": device,
        }
    )
    if watch or images == [Path("-")]:
        return stage.watch(params, watch)
    return stage.run(params, images or (), as_json=json)


@app.command(rich_help_panel=START)
def init(
    folder: Annotated[Path, typer.Argument(metavar="[FOLDER]", help="Where; made if it is not there.")] = Path(),
    preset: Annotated[
        str, typer.Option(metavar="NAME", help="Settings: digits, mnist, or e.g. cifar100-resnet152.")
    ] = "digits",
    data_root: Annotated[
        str | None, typer.Option(metavar="DIR", help="Where data sets are or go. Default: data/raw in FOLDER.")
    ] = None,
) -> None:
    """Start a project: the pipeline, params.yaml with the settings of an experiment, a git repository.

    A preset is digits, mnist, fashion-mnist, or DATASET-BACKBONE: cifar10,
    cifar100 or imagenet with resnet152, resnet50, efficientnet, densenet121,
    mobilenet, inception, vgg16 or efficientnet_lite0, at the paper's 50,000
    exemplars, lambda 2 and 100 steps.

    [dim]Example:[/dim]  dseld init cifar --preset cifar100-resnet152 --data-root ~/data
    [dim]Example:[/dim]  cd cifar && dvc repro
    """
    from dseld_cli.stages import init as stage

    stage.run(folder, preset, data_root and str(Path(data_root).expanduser().resolve()))


@app.command(rich_help_panel=PAPER)
def workload(
    atoms: Annotated[int | None, typer.Option(metavar="M", help="Atoms. Default: the dictionary's.")] = None,
    features: Annotated[int | None, typer.Option(metavar="N", help="Features. Default: the dictionary's.")] = None,
    steps: Annotated[int | None, typer.Option(metavar="K", help="Steps. Default: params.yaml, lca.steps.")] = None,
    firing: Annotated[
        float | None,
        typer.Option(metavar="PERCENT", help="Share of the neurons firing at a step. Default: as measured here."),
    ] = None,
    paper: Annotated[bool, typer.Option("--paper", help="The paper's networks, 50,000 atoms, 0.4 % firing.")] = False,
    as_json: Json = False,
) -> None:
    """Count what an image costs: in closed form for any setting, and measured on this run's codes.

    Floating-point operations of the driving input, of inhibition by the neurons
    that fire, and of the Gramian, once; then, where data/codes/test.zarr is,
    NeuroBench's ActivationSparsity, SynapticOperations and Footprint.

    [dim]Example:[/dim]  dseld workload --atoms 50000 --features 2048 --firing 0.4
    [dim]Example:[/dim]  dseld workload --paper --json
    """
    from dseld_cli.stages import workload as stage

    stage.run(load({"lca.steps": steps}), atoms, features, firing, paper, as_json)


@app.command(rich_help_panel=PAPER)
def reconstruct(
    images: Annotated[
        int | None, typer.Option(metavar="N", help="Test images. Default: params.yaml, reconstruct.images.")
    ] = None,
    atoms: Annotated[
        int | None, typer.Option(metavar="M", help="Atoms, each kind. Default: params.yaml, reconstruct.atoms.")
    ] = None,
    lambda_: Annotated[
        float | None,
        typer.Option("--lambda", metavar="L", help="Firing threshold. Default: params.yaml, reconstruct.lambda."),
    ] = None,
    tau: Annotated[
        float | None, typer.Option(metavar="TAU", help="Time constant. Default: params.yaml, reconstruct.tau.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(metavar="K", help="Number of steps. Default: params.yaml, reconstruct.steps.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Rebuild test images from their codes, over training images and over Gaussian noise.

    Reads the pixels of params.yaml's data.dataset; writes
    data/reconstruction/: images.png (inputs and both reconstructions),
    energy.png (at every step) and figures.json. Prints MSE, PSNR, SSIM, and the
    step at which the energy had settled to 1 % of its descent.

    [dim]Example:[/dim]  dseld reconstruct --images 5 --steps 2000
    """
    from dseld_cli.stages import reconstruct as stage

    given = {"images": images, "atoms": atoms, "lambda": lambda_, "tau": tau, "steps": steps}
    stage.run(load({f"reconstruct.{key}": value for key, value in given.items()}), as_json)


@app.command(rich_help_panel=PAPER)
def timing(
    batch: Annotated[
        list[int] | None,
        typer.Option(metavar="B", help="Images a batch; may be given again.", show_default="1 and 50"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Time extraction, encoding and decoding of an image on this machine.

    Reads the test images, data/features/test.zarr, data/codes/test.zarr and
    data/dictionary.zarr; lambda, tau and steps are those of params.yaml. For
    each batch size, the median of five batches.

    [dim]Example:[/dim]  dseld timing --batch 1 --batch 100
    """
    from dseld_cli.stages import timing as stage

    stage.run(load(), batch, as_json)


@app.command(rich_help_panel=PAPER)
def sweep(
    key: Annotated[str, typer.Argument(metavar="KEY", help="size, lambda, tau or steps.")],
    values: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...",
            help="What to try. Default: size doubled from the number of features on; a "
            "quarter to four times params.yaml's lambda, tau or steps.",
        ),
    ] = None,
    split: Annotated[str, typer.Option(metavar="SPLIT", help="Which images: val or test.", show_default=True)] = "val",
    images: Annotated[
        str | None, typer.Option(metavar="N", help="How many, or all. Default: params.yaml, encode.images.")
    ] = None,
    train_images: Annotated[
        str | None,
        typer.Option(metavar="N", help="How many to train on. Default: params.yaml, train_decoder.images."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Draw accuracy against the number of exemplars, lambda, tau or steps.

    Reads data/dictionary.zarr, of which each size takes the first so many, and
    data/features/<split>.zarr (train.zarr as well, if params.yaml lists trained
    decoders); writes data/sweeps/KEY.csv and KEY.png. Settings are chosen on
    the val split (params.yaml, extract.splits); test is for the last figure.
    Backbones need new features: queue them with
    dvc exp run --queue -S extract.backbone=resnet50,vgg16 instead.

    [dim]Example:[/dim]  dseld sweep size --split test
    [dim]Example:[/dim]  dseld sweep lambda --values 0.5,1,2,4 --images 500
    """
    from dseld_cli.stages import sweep as stage

    params = load({"encode.images": _count(images), "train_decoder.images": _count(train_images)})
    stage.run(params, key, _numbers(values), split, as_json)


@app.command(rich_help_panel=PAPER)
def report(
    output: Annotated[Path, typer.Option(metavar="FILE", help="The page.")] = Path("report.html"),
) -> None:
    """Write one HTML page of all that has been run, to read in a browser or to send.

    Reads data/predictions/test/, data/baselines/test/, data/codes/test.zarr and, where they
    are, data/reconstruction/ and data/sweeps/. Accuracy, confusion, neurons
    firing, energy (params.yaml, encode.energy), cost, and a gallery of right and
    wrong images, each with the exemplars that decided it. Needs no network.

    [dim]Example:[/dim]  dseld report --output ~/digits.html
    """
    from dseld_cli.stages import report as stage

    stage.run(load(), output.expanduser())


def _params(overrides: dict[str, object]) -> Any:
    return load(overrides)


def _chosen(decoders: list[str] | None) -> list[str] | None:
    for name in decoders or ():
        registry.require(name)
    return decoders


def _options(given: list[str] | None, decoders: list[str] | None) -> dict[str, str]:
    if given and len(decoders or ()) != 1:
        raise UserError("--option takes one --decoder NAME, whose option it is")
    if bad := [text for text in given or () if "=" not in text]:
        raise UserError(f"--option {bad[0]}: should be KEY=VALUE")
    return dict(text.split("=", 1) for text in given or ())


def _numbers(values: str | None) -> list[float] | None:
    try:
        return [float(value) for value in values.split(",")] if values is not None else None
    except ValueError:
        raise UserError(f"--values {values}: should be numbers with commas between them, such as 1,2,4") from None


def _count(value: str | None) -> int | str | None:
    return int(value) if value is not None and value.lstrip("-").isdigit() else value
