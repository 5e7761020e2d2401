"""Re-encoding of uploaded pictures."""

import io
import struct
import subprocess
import sys
import threading
import zipfile
import zlib
from pathlib import Path

import pytest
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import SimpleUploadedFile
from PIL import Image

from service.accounts import pictures
from tests.support import ROOT

# Prints by how many MiB one call raises the peak memory of the process.
MEASURE = """
import re, sys
from pathlib import Path
from django.core.files.uploadedfile import SimpleUploadedFile
from service.accounts.pictures import reencode
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
upload = SimpleUploadedFile("picture", Path(sys.argv[1]).read_bytes())
before = peak()
reencode(upload)
print((peak() - before) // 1024)
"""


def encode(image_format: str, size: tuple[int, int] = (40, 20), **options: object) -> bytes:
    output = io.BytesIO()
    Image.new("RGB", size, "teal").save(output, image_format, **options)
    return output.getvalue()


def with_archive(content: bytes) -> bytes:
    """Returns a polyglot: a picture that is also a ZIP archive."""
    output = io.BytesIO(content)
    with zipfile.ZipFile(output, "a") as archive:
        archive.writestr("index.html", "<script>alert(1)</script>")
    return output.getvalue()


def reencode(content: bytes) -> Image.Image:
    return Image.open(pictures.reencode(SimpleUploadedFile("picture", content)))


def error(content: bytes) -> str:
    with pytest.raises(ValidationError) as raised:
        pictures.reencode(SimpleUploadedFile("picture.png", content, content_type="image/png"))
    return str(raised.value.message)


def png_with_size(width: int, height: int) -> bytes:
    """Returns a small PNG whose header states this size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
def test_picture_is_reencoded_as_webp_with_the_same_size(image_format: str) -> None:
    picture = reencode(encode(image_format))

    assert (picture.format, picture.size) == ("WEBP", (40, 20))


def test_large_picture_is_scaled_down() -> None:
    assert reencode(encode("JPEG", (2000, 1000))).size == (512, 256)


def test_exif_orientation_is_applied_and_metadata_is_removed() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: rotated by 90°
    exif[0x010E] = "home address"

    content = pictures.reencode(SimpleUploadedFile("picture", encode("JPEG", exif=exif))).read()

    picture = Image.open(io.BytesIO(content))
    assert (picture.size, len(picture.getexif())) == ((20, 40), 0)
    assert b"home address" not in content


def test_transparency_is_kept() -> None:
    output = io.BytesIO()
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(output, "PNG")

    assert reencode(output.getvalue()).mode == "RGBA"


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
def test_archive_appended_to_a_picture_is_not_stored(image_format: str) -> None:
    upload = with_archive(encode(image_format))
    assert zipfile.is_zipfile(io.BytesIO(upload))

    stored = pictures.reencode(SimpleUploadedFile("picture", upload)).read()

    assert not zipfile.is_zipfile(io.BytesIO(stored))
    assert stored == pictures.reencode(SimpleUploadedFile("picture", encode(image_format))).read()


@pytest.mark.parametrize(
    "content",
    [
        png_with_size(60_000, 60_000),
        png_with_size(4000, 4001),
        encode("JPEG", (4000, 4001)),
        encode("WEBP", (2000, 4001)),
    ],
    ids=["decompression-bomb", "png", "jpeg", "webp"],
)
def test_picture_with_too_many_pixels_is_rejected(content: bytes) -> None:
    assert error(content) == "The picture has too many pixels. The limit is 16 megapixels, 8 for WebP."


def test_jpeg_with_too_many_scans_is_rejected() -> None:
    content = encode("JPEG", progressive=True)
    last_scan = content[content.rindex(pictures.START_OF_SCAN) : -2]
    bomb = content[:-2] + last_scan * pictures.MAX_SCANS + content[-2:]
    Image.open(io.BytesIO(bomb)).load()  # Pillow decodes all scans

    assert error(bomb) == pictures.INVALID


@pytest.mark.parametrize(
    ("image_format", "mode", "options"),
    [("JPEG", "CMYK", {"progressive": True}), ("PNG", "RGBA", {}), ("WEBP", "RGBA", {"lossless": True})],
    ids=["jpeg", "png", "webp"],
)
def test_largest_picture_takes_at_most_150_mib(
    tmp_path: Path, image_format: str, mode: str, options: dict[str, object]
) -> None:
    file = tmp_path / "picture"
    Image.new(mode, (4000, pictures.MAX_MEGAPIXELS[image_format] * 250), "teal").save(file, image_format, **options)
    assert file.stat().st_size < pictures.MAX_BYTES

    result = subprocess.run([sys.executable, "-c", MEASURE, file], cwd=ROOT, capture_output=True, text=True, check=True)

    assert int(result.stdout) <= 150


def test_picture_is_rejected_if_decoding_does_not_start_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "WAIT_SECONDS", 0.1)

    decoded = threading.Event()
    decoding = pictures.decoder.submit(decoded.wait)

    assert error(encode("PNG")) == "The server is busy. Try again in a few seconds."

    decoded.set()
    assert decoding.result(timeout=20)
    assert reencode(encode("PNG")).size == (40, 20)


@pytest.mark.parametrize(
    "content",
    [
        b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
        b"GIF89a" + bytes(20),
        b"",
        b"\xff\xd8\xff",
        encode("GIF"),
    ],
    ids=["svg", "gif-header", "empty", "jpeg-header", "gif"],
)
def test_other_file_is_rejected(content: bytes) -> None:
    assert error(content) == "The file is not a valid picture. Choose a JPEG, PNG or WebP file."


# The last 21 bytes of a PNG contain no pixels, but checksums and the IEND chunk.
@pytest.mark.parametrize(("image_format", "rest"), [("JPEG", 0), ("PNG", 21), ("WEBP", 0)])
def test_picture_truncated_at_any_byte_is_rejected(image_format: str, rest: int) -> None:
    content = encode(image_format)

    messages = {error(content[:end]) for end in range(len(content) - rest)}

    assert messages == {pictures.INVALID}


def test_file_over_2_mb_is_rejected() -> None:
    assert error(encode("PNG") + bytes(2 * 1024 * 1024)) == "The file is too large. The limit is 2 MB."
