"""Pictures that say of themselves, in their metadata, that they are made.

The IPTC's property is Digital Source Type, a term of https://cv.iptc.org/newscodes/digitalsourcetype/ in an XMP packet.
"""

from __future__ import annotations

import struct
import xml.etree.ElementTree as ET

from synreid.stage.errors import UserError

VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"
MADE: dict[str, str] = {
    "artificial": "trainedAlgorithmicMedia",  # made by a model that was derived from sampled content
    "variation": "compositeWithTrainedAlgorithmicMedia",  # an existing picture, changed by such a model
}
"""The term of each origin, where its maker does not say otherwise."""
_RDF, _XMP = "http://www.w3.org/1999/02/22-rdf-syntax-ns#", "http://ns.adobe.com/xap/1.0/"
_IPTC, _META = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/", "adobe:ns:meta/"
_PREFIXES = {"rdf": _RDF, "xmp": _XMP, "Iptc4xmpExt": _IPTC, "x": _META}
_SOI, _APP0, _APP1 = b"\xff\xd8", 0xE0, 0xE1
_HEAD = {*range(0xE0, 0xF0), 0xFE}  # markers of application segments and comments
_XMP_HEAD = _XMP.encode() + b"\0"  # what an APP1 segment with XMP begins with (XMP specification, part 3, 1.1.3)


def xmp_packet(term: str, tool: str) -> bytes:
    """Return the XMP packet of a picture whose digital source type is `term`, made by `tool`; the same for the same."""
    for prefix, uri in _PREFIXES.items():
        ET.register_namespace(prefix, uri)
    meta = ET.Element(f"{{{_META}}}xmpmeta")
    about = ET.SubElement(ET.SubElement(meta, f"{{{_RDF}}}RDF"), f"{{{_RDF}}}Description", {f"{{{_RDF}}}about": ""})
    ET.SubElement(about, f"{{{_IPTC}}}DigitalSourceType").text = VOCABULARY + term
    ET.SubElement(about, f"{{{_XMP}}}CreatorTool").text = tool
    begin, end = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>', '<?xpacket end="w"?>'
    return f"{begin}{ET.tostring(meta, encoding='unicode')}{end}".encode()


def source_type(packet: bytes) -> str | None:
    """Return the digital source type, a URI, that an XMP packet states, or None."""
    try:
        found = ET.fromstring(packet.strip(b"\0 \n")).find(f".//{{{_IPTC}}}DigitalSourceType")
    except ET.ParseError:
        return None
    return found.text if found is not None else None


def jpeg_with_xmp(data: bytes, packet: bytes) -> bytes:
    """Return a JPEG file's bytes with `packet` in the place of any XMP it has; the coded picture is not touched.

    `data` must be a file that decodes. Segments as in ISO/IEC 10918-1, annex B. Raises UserError for a packet of over
    65,000 bytes.
    """
    body = _XMP_HEAD + packet
    if len(body) > 65_000:
        raise UserError(f"the metadata of a picture have {len(body):,} bytes, over 65,000; shorten the maker's name.")
    before, rest = _head_segments(data)
    kept = [segment for segment in before if not segment[4:].startswith(_XMP_HEAD)]
    own = struct.pack(">BBH", 0xFF, _APP1, 2 + len(body)) + body
    first = 1 if kept and kept[0][1] == _APP0 else 0  # JFIF wants its own segment to be the first
    return b"".join([_SOI, *kept[:first], own, *kept[first:], rest])


def _head_segments(data: bytes) -> tuple[list[bytes], bytes]:
    """Return a JPEG's application and comment segments that stand before all others, and the bytes after them."""
    segments, place = [], len(_SOI)
    while data[place + 1] in _HEAD:
        (length,) = struct.unpack(">H", data[place + 2 : place + 4])
        segments.append(data[place : place + 2 + length])
        place += 2 + length
    return segments, data[place:]
