"""The six cameras: where each hangs, what light falls there, and what lens, sensor and coding do to a picture."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from synreid.data.street.surfaces import Light

SCENE_HEIGHT, SCENE_WIDTH = 720, 1280
FOCAL = 1000.0


@dataclass(frozen=True)
class Camera:
    """One camera. Pictures of it show persons whose feet are on scene rows `near` (low, high).

    `lens` is its height in metres and `horizon` the scene row of the horizon, which together give scale and viewing
    angle; `light` is the usual light, `cast` the gain of red, green and blue, `crosstalk` 0 (full colour) to 1
    (grey), `haze` the light added by flare, `exposure` in stops with `swing` its spread, `contrast` of the tone
    curve; `pixels` the range of a person's height on the sensor, `blur` in sensor pixels, `noise` in units of 0..255,
    `quality` the range of its JPEG, `sharpen` the overdone sharpening of its electronics; `sloppy` scales the
    detector's errors, and `busy` is the chance that something stands in front.
    """

    number: int
    scene: str
    lens: float
    horizon: float
    near: tuple[float, float]
    light: Light
    cast: tuple[float, float, float]
    crosstalk: float
    haze: float
    exposure: float
    swing: float
    contrast: float
    pixels: tuple[float, float]
    blur: float
    noise: float
    quality: tuple[int, int]
    sharpen: float
    sloppy: float
    busy: float

    def scale(self, row: float) -> float:
        """Scene pixels a metre for something that stands on scene row `row`."""
        return (row - self.horizon) / self.lens

    def pitch(self, row: float, height: float) -> float:
        """Angle downwards (radians) at which a person of `height` metres on scene row `row` is seen."""
        return float(np.arctan((row - 0.5 * height * self.scale(row) - self.horizon) / FOCAL))

    def distance(self, row: float) -> float:
        """Metres from the lens to the ground at scene row `row`."""
        return float(np.hypot(FOCAL / self.scale(row), self.lens))


def _towards(right: float, up: float, near: float) -> tuple[float, float, float]:
    size = float(np.sqrt(right**2 + up**2 + near**2))
    return right / size, up / size, near / size


CAMERAS = (
    Camera(
        number=1,
        scene="bicycles",
        lens=3.2,
        horizon=60,
        near=(330, 690),
        light=Light(_towards(-0.5, 0.8, 0.5), 0.38, 0.55, 0.34),
        cast=(1.00, 1.00, 0.996),
        crosstalk=0.10,
        haze=0.005,
        exposure=0.05,
        swing=0.12,
        contrast=1.12,
        pixels=(110, 210),
        blur=0.5,
        noise=2.0,
        quality=(65, 88),
        sharpen=0.9,
        sloppy=1.0,
        busy=0.10,
    ),
    Camera(
        number=2,
        scene="paving",
        lens=3.6,
        horizon=-60,
        near=(300, 690),
        light=Light(_towards(0.7, 0.7, 0.1), 0.36, 0.58, 0.32),
        cast=(1.005, 1.00, 0.993),
        crosstalk=0.12,
        haze=0.007,
        exposure=0.05,
        swing=0.12,
        contrast=1.10,
        pixels=(95, 180),
        blur=0.6,
        noise=2.5,
        quality=(55, 82),
        sharpen=0.9,
        sloppy=1.1,
        busy=0.14,
    ),
    Camera(
        number=3,
        scene="wall",
        lens=2.6,
        horizon=150,
        near=(400, 700),
        light=Light(_towards(0.1, 0.9, 0.45), 0.48, 0.34, 0.38),
        cast=(0.996, 1.00, 1.004),
        crosstalk=0.10,
        haze=0.006,
        exposure=0.0,
        swing=0.12,
        contrast=1.12,
        pixels=(110, 220),
        blur=0.5,
        noise=2.0,
        quality=(65, 90),
        sharpen=1.0,
        sloppy=0.9,
        busy=0.10,
    ),
    Camera(
        number=4,
        scene="lawn",
        lens=4.6,
        horizon=-120,
        near=(280, 680),
        light=Light(_towards(-0.8, 0.55, -0.2), 0.36, 0.62, 0.32),
        cast=(1.00, 1.00, 0.992),
        crosstalk=0.08,
        haze=0.004,
        exposure=0.05,
        swing=0.14,
        contrast=1.14,
        pixels=(100, 190),
        blur=0.6,
        noise=2.5,
        quality=(60, 85),
        sharpen=0.9,
        sloppy=1.0,
        busy=0.12,
    ),
    Camera(
        number=5,
        scene="doorway",
        lens=2.4,
        horizon=190,
        near=(430, 700),
        light=Light(_towards(0.4, 0.5, 0.8), 0.34, 0.55, 0.24),
        cast=(0.992, 0.998, 1.012),
        crosstalk=0.06,
        haze=0.003,
        exposure=0.0,
        swing=0.18,
        contrast=1.15,
        pixels=(120, 240),
        blur=0.5,
        noise=3.0,
        quality=(60, 85),
        sharpen=0.9,
        sloppy=1.0,
        busy=0.12,
    ),
    Camera(
        number=6,
        scene="road",
        lens=4.0,
        horizon=-20,
        near=(280, 680),
        light=Light(_towards(-0.3, 0.6, -0.6), 0.42, 0.46, 0.34),
        cast=(1.00, 0.995, 1.00),
        crosstalk=0.15,
        haze=0.010,
        exposure=0.05,
        swing=0.14,
        contrast=1.10,
        pixels=(70, 130),
        blur=0.6,
        noise=3.0,
        quality=(50, 75),
        sharpen=0.9,
        sloppy=1.2,
        busy=0.14,
    ),
)


def expose(picture: np.ndarray, camera: Camera, stops: float, tint: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What the camera makes of a sharp picture of the scene, uint8 [h, w, 3] RGB in and out, at the size of the sensor.

    `stops` is this picture's own error of exposure and `tint` [3] the gain of the light at that place and hour.
    """
    linear = (picture.astype(np.float32) / 255) ** 2.2
    linear *= (
        np.asarray(camera.cast, np.float32) ** 2.2
        * tint.astype(np.float32)
        * np.float32(2.0 ** (camera.exposure + stops))
    )
    patches = cv2.resize(
        rng.normal(0, 0.16, (4, 3)).astype(np.float32), linear.shape[1::-1], interpolation=cv2.INTER_CUBIC
    )
    linear *= np.exp(patches)[:, :, None]
    grey = linear @ np.array([0.30, 0.59, 0.11], np.float32)
    linear += camera.crosstalk * (grey[:, :, None] - linear) + camera.haze
    tone = np.clip(linear, 0, None) ** (1 / 2.2)
    tone = 0.45 + camera.contrast * (tone - 0.45)
    tone = np.where(tone > 0.8, 0.8 + 0.2 * np.tanh((tone - 0.8) / 0.2), np.maximum(tone, 0))
    blurred = cv2.GaussianBlur(tone, (0, 0), camera.blur * float(rng.uniform(0.7, 1.4)))
    smear = rng.uniform(0, 1)
    if smear > 0.8:
        length = int(rng.integers(2, 5))
        blurred = cv2.blur(blurred, (length, 1))
    blurred += camera.sharpen * (blurred - cv2.GaussianBlur(blurred, (0, 0), 1.3))
    noisy = (
        blurred * 255
        + rng.normal(0, camera.noise, (*blurred.shape[:2], 1))
        + rng.normal(0, camera.noise * 0.7, blurred.shape)
    )
    return np.clip(noisy, 0, 255).astype(np.uint8)


def code(picture: np.ndarray, quality: int) -> bytes:
    """JPEG bytes of an RGB picture."""
    done, buffer = cv2.imencode(".jpg", np.ascontiguousarray(picture[:, :, ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise RuntimeError("OpenCV was built without JPEG")
    return bytes(buffer.tobytes())


def decode(coded: bytes) -> np.ndarray:
    """RGB picture of JPEG bytes."""
    picture = np.asarray(cv2.imdecode(np.frombuffer(coded, np.uint8), cv2.IMREAD_COLOR))
    return np.ascontiguousarray(picture[:, :, ::-1])
