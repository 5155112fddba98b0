"""How a person stands and walks: joint positions in three dimensions from simple kinematics.

A person's own frame: x to the person's right, y forward, z up, metres, feet on z = 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synreid.data.street.persons import Body

# OpenPose's order of COCO's 18 joints.
JOINTS = (
    "nose",
    "neck",
    "right shoulder",
    "right elbow",
    "right wrist",
    "left shoulder",
    "left elbow",
    "left wrist",
    "right hip",
    "right knee",
    "right ankle",
    "left hip",
    "left knee",
    "left ankle",
    "right eye",
    "left eye",
    "right ear",
    "left ear",
)
GESTURES = {"swing": 0.66, "phone": 0.08, "call": 0.05, "strap": 0.07, "pocket": 0.08, "carry": 0.06}


@dataclass(frozen=True)
class Pose:
    """`phase` of the walking cycle in radians (right heel strikes at pi/2), `stride` 0 standing to 1 walking briskly,
    `lean`, `nod` and `turn` (of the head) in radians, `gesture` one of GESTURES, done with arm `side`."""

    phase: float
    stride: float
    lean: float
    nod: float
    turn: float
    gesture: str
    side: int


@dataclass(frozen=True)
class Skeleton:
    """Joint positions [3] by name, and the forward directions [3] of trunk, head and feet."""

    at: dict[str, np.ndarray]
    head_forward: np.ndarray
    trunk_up: np.ndarray
    feet_forward: dict[int, np.ndarray]
    height: float

    def joints(self) -> np.ndarray:
        """The 18 joints in the order of JOINTS, [18, 3]."""
        return np.stack([self.at[name] for name in JOINTS])


SIDES = {1: "right", -1: "left"}


def skeleton(body: Body, pose: Pose) -> Skeleton:
    """Where the joints are for a body in a pose, lowest foot on the ground."""
    h = body.height
    thigh = shin = 0.245 * h * body.legs
    foot = 0.042 * h
    up = _pitch(np.array([0.0, 0.0, 1.0]), pose.lean)
    at: dict[str, np.ndarray] = {"pelvis": np.zeros(3)}
    feet = {}
    for side, name in SIDES.items():
        phase = pose.phase if side == 1 else pose.phase + np.pi
        swing = np.radians(27) * pose.stride * np.sin(phase)
        bend = np.radians(4) + np.radians(58) * pose.stride * max(0.0, np.cos(phase + 0.35)) ** 1.4
        at[f"{name} hip"] = np.array([side * (0.050 + 0.008 * body.curves) * h, 0.0, 0.0])
        at[f"{name} knee"] = at[f"{name} hip"] + thigh * _leg(swing, side, 0.015)
        at[f"{name} ankle"] = at[f"{name} knee"] + shin * _leg(swing - bend, side, -0.02)
        tilt = -0.9 * pose.stride * max(0.0, -np.sin(phase)) ** 2 - 0.5 * bend * max(0.0, np.cos(phase))
        feet[side] = np.array([side * 0.12, np.cos(tilt + 0.25 * max(0, swing)), np.sin(tilt + 0.25 * max(0, swing))])
    at["neck"] = 0.295 * h * up
    at["chest"] = 0.22 * h * up
    at["head"] = at["neck"] + 0.105 * h * _pitch(up, 0.5 * pose.nod + 0.08)
    for side, name in SIDES.items():
        _arm(at, body, pose, side, name, up)
    drop = min(at["right ankle"][2], at["left ankle"][2]) - foot
    at = {name: point - np.array([0.0, 0.0, drop]) for name, point in at.items()}
    forward = np.array([np.sin(pose.turn) * np.cos(pose.nod), np.cos(pose.turn) * np.cos(pose.nod), -np.sin(pose.nod)])
    _face(at, forward, h)
    return Skeleton(at, forward, up, feet, h)


def _leg(angle: float, side: int, out: float) -> np.ndarray:
    """Unit vector of a bone that hangs down, swung forward by `angle`."""
    return np.array([side * out, np.sin(angle), -np.cos(angle)])


def _pitch(vector: np.ndarray, angle: float) -> np.ndarray:
    """Turn a vector about x, so that a positive angle leans it forward."""
    cosine, sine = np.cos(angle), np.sin(angle)
    x, y, z = vector
    return np.array([x, cosine * y + sine * z, cosine * z - sine * y])


def _arm(at: dict[str, np.ndarray], body: Body, pose: Pose, side: int, name: str, up: np.ndarray) -> None:
    h = body.height
    phase = pose.phase + np.pi if side == 1 else pose.phase
    swing = np.radians(22) * pose.stride * np.sin(phase)
    bend, out, inward = np.radians(14) + 0.6 * max(0.0, swing), 0.11, 0.0
    if side == pose.side and pose.gesture != "swing":
        swing, bend, out, inward = {
            "phone": (0.35, 1.75, 0.16, 0.45),
            "call": (0.55, 2.45, 0.45, 0.25),
            "strap": (0.15, 2.2, 0.28, 0.20),
            "pocket": (-0.25, 0.75, 0.30, 0.10),
            "carry": (0.25 * swing, 0.1, 0.10, 0.0),
        }[pose.gesture]
    width = (0.106 - 0.012 * body.curves) * h * body.shoulders * (0.75 + 0.25 * body.girth)
    at[f"{name} shoulder"] = 0.262 * h * up + np.array([side * width, 0.0, 0.0])
    at[f"{name} elbow"] = at[f"{name} shoulder"] + 0.172 * h * _bone(swing, side * out)
    at[f"{name} wrist"] = at[f"{name} elbow"] + 0.145 * h * _bone(swing + bend, side * (0.3 * out - inward))


def _bone(angle: float, out: float) -> np.ndarray:
    direction = np.array([out, np.sin(angle), -np.cos(angle)])
    return direction / np.linalg.norm(direction)


def _face(at: dict[str, np.ndarray], forward: np.ndarray, h: float) -> None:
    right = np.array([forward[1], -forward[0], 0.0]) / np.hypot(forward[0], forward[1])
    up = np.cross(right, forward)
    centre = at["head"]
    at["nose"] = centre + 0.058 * h * forward - 0.010 * h * up
    for side, name in SIDES.items():
        at[f"{name} eye"] = centre + 0.049 * h * forward + side * 0.018 * h * right + 0.012 * h * up
        at[f"{name} ear"] = centre + side * 0.044 * h * right
