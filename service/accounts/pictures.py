"""Profile pictures: validate an upload and re-encode it."""

import io
from concurrent.futures import ThreadPoolExecutor

from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile
from django.core.files.uploadedfile import UploadedFile
from PIL import Image, ImageOps

MAX_BYTES = 2 * 1024 * 1024
# Pillow takes 8 bytes a pixel to decode a progressive CMYK JPEG or an RGBA PNG, and 16 for a WebP: at most 140 MiB.
MAX_MEGAPIXELS = {"JPEG": 16, "PNG": 16, "WEBP": 8}
# A progressive JPEG has about 10 scans. 2 MB can hold 65,000, which take minutes of CPU time.
MAX_SCANS = 100
START_OF_SCAN = b"\xff\xda"
EDGE = 512  # pixels of the longer side

FORMATS = f"JPEG, PNG or WebP, at most {MAX_BYTES // 2**20} MB."
TOO_LARGE = f"The file is too large. The limit is {MAX_BYTES // 2**20} MB."
TOO_MANY_PIXELS = (
    f"The picture has too many pixels. The limit is {MAX_MEGAPIXELS['JPEG']} megapixels, "
    f"{MAX_MEGAPIXELS['WEBP']} for WebP."
)
INVALID = "The file is not a valid picture. Choose a JPEG, PNG or WebP file."
BUSY = "The server is busy. Try again in a few seconds."

# One thread decodes all pictures of a process: one picture in memory at a time, and one malloc arena that grows.
decoder = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pictures")
WAIT_SECONDS = 10


def reencode(upload: UploadedFile) -> ContentFile:
    """Returns the upload as an upright WebP of at most EDGE pixels, without metadata.

    Nothing of the uploaded bytes is stored. Raises ValidationError with a message for the form.
    """
    if (upload.size or 0) > MAX_BYTES:
        raise ValidationError(TOO_LARGE)
    webp = decoder.submit(_to_webp, upload.read())
    try:
        return ContentFile(webp.result(timeout=WAIT_SECONDS))
    except TimeoutError as error:
        webp.cancel()
        raise ValidationError(BUSY) from error
    except Image.DecompressionBombError as error:
        raise ValidationError(TOO_MANY_PIXELS) from error
    except Exception as error:  # Pillow has no base class for the errors of a broken file
        raise ValidationError(INVALID) from error


def _to_webp(content: bytes) -> bytes:
    image = Image.open(io.BytesIO(content), formats=tuple(MAX_MEGAPIXELS))  # decodes the header only
    if image.format == "JPEG" and content.count(START_OF_SCAN) > MAX_SCANS:
        raise ValueError("too many scans")
    if image.width * image.height > MAX_MEGAPIXELS[str(image.format)] * 1_000_000:
        raise Image.DecompressionBombError
    image.thumbnail((EDGE, EDGE))
    picture = ImageOps.exif_transpose(image)
    picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    picture.info.clear()
    output = io.BytesIO()
    picture.save(output, "WEBP", quality=85)
    return output.getvalue()
