"""Pedestrian detectors that are Darknet networks, read and run by OpenCV."""

from __future__ import annotations

import cv2
import numpy as np

from synreid.features import registry
from synreid.features.framing import bordered, pasted
from synreid.stage.errors import UserError

BATCH = 8
LEAST = 0.001  # OpenCV sets lower scores to 0; its own 0.2 would hide where real pictures end when they are calibrated


class DarknetDetector:
    """A Darknet network of COCO's classes. A kind of it names its two files, its input's side and the crop's share."""

    name: str
    threshold: float
    needs: tuple[str, str]
    """Registry entries of the network's description (.cfg) and of its weights."""
    size: int
    share: float
    grey = 114
    person = 0

    def __init__(self) -> None:
        self._net = network(*self.needs)
        self._outputs = self._net.getUnconnectedOutLayersNames()

    def framed(self, pictures: np.ndarray) -> np.ndarray:
        """What the network is shown of uint8 RGB crops `[N, H, W, 3]`: pictures of any one size, `[N, h, w, 3]`."""
        return pasted(pictures, self.size, self.share, self.grey)

    def score(self, pictures: np.ndarray) -> np.ndarray:
        """Highest confidence, objectness times probability, of a box whose best class is person, `[N]`; 0 for none.

        Non-maximum suppression would take away boxes beside the best one, never that one, so none is run.
        """
        best = np.zeros(len(pictures), dtype=np.float32)
        for start in range(0, len(pictures), BATCH):
            block = self.framed(pictures[start : start + BATCH])
            self._net.setInput(cv2.dnn.blobFromImages(list(block), 1 / 255, (self.size, self.size)))  # Darknet: RGB
            for output in self._net.forward(self._outputs):
                boxes = np.asarray(output).reshape(len(block), -1, output.shape[-1])  # of one picture it is [places, .]
                classes = boxes[..., 5:]  # after a box's place and its objectness, which OpenCV has multiplied in
                persons = np.where(classes.argmax(2) == self.person, classes[..., self.person], 0.0).max(1)
                best[start : start + len(block)] = np.maximum(best[start : start + len(block)], persons)
        return best


class YoloFastestDetector(DarknetDetector):
    """Yolo-Fastest 1.1 XL (dog-qiuqiu 2021), trained on COCO.

    The score that 90 % of real crops reach is highest (0.65) at 35 % of the input's height; at 25 % and at 50 % it is
    below 0.3. Of all detectors here it is the one to which a blur costs most real crops, nearly half.
    """

    name = "yolo-fastest"
    threshold = 0.6
    needs = ("yolo-fastest-cfg", "yolo-fastest")
    size, share = 320, 0.35


class YoloV4TinyDetector(DarknetDetector):
    """YOLOv4-tiny (Bochkovskiy et al. 2020; Wang et al. 2021), trained on COCO.

    The threshold is the thesis's and the share Yolo-Fastest's; neither was measured, as the weights were not to be had.
    """

    name = "yolov4-tiny"
    threshold = 0.6
    needs = ("yolov4-tiny-cfg", "yolov4-tiny")
    size, share = 416, 0.35


class YoloV4TinyThesisDetector(YoloV4TinyDetector):
    """YOLOv4-tiny as the thesis showed it crops: a purple border of 150 pixels, all squeezed to 416x416.

    The thesis keeps a picture with a person's box of confidence over 0.6 (its section 5.1; border and colour are its
    released code's). Its pictures were 128x64; others are brought to 128 rows, so that the border keeps its proportion.
    """

    name = "yolov4-tiny-thesis"
    height, border, colour = 128, 150, (152, 52, 101)

    def framed(self, pictures: np.ndarray) -> np.ndarray:
        """Crops `[N, H, W, 3]` within the border, `[N, 428, w, 3]`; OpenCV squeezes them to the network's input."""
        return bordered(pictures, self.height, self.border, self.colour)


def network(description: str, weights: str) -> cv2.dnn.Net:
    """The Darknet network of two registry entries, its .cfg and its .weights.

    UserError where this OpenCV reads no Darknet files (asked before anything is downloaded) or a file is not to be had.
    """
    read = getattr(cv2.dnn, "readNetFromDarknet", None)
    if read is None:
        raise UserError(
            f"{registry.REGISTRY[weights].file} is a Darknet network, which OpenCV {cv2.__version__} cannot read: "
            "install opencv-python-headless below 5."
        )
    text = registry.locate(description).read_bytes().replace(b"[yolo]", f"[yolo]\nthresh={LEAST}".encode())
    contents = registry.locate(weights).read_bytes()
    net: cv2.dnn.Net = read(np.frombuffer(text, np.uint8), np.frombuffer(contents, np.uint8))
    return net
