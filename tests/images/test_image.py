"""Image files of every kind, whole and broken."""

import io
import os
import socket
import struct
import subprocess
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from dseld_cli.errors import UserError
from dseld_cli.images.image import FORMATS, LARGE, ON_WHITE, looks_whole, open_image

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


@pytest.mark.parametrize("dtype", [np.int32, np.uint32, np.int16])
def test_integers_of_unknown_scale_are_refused_not_wrapped(tmp_path: Path, dtype: type) -> None:
    tags = {256: 8, 257: 4, 258: 32 if dtype != np.int16 else 16, 262: 1, 277: 1, 339: 1 if dtype == np.uint32 else 2}
    write_tiff(tmp_path / "i.tif", RAMP.astype(dtype), tags)
    with pytest.raises(UserError, match=r"i\.tif is not a readable image \(its pixels are 32-bit or signed integers"):
        open_image(tmp_path / "i.tif")


def write_tiff(path: Path, pixels: np.ndarray, tags: dict[int, int]) -> None:
    """One strip, uncompressed, little-endian."""
    body = pixels.tobytes()
    tags = {**tags, 273: 8, 278: len(pixels), 279: len(body)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    path.write_bytes(struct.pack("<2sHI", b"II", 42, 8 + len(body)) + body + directory)


def test_12_bit_samples_keep_their_upper_8(tmp_path: Path) -> None:
    pixels = RAMP.astype(np.uint16) << 4
    high, low = pixels[:, ::2], pixels[:, 1::2]  # two samples in three bytes
    packed = np.stack([high >> 4, (high & 15) << 4 | low >> 8, low & 255], axis=2).astype(np.uint8)
    write_tiff(tmp_path / "scan.tif", packed, {256: 8, 257: 4, 258: 12, 262: 1, 277: 1, 278: 4})
    np.testing.assert_array_equal(np.asarray(open_image(tmp_path / "scan.tif")), RAMP)


@pytest.mark.parametrize(
    ("mode", "name", "options"),
    [
        ("RGBA", "drawing.png", {}),
        ("LA", "drawing.png", {}),
        ("P", "drawing.png", {"transparency": 0}),
        ("RGB", "drawing.png", {"transparency": (255, 0, 255)}),
        ("I;16", "drawing.png", {"transparency": 40000}),
        ("RGBA", "drawing.webp", {"lossless": True}),
        ("RGBA", "drawing.tif", {}),
    ],
)
def test_a_black_drawing_on_transparency_is_seen_on_white(
    tmp_path: Path, mode: str, name: str, options: dict[str, object]
) -> None:
    ink = np.zeros((4, 8), bool)
    ink[1:3, 2:5] = True
    if mode == "P":
        drawing = Image.fromarray(ink.astype(np.uint8))
        drawing.putpalette([0, 0, 0] * 256)
    elif mode == "I;16":
        drawing = Image.fromarray(np.where(ink, 0, 40000).astype(np.uint16))
    elif mode == "RGB":
        drawing = Image.fromarray(np.where(ink[..., None], 0, (255, 0, 255)).astype(np.uint8))
    else:
        drawing = Image.merge(mode, [Image.new("L", (8, 4))] * (len(mode) - 1) + [Image.fromarray(ink * np.uint8(255))])
    found = saved(tmp_path, drawing, name, **options)
    np.testing.assert_array_equal(np.asarray(found.convert("L")), np.where(ink, 0, 255))
    assert found.info[ON_WHITE]


def test_an_alpha_channel_that_hides_nothing_changes_nothing(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (4, 8, 3)).astype(np.uint8)
    drawing = Image.fromarray(colours)
    drawing.putalpha(255)
    found = saved(tmp_path, drawing, "opaque.png")
    np.testing.assert_array_equal(np.asarray(found), colours)
    assert not found.info.get(ON_WHITE)


def broken_exif(orientation: int, count: int = 1) -> bytes:
    """An orientation, and beside it a resolution whose two numbers lie beyond the end."""
    entries = struct.pack("<HHIHH", 0x0112, 3, count, orientation, 0) + struct.pack("<HHII", 0x011A, 5, 1, 9999)
    return b"Exif\0\0" + struct.pack("<2sHIH", b"II", 42, 8, 2) + entries + bytes(4)


@pytest.mark.parametrize(("orientation", "turns"), [(6, -1), (3, 2), (8, 1), (1, 0), (77, 0)])
def test_a_broken_tag_beside_the_orientation_is_no_reason_to_refuse(
    tmp_path: Path, orientation: int, turns: int
) -> None:
    upright = saved(tmp_path, Image.fromarray(RAMP), "plain.jpg")
    found = saved(tmp_path, Image.fromarray(RAMP), "turned.jpg", exif=broken_exif(orientation))
    np.testing.assert_array_equal(np.asarray(found), np.rot90(np.asarray(upright), turns))


def test_tags_that_are_all_broken_leave_the_picture_as_it_is(tmp_path: Path) -> None:
    upright = saved(tmp_path, Image.fromarray(RAMP), "plain.jpg")
    for i, exif in enumerate((b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0nonsense", broken_exif(6, count=2**31))):
        found = saved(tmp_path, Image.fromarray(RAMP), f"{i}.jpg", exif=exif)
        assert found.size in (upright.size, upright.size[::-1])


def test_a_picture_of_more_pixels_than_allowed_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    Image.new("1", (3000, 2000)).save(tmp_path / "wide.png")
    tracemalloc.start()
    with pytest.raises(UserError, match=r"3000 x 2000 are 6 megapixels, more than the 5 .* or raise run\.memory"):
        open_image(tmp_path / "wide.png", most_pixels=5_000_000)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()
    assert open_image(tmp_path / "wide.png").size == (3000, 2000)


def test_a_large_picture_is_decoded_while_no_other_is(tmp_path: Path) -> None:
    side = int(LARGE**0.5) + 1
    Image.new("1", (side, side)).save(tmp_path / "large.png")
    with ThreadPoolExecutor(2) as pool:
        assert [image.size for image in pool.map(open_image, [tmp_path / "large.png"] * 2)] == [(side, side)] * 2


def test_no_format_that_starts_a_program_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def started(*args: object, **options: object) -> None:
        raise AssertionError("a program was started")

    monkeypatch.setattr(subprocess, "Popen", started)
    (tmp_path / "drawing.jpg").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
    )
    with pytest.raises(UserError, match=r"drawing\.jpg is not a readable image"):
        open_image(tmp_path / "drawing.jpg")
    assert not {"EPS", "PDF", "WMF", "FITS", "HDF5"} & set(FORMATS)


def fifo(path: Path) -> None:
    os.mkfifo(path)


def socket_(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(f"/proc/self/fd/{folder}/{path.name}")  # a socket's path may have no more than 107 bytes
    os.close(folder)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def linked_fifo(path: Path) -> None:
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to("pipe")


@pytest.mark.parametrize("cut", [12, 20])
def test_a_png_whose_pixels_are_all_there_is_whole_enough(tmp_path: Path, cut: int) -> None:
    Image.fromarray(RAMP).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:-cut])
    looks_whole(tmp_path / "cut.png")
    np.testing.assert_array_equal(np.asarray(open_image(tmp_path / "cut.png")), RAMP)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    kind=st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "TGA", "PCX", "JPEG2000"]),
    flips=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=8),
    cut=st.none() | st.integers(0, 10**6),
)
def test_any_bytes_are_a_picture_or_one_line(
    tmp_path: Path, kind: str, flips: list[tuple[int, int]], cut: int | None
) -> None:
    content, path = io.BytesIO(), tmp_path / "fuzzed"
    Image.fromarray(RAMP).convert("RGB").save(content, kind)
    data = bytearray(content.getvalue())
    for place, value in flips:
        data[place % len(data)] = value
    path.write_bytes(data[: cut % len(data) if cut is not None else None])
    for read in (lambda: looks_whole(path, 10**6), lambda: open_image(path, 10**6)):
        try:
            found = read()
        except UserError as error:
            line = str(error).replace(str(path), "fuzzed")
            assert len(line) <= 500
            assert line.isprintable()
        else:
            assert found is None or found.mode in ("L", "RGB")


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


KINDS = [zero_bytes, text, truncated, huge, dangling, loop, fifo, socket_, device, linked_fifo, Path.mkdir]


@pytest.mark.parametrize("reads", [open_image, looks_whole])
@pytest.mark.parametrize("spoil", KINDS)
def test_a_broken_file_is_one_line_with_its_path(tmp_path: Path, spoil: object, reads: object) -> None:
    path = tmp_path / "broken.jpg"
    spoil(path)  # type: ignore[operator]
    with pytest.raises(UserError, match=r"broken\.jpg is not a readable image \(.+\): mend or remove it") as caught:
        reads(path)  # type: ignore[operator]
    assert "\n" not in str(caught.value)
