"""What a person uploads becomes a picture of ours, or a message that says why not."""

import fcntl
import io
import os
import struct
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile
from django.core.files.uploadedfile import UploadedFile
from PIL import Image, ImageOps, UnidentifiedImageError

MAX_BYTES = 2 * 1024 * 1024
# What unpacking takes: a PNG 9 bytes a pixel, a WebP 16, a JPEG of several scans 2 for each of its channels.
MAX_MEGAPIXELS = {"PNG": 12, "WEBP": 12}
MAX_MEGAPIXELS_OF_A_JPEG = 24
EDGE = 512  # pixels, of the longer side

NOT_A_PICTURE = "This is not a picture we can read. Choose a JPEG, PNG or WebP file."


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """In all processes of a container, whose memory a picture takes much of."""
    with Path(tempfile.gettempdir(), f"unpacking-{os.getuid()}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@one_at_a_time()
def reencode(upload: UploadedFile) -> ContentFile:
    """The upload as a WebP of at most EDGE pixels, turned upright, with no metadata; ValidationError else.

    Only JPEG, PNG and WebP are decoded. A file with anything behind its picture (a polyglot: the same bytes are
    also an archive or a script) is refused, and so is one of more than MAX_MEGAPIXELS before a pixel is
    unpacked.
    """
    if (upload.size or 0) > MAX_BYTES:
        raise ValidationError(f"The picture is larger than {MAX_BYTES // 2**20} MB. Choose a smaller one.")
    content = upload.read()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(content), formats=("JPEG", "PNG", "WEBP"))
        megapixels = MAX_MEGAPIXELS.get(image.format or "", MAX_MEGAPIXELS_OF_A_JPEG)
        if image.width * image.height > megapixels * 1_000_000:
            raise ValidationError(f"The picture has more than {megapixels} megapixels. Choose a smaller one.")
        if trailing(content, image.format or ""):
            raise ValidationError("The file holds more than a picture. Save it again in an image editor.")
        image.thumbnail((EDGE, EDGE))
        picture = ImageOps.exif_transpose(image)
        picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
        picture.info.clear()
        output = io.BytesIO()
        picture.save(output, "WEBP", quality=85)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValidationError("The picture has too many pixels. Choose a smaller one.") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, struct.error, EOFError, IndexError) as error:
        raise ValidationError(NOT_A_PICTURE) from error
    return ContentFile(output.getvalue(), name="picture.webp")


def trailing(content: bytes, image_format: str) -> bytes:
    """What stands behind the picture, but for padding; ValueError where the picture has no end.

    Phones put further JPEGs behind the first (CIPA DC-007, Multi-Picture Format): those are no trailing bytes.
    """
    end = start = 0
    if image_format == "PNG":
        end = _png_end(content)
    elif image_format == "WEBP":
        end = 8 + int.from_bytes(content[4:8], "little")
    else:
        while start >= 0 and not content[end:start].strip(b"\x00"):
            end = _jpeg_end(content, start)
            start = content.find(b"\xff\xd8", end)
    return content[end:].strip(b"\x00")


def _png_end(content: bytes) -> int:
    """Behind the IEND chunk; a chunk is length, type, data, checksum (PNG, 5.3)."""
    position = 8
    while True:
        length: int
        kind: bytes
        length, kind = struct.unpack_from(">I4s", content, position)
        position += 12 + length
        if kind == b"IEND":
            if position > len(content):
                raise EOFError
            return position


def _jpeg_end(content: bytes, start: int) -> int:
    """Behind the EOI marker of the JPEG that starts there (ITU-T T.81, B.1.1)."""
    position = start + 2
    while True:
        position = content.index(b"\xff", position)
        marker = content[position + 1]
        position += 2
        if marker == 0xD9:
            return position
        if marker == 0xFF:  # fill byte: the marker follows
            position -= 1
        elif not (marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD7):  # all others have a length
            position += int.from_bytes(content[position : position + 2], "big")
