"""Image files of every kind, whole and broken."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dseld_cli.errors import UserError
from dseld_cli.images.image import open_image

RAMP = np.arange(0, 256, 8, dtype=np.uint8).reshape(4, 8)


def saved(tmp_path: Path, image: Image.Image, name: str, **options: object) -> Image.Image:
    image.save(tmp_path / name, **options)
    return open_image(tmp_path / name)


@pytest.mark.parametrize(
    ("mode", "name", "becomes"),
    [
        ("L", "grey.png", "L"),
        ("LA", "grey-alpha.png", "L"),
        ("1", "bits.png", "L"),
        ("RGB", "colour.png", "RGB"),
        ("RGBA", "alpha.png", "RGB"),
        ("P", "palette.png", "RGB"),
        ("CMYK", "print.tif", "RGB"),
        ("RGB", "lossless.webp", "RGB"),
    ],
)
def test_every_mode_becomes_8_bit_grey_or_rgb(tmp_path: Path, mode: str, name: str, becomes: str) -> None:
    original = Image.fromarray(np.where(RAMP < 128, 0, 255).astype(np.uint8)).convert(mode)
    options = {"lossless": True} if name.endswith("webp") else {}
    found = saved(tmp_path, original, name, **options)
    assert (found.mode, found.size) == (becomes, (8, 4))
    np.testing.assert_array_equal(np.asarray(found.convert("L")), np.where(RAMP < 128, 0, 255))


def test_a_transparent_palette_is_read_without_a_warning(tmp_path: Path) -> None:
    image = Image.fromarray(RAMP).convert("P")
    assert saved(tmp_path, image, "clear.png", transparency=b"\x00\x80\xff").mode == "RGB"


def test_16_bits_keep_their_upper_8(tmp_path: Path) -> None:
    deep = Image.fromarray(RAMP.astype(np.uint16) * 256 + 77)
    np.testing.assert_array_equal(np.asarray(saved(tmp_path, deep, "deep.png")), RAMP)
    np.testing.assert_array_equal(np.asarray(saved(tmp_path, deep, "deep.tif")), RAMP)


def test_exif_orientation_turns_the_picture(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: rows are columns
    found = saved(tmp_path, Image.fromarray(RAMP), "upright.png", exif=exif)
    np.testing.assert_array_equal(np.asarray(found), np.rot90(RAMP, -1))


def test_floating_point_pixels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"float\.tif is not a readable image \(its pixels are floating-point"):
        saved(tmp_path, Image.fromarray(RAMP.astype(np.float32)), "float.tif")


def zero_bytes(path: Path) -> None:
    path.write_bytes(b"")


def text(path: Path) -> None:
    path.write_text("<html>404</html>")


def truncated(path: Path) -> None:
    Image.effect_noise((64, 64), 50).save(path, "JPEG")
    path.write_bytes(path.read_bytes()[:-400])


def huge(path: Path) -> None:
    Image.new("1", (20000, 20000)).save(path, "PNG")


def dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def loop(path: Path) -> None:
    path.symlink_to(path.name)


@pytest.mark.parametrize("spoil", [zero_bytes, text, truncated, huge, dangling, loop])
def test_a_broken_file_is_one_line_with_its_path(tmp_path: Path, spoil: object) -> None:
    path = tmp_path / "broken.jpg"
    spoil(path)  # type: ignore[operator]
    with pytest.raises(UserError, match=r"broken\.jpg is not a readable image \(.+\): mend or remove it") as caught:
        open_image(path)
    assert "\n" not in str(caught.value)
