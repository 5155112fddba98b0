"""From a picture file to its pixels: the one decoder that everything goes by."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from synreid.stage.errors import UserError

MAX_PIXELS = 64_000_000
FORMATS = ("JPEG", "PNG", "BMP", "WEBP")
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
NOT_A_PICTURE, DAMAGED, TOO_LARGE = "not a picture", "damaged picture", "picture too large"
_DEEP = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")  # Pillow would clip these to 255 without a word

# A picture past Pillow's own limit is refused below with a sentence; its warning would only come on top of that.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def is_picture_name(name: str) -> bool:
    """Tell whether a file is a picture by its name; hidden files (as `._x.jpg` of macOS) are not."""
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


class PictureError(UserError):
    """A file that does not give a picture; `rule` is the rule of `data check` that it breaks."""

    def __init__(self, rule: str, text: str) -> None:
        super().__init__(text)
        self.rule = rule


def read_picture(path: Path) -> np.ndarray:
    """Return a picture's pixels, uint8 [H, W, 3], RGB, upright by its EXIF tag; grey and palette are made RGB.

    The size is known from the file's head and checked before anything is decoded. Raises PictureError, a UserError,
    for a file that is no picture, damaged, cut short, over 64 megapixels or deeper than 8 bits.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            _check_head(path, image)
            if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
                return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
            return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))  # convert would copy it
    except PictureError:
        raise
    except UnidentifiedImageError as error:
        raise PictureError(NOT_A_PICTURE, f"{path} is not a {_FORMAT_LIST} picture; remove it.") from error
    except Image.DecompressionBombError as error:
        raise PictureError(TOO_LARGE, f"{path} has over {MAX_PIXELS // 10**6} megapixels; make it smaller.") from error
    except FileNotFoundError as error:
        raise PictureError(DAMAGED, f"{path} does not exist; check the folder and scan it again.") from error
    except Exception as error:  # a damaged file makes Pillow raise almost anything
        raise PictureError(DAMAGED, f"{path} cannot be decoded ({error}); replace it or remove it.") from error


_FORMAT_LIST = ", ".join(FORMATS[:-1]) + " or " + FORMATS[-1]


def _check_head(path: Path, image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        limit = MAX_PIXELS // 10**6
        raise PictureError(TOO_LARGE, f"{path} has {height}x{width} pixels, over {limit} megapixels; make it smaller.")
    if image.mode in _DEEP:
        raise PictureError(DAMAGED, f"{path} has more than 8 bits a pixel and channel; save it with 8.")


def resize(rgb: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return a picture, uint8 [height, width, 3]: bicubic, and antialiased along a side that shrinks."""
    if rgb.shape[:2] == (height, width):
        return rgb
    return np.asarray(Image.fromarray(rgb).resize((width, height), Image.Resampling.BICUBIC))


def picture_sha256(rgb: np.ndarray) -> str:
    """Return the SHA-256, 64 hexadecimal digits, of a picture, uint8 [H, W, 3]: its shape and its pixels."""
    digest = hashlib.sha256("x".join(map(str, rgb.shape)).encode())
    digest.update(np.ascontiguousarray(rgb, dtype=np.uint8).data)
    return digest.hexdigest()
