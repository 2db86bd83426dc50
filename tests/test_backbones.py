"""Backbones give their penultimate features, and say what is wrong with their weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dseld_cli.backbones import backbone
from dseld_cli.errors import UserError


def picture(seed: int, size: tuple[int, int] = (40, 30)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8))


def test_pixels_are_scaled_and_keep_their_order() -> None:
    grey = Image.fromarray(np.array([[0, 51], [102, 255]], np.uint8))
    np.testing.assert_allclose(backbone("none", "default", "cpu").features([grey]), [[0, 0.2, 0.4, 1]], rtol=1e-6)
    assert backbone("none", "default", "cpu").features([picture(0)]).shape == (1, 40 * 30 * 3)


@pytest.mark.parametrize(("name", "size"), [("resnet152", 2048), ("efficientnet_v2_s", 1280)])
def test_features_are_the_classifiers_input(name: str, size: int) -> None:
    """The untrained network's own last layer, applied to the features, gives the whole network's output."""
    from torchvision import models

    network = backbone(name, "random", "cpu")
    features = network.features([picture(1), picture(2)])
    assert features.shape == (2, size)
    torch.manual_seed(0)
    whole = models.get_model(name, weights=None).eval()
    transform = models.get_model_weights(name).DEFAULT.transforms()
    head = list(whole.modules())[-1]
    with torch.inference_mode():
        logits = whole(torch.stack([transform(picture(1)), transform(picture(2))]))
        np.testing.assert_allclose(head(torch.from_numpy(features)), logits, rtol=1e-3, atol=1e-4)
    assert network.identity["weights"] == "random"


def test_a_local_state_dict_is_loaded_and_a_wrong_one_refused(tmp_path: Path) -> None:
    from torchvision import models

    torch.manual_seed(7)
    torch.save(models.resnet18(weights=None).state_dict(), tmp_path / "own.pth")
    local = backbone("resnet18", str(tmp_path / "own.pth"), "cpu")
    assert local.identity["weights"] == "own.pth"
    assert local.identity["weights_sha256"] != backbone("resnet18", "random", "cpu").identity["weights_sha256"]
    for wrong in ("resnet34", "vgg11"):
        with pytest.raises(UserError, match=f"own.pth does not fit {wrong}"):
            backbone(wrong, str(tmp_path / "own.pth"), "cpu")
    (tmp_path / "junk.pth").write_bytes(b"junk")
    with pytest.raises(UserError, match=r"junk.pth does not fit resnet18"):
        backbone("resnet18", str(tmp_path / "junk.pth"), "cpu")


def test_weights_that_cannot_be_downloaded_say_what_to_fetch(monkeypatch: pytest.MonkeyPatch) -> None:
    from urllib.error import URLError

    def no_network(*args: object, **kwargs: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", no_network)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", no_network)
    with pytest.raises(UserError, match=r"resnet18-\w+\.pth into TORCH_HOME .*no network.*--weights PATH"):
        backbone("resnet18", "default", "cpu")
