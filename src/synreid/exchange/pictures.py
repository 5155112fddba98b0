"""The file that a picture becomes in another tool's folder: its own bytes wherever these will do."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

from synreid.data.decode import picture_sha256, read_picture
from synreid.exchange.metadata import jpeg_with_xmp
from synreid.stage.errors import UserError

QUALITY = 95  # of JPEG files, where a layout wants them and the source is none
JPEG, PNG = ".jpg", ".png"
_BEGINNINGS = {JPEG: b"\xff\xd8\xff", PNG: b"\x89PNG\r\n\x1a\n"}
_XMP_KEY = "XML:com.adobe.xmp"  # of a PNG's text chunk (XMP specification, part 3, 1.1.5)


@dataclass(frozen=True)
class PictureFile:
    """A file's bytes, its suffix, and the SHA-256 of the pixels that they decode to."""

    data: bytes
    suffix: str
    sha256: str

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels, as the file's head has them."""
        width, height = Image.open(io.BytesIO(self.data)).size
        return height, width


def real_file(path: Path, sha256: str, suffixes: tuple[str, ...]) -> PictureFile:
    """Return a real picture's file: its own bytes if it is of one of the formats `suffixes`, else coded as the last.

    One that only its EXIF tag turns upright is coded, too. `sha256` is that of its pixels.
    """
    data = _read(path)
    if (suffix := _suffix(data)) in suffixes and _upright(data):
        return PictureFile(data, suffix, sha256)
    return _coded(read_picture(path), suffixes[-1], None)


def made_file(path: Path, sha256: str, suffixes: tuple[str, ...], packet: bytes) -> PictureFile:
    """Return a made picture's file with the XMP `packet` in it, its pixels untouched if it is of one of the formats.

    Raises UserError where its pixels are not those that `sha256` was taken of.
    """
    data, rgb = _read(path), read_picture(path)
    if picture_sha256(rgb) != sha256:
        raise UserError(f"{path} has changed since its table was made; run the command that made it again.")
    suffix = _suffix(data)
    if suffix == JPEG and suffix in suffixes and _upright(data):
        return PictureFile(jpeg_with_xmp(data, packet), JPEG, sha256)
    return _coded(rgb, suffix if suffix in suffixes else suffixes[-1], packet)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:  # the latter for a name with a zero byte
        raise UserError(f"{path} cannot be read ({error}); check that it is still there.") from error


def _suffix(data: bytes) -> str:
    """Return the suffix of a file's format by how it begins, empty where it is neither JPEG nor PNG."""
    return next((suffix for suffix, beginning in _BEGINNINGS.items() if data.startswith(beginning)), "")


def _upright(data: bytes) -> bool:
    """Return whether other programs, which do not heed the EXIF tag, see the picture as it was trained on."""
    return Image.open(io.BytesIO(data)).getexif().get(ExifTags.Base.Orientation, 1) == 1


def png(rgb: np.ndarray, packet: bytes | None = None) -> bytes:
    """Return a picture, uint8 [H, W, 3], as a PNG file, with the XMP `packet` in it where there is one."""
    file, text = io.BytesIO(), PngInfo()
    if packet is not None:
        text.add_itxt(_XMP_KEY, packet.decode())
    Image.fromarray(rgb).save(file, "PNG", pnginfo=text)
    return file.getvalue()


def _coded(rgb: np.ndarray, suffix: str, packet: bytes | None) -> PictureFile:
    """Code a picture, uint8 [H, W, 3], as JPEG or PNG; the same pixels give the same bytes."""
    if suffix == PNG:
        return PictureFile(png(rgb, packet), suffix, picture_sha256(rgb))
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "JPEG", quality=QUALITY, subsampling=0)
    plain = file.getvalue()
    data = plain if packet is None else jpeg_with_xmp(plain, packet)
    return PictureFile(data, suffix, picture_sha256(np.asarray(Image.open(file))))
