"""Metadata go into a picture's file, and the picture stays what it was."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from synreid.exchange.metadata import VOCABULARY, jpeg_with_xmp, source_type, xmp_packet
from synreid.stage.errors import UserError


def jpeg(**save: object) -> bytes:
    file = io.BytesIO()
    rgb = np.random.default_rng(0).integers(0, 256, (16, 8, 3), dtype=np.uint8)
    Image.fromarray(rgb).save(file, "JPEG", **save)
    return file.getvalue()


@pytest.mark.parametrize(
    "save", [{}, {"xmp": b"<old/>"}, {"comment": b"hello", "dpi": (72, 72)}, {"progressive": True}]
)
def test_packet_replaces_any_other_and_nothing_else_changes(save: dict[str, object]) -> None:
    exif = Image.Exif()
    exif[0x0131] = "a camera's program"
    before = jpeg(exif=exif, **save)
    packet = xmp_packet("trainedAlgorithmicMedia", 'Tool <"&> 2')
    after = jpeg_with_xmp(before, packet)
    one, two = (Image.open(io.BytesIO(data)) for data in (before, after))
    assert np.array_equal(np.asarray(one), np.asarray(two))
    assert two.info["xmp"] == packet and after.count(b"http://ns.adobe.com/xap/1.0/\0") == 1
    assert two.getexif()[0x0131] == "a camera's program"
    assert {**one.info, "xmp": None} == {**two.info, "xmp": None}
    assert jpeg_with_xmp(after, packet) == after


def test_packet_is_read_by_its_names_in_the_iptcs_space() -> None:
    packet = xmp_packet("algorithmicMedia", "Tool")
    assert source_type(packet) == f"{VOCABULARY}algorithmicMedia"
    assert b"Iptc4xmpExt:DigitalSourceType>http://cv.iptc.org/newscodes/digitalsourcetype/algorithmicMedia<" in packet
    assert source_type(b"no xml") is None and source_type(b"<x/>") is None


def test_packet_that_no_segment_holds_is_refused() -> None:
    with pytest.raises(UserError, match="over 65,000"):
        jpeg_with_xmp(jpeg(), xmp_packet("algorithmicMedia", "x" * 70_000))
