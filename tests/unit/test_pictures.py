"""What becomes a picture of ours, and what is refused with a message for the form."""

import io
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from pathlib import Path

import pytest
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import SimpleUploadedFile
from PIL import Image

from service.accounts import pictures
from tests.support import ROOT, processes

# The kB that a picture takes beside what the process has.
MEASURE = """
import re, sys
from pathlib import Path
from django.core.files.uploadedfile import SimpleUploadedFile
from service.accounts.pictures import reencode
from tests.support import ROOT
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
upload = SimpleUploadedFile("picture", Path(sys.argv[1]).read_bytes())
before = peak()
reencode(upload)
print(peak() - before)
"""


def encode(form: str, size: tuple[int, int] = (40, 20), **options: object) -> bytes:
    output = io.BytesIO()
    Image.new("RGB", size, "teal").save(output, form, **options)
    return output.getvalue()


def reencode(content: bytes) -> Image.Image:
    return Image.open(pictures.reencode(SimpleUploadedFile("picture", content)))


def refusal(content: bytes) -> str:
    with pytest.raises(ValidationError) as refused:
        pictures.reencode(SimpleUploadedFile("picture.png", content, content_type="image/png"))
    return str(refused.value.message)


def png_of(width: int, height: int) -> bytes:
    """A PNG whose header promises that many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_a_picture_becomes_a_webp_of_the_same_shape(form: str) -> None:
    picture = reencode(encode(form))

    assert (picture.format, picture.size) == ("WEBP", (40, 20))


def test_a_large_picture_is_made_smaller() -> None:
    assert reencode(encode("JPEG", (2000, 1000))).size == (512, 256)


def test_exif_is_dropped_and_its_rotation_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90°
    exif[0x010E] = "where I live"

    content = pictures.reencode(SimpleUploadedFile("picture", encode("JPEG", exif=exif))).read()

    picture = Image.open(io.BytesIO(content))
    assert (picture.size, len(picture.getexif())) == ((20, 40), 0)
    assert b"where I live" not in content


def test_transparency_is_kept() -> None:
    output = io.BytesIO()
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(output, "PNG")

    assert reencode(output.getvalue()).mode == "RGBA"


def test_several_jpegs_in_a_row_are_a_phone_s_picture() -> None:
    assert reencode(encode("JPEG") + encode("JPEG")).size == (40, 20)


def test_half_a_million_jpegs_in_a_row_take_no_longer_than_so_many_do() -> None:
    def seconds(size: int) -> float:
        content = encode("JPEG")
        content += b"\xff\xd8\xff\xd9" * ((size - len(content)) // 4)
        before = time.process_time()
        assert reencode(content).size == (40, 20)
        return time.process_time() - before

    # eight times as long as an eighth of them, on any machine; 64 times if each is copied
    assert seconds(pictures.MAX_BYTES) < 24 * seconds(pictures.MAX_BYTES // 8)


def test_jpegs_with_padding_between_them_are_a_phone_s_picture_and_what_follows_is_none() -> None:
    content = encode("JPEG") + b"\0" * 64 + encode("JPEG")

    assert reencode(content).size == (40, 20)
    assert refusal(content + b"\0#!/bin/sh" + encode("JPEG")) == (
        "The file holds more than a picture. Save it again in an image editor."
    )


def test_padding_behind_a_picture_is_none_of_our_business() -> None:
    assert reencode(encode("JPEG") + b"\0" * 64).size == (40, 20)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_a_polyglot_is_refused(form: str) -> None:
    archive = io.BytesIO(encode(form))
    with zipfile.ZipFile(archive, "a") as packed:
        packed.writestr("index.html", "<script>alert(1)</script>")
    assert zipfile.is_zipfile(archive)

    assert refusal(archive.getvalue()) == "The file holds more than a picture. Save it again in an image editor."


def test_a_decompression_bomb_is_refused_before_it_is_unpacked() -> None:
    assert refusal(png_of(4000, 4000)) == "The picture has more than 12 megapixels. Choose a smaller one."
    assert refusal(png_of(60_000, 60_000)) == "The picture has too many pixels. Choose a smaller one."


@pytest.mark.parametrize(
    ("form", "mode", "options"),
    [("JPEG", "CMYK", {"progressive": True}), ("PNG", "RGBA", {}), ("WEBP", "RGBA", {"lossless": True})],
    ids=["jpeg", "png", "webp"],
)
def test_the_largest_picture_takes_no_more_than_220_mb(
    tmp_path: Path, form: str, mode: str, options: dict[str, object]
) -> None:
    megapixels = pictures.MAX_MEGAPIXELS.get(form, pictures.MAX_MEGAPIXELS_OF_A_JPEG)
    file = tmp_path / "picture"
    Image.new(mode, (4000, megapixels * 250), "teal").save(file, form, **options)
    assert file.stat().st_size < pictures.MAX_BYTES

    result = subprocess.run([sys.executable, "-c", MEASURE, file], cwd=ROOT, capture_output=True, text=True, check=True)

    assert int(result.stdout) < 220_000


def test_one_picture_at_a_time_is_unpacked_whatever_process_does(tmp_path: Path) -> None:
    file = tmp_path / "picture"
    file.write_bytes(encode("PNG"))

    with pictures.one_at_a_time():
        other = subprocess.Popen([sys.executable, "-c", MEASURE, file], cwd=ROOT, stdout=subprocess.DEVNULL)
        waits = f"-> FLOCK  ADVISORY  WRITE {other.pid} "
        processes.wait_until(lambda: waits in Path("/proc/locks").read_text())

    assert other.wait(20) == 0


def test_a_jpeg_of_too_many_pixels_is_refused() -> None:
    assert refusal(encode("JPEG", (6000, 4001), progressive=True)) == (
        "The picture has more than 24 megapixels. Choose a smaller one."
    )


@pytest.mark.parametrize(
    "content",
    [
        b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
        b"GIF89a" + bytes(20),
        b"",
        b"\xff\xd8\xff",
        encode("GIF"),
        encode("JPEG")[:300],
        encode("PNG")[:60],
        encode("WEBP")[:40],
    ],
    ids=["svg", "gif-header", "empty", "jpeg-header", "gif", "half-jpeg", "half-png", "half-webp"],
)
def test_what_is_no_whole_jpeg_png_or_webp_is_refused(content: bytes) -> None:
    assert refusal(content) == pictures.NOT_A_PICTURE


def test_a_picture_of_more_than_2_mb_is_refused() -> None:
    assert refusal(encode("PNG") + bytes(2 * 1024 * 1024)) == "The picture is larger than 2 MB. Choose a smaller one."


def test_a_jpeg_with_every_kind_of_marker_is_a_picture_and_a_polyglot_of_it_is_none() -> None:
    output = io.BytesIO()
    Image.effect_noise((64, 64), 100).save(output, "JPEG", restart_marker_blocks=1)
    content = output.getvalue()
    content = content[:-2] + b"\xff" + content[-2:]  # a fill byte before the last marker
    assert (b"\xff\xd0" in content, b"\xff\x00" in content) == (True, True)

    assert reencode(content).size == (64, 64)
    assert refusal(content + b"#!/bin/sh") == "The file holds more than a picture. Save it again in an image editor."


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_a_picture_cut_anywhere_is_refused(form: str) -> None:
    whole = encode(form)

    messages = {refusal(whole[:end]) for end in range(len(whole))}

    assert messages == {pictures.NOT_A_PICTURE}
