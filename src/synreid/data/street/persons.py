"""Who a person of the street is: body, hair and everything worn, drawn once from a seed and the same in every
picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synreid.data.street.seeds import PERSON, chance, pick, stream

Colour = tuple[float, float, float]

# Colours and shares of what people wear in the street: much black, white, grey and blue, so that many look alike.
PALETTE: dict[str, tuple[Colour, float]] = {
    "black": ((0.11, 0.11, 0.12), 0.24),
    "dark grey": ((0.27, 0.27, 0.28), 0.11),
    "grey": ((0.52, 0.52, 0.53), 0.11),
    "white": ((0.88, 0.88, 0.87), 0.21),
    "navy": ((0.15, 0.17, 0.26), 0.09),
    "blue": ((0.22, 0.32, 0.54), 0.05),
    "light blue": ((0.55, 0.68, 0.82), 0.04),
    "teal": ((0.13, 0.45, 0.47), 0.01),
    "green": ((0.20, 0.42, 0.25), 0.02),
    "olive": ((0.36, 0.37, 0.24), 0.02),
    "beige": ((0.77, 0.70, 0.57), 0.045),
    "brown": ((0.38, 0.27, 0.20), 0.025),
    "red": ((0.68, 0.15, 0.16), 0.04),
    "dark red": ((0.40, 0.11, 0.15), 0.02),
    "pink": ((0.88, 0.58, 0.64), 0.025),
    "purple": ((0.42, 0.29, 0.52), 0.015),
    "orange": ((0.86, 0.46, 0.16), 0.01),
    "yellow": ((0.89, 0.77, 0.28), 0.015),
}
LOWER = {
    "black": 0.32,
    "dark grey": 0.13,
    "grey": 0.08,
    "navy": 0.20,
    "blue": 0.10,
    "light blue": 0.04,
    "beige": 0.07,
    "brown": 0.03,
    "olive": 0.03,
    "white": 0.04,
    "red": 0.01,
    "pink": 0.01,
}
SHOES = {
    "black": 0.36,
    "white": 0.24,
    "grey": 0.12,
    "dark grey": 0.06,
    "brown": 0.10,
    "navy": 0.05,
    "red": 0.04,
    "beige": 0.03,
}
BAGS = {
    "black": 0.46,
    "dark grey": 0.12,
    "grey": 0.08,
    "navy": 0.10,
    "blue": 0.04,
    "brown": 0.06,
    "beige": 0.04,
    "white": 0.03,
    "red": 0.03,
    "pink": 0.02,
    "green": 0.01,
    "yellow": 0.01,
}
HAIR = {
    "black": ((0.09, 0.08, 0.08), 0.62),
    "dark brown": ((0.19, 0.13, 0.10), 0.2),
    "brown": ((0.34, 0.23, 0.15), 0.08),
    "blond": ((0.66, 0.54, 0.34), 0.04),
    "grey": ((0.56, 0.55, 0.54), 0.06),
}
SKIN = {
    "light": ((0.90, 0.74, 0.64), 0.34),
    "medium": ((0.83, 0.64, 0.52), 0.36),
    "tan": ((0.70, 0.51, 0.38), 0.18),
    "brown": ((0.50, 0.34, 0.25), 0.08),
    "dark": ((0.33, 0.23, 0.18), 0.04),
}


@dataclass(frozen=True)
class Body:
    """Build: height in metres, girth about 1 (0.8 slim, 1.4 heavy), femininity of the outline 0 to 1, skin colour."""

    height: float
    girth: float
    curves: float
    legs: float
    shoulders: float
    stride: float
    skin: Colour
    skin_name: str


@dataclass(frozen=True)
class Hair:
    """Style: bald, short, medium, long, tail, bun; `parting` shifts the fringe, -1 to 1."""

    style: str
    colour: Colour
    name: str
    parting: float
    beard: bool
    glasses: bool


@dataclass(frozen=True)
class Upper:
    """What covers the trunk. `hem` and `sleeve` are 0 to 1 of their range, `open` is the half angle of an open front
    (radians).
    """

    kind: str
    pattern: str
    colour: Colour
    name: str
    second: Colour
    inner: Colour
    scale: float
    sleeve: float
    sleeve_colour: Colour
    hem: float
    ease: float
    open: float
    hood: bool
    print_at: tuple[float, float, float]
    print_on_back: bool


@dataclass(frozen=True)
class Lower:
    """Trousers, shorts or skirt; `length` 0 (hip) to 1 (floor), `width` the ease of the leg in metres."""

    kind: str
    pattern: str
    colour: Colour
    name: str
    second: Colour
    length: float
    width: float
    flare: float
    tights: Colour | None


@dataclass(frozen=True)
class Things:
    """Shoes, bag and hat with their colours; `side` is 1 for right, -1 for left."""

    shoes: str
    shoe_colour: Colour
    shoe_name: str
    sole: Colour
    sock: Colour | None
    bag: str
    bag_colour: Colour
    bag_name: str
    bag_size: float
    side: int
    hat: str
    hat_colour: Colour
    hat_name: str


@dataclass(frozen=True)
class Person:
    """One person of a world: `number` is the person's number there."""

    seed: int
    number: int
    body: Body
    hair: Hair
    upper: Upper
    lower: Lower
    things: Things

    def attributes(self) -> dict[str, str]:
        """What a witness would say, as the truth table has it."""
        return {
            "build": "heavy" if self.body.girth > 1.15 else "slim" if self.body.girth < 0.92 else "medium",
            "stature": "tall" if self.body.height > 1.77 else "short" if self.body.height < 1.60 else "medium",
            "skin": self.body.skin_name,
            "hair_style": self.hair.style,
            "hair_colour": self.hair.name,
            "upper": self.upper.kind,
            "upper_colour": self.upper.name,
            "upper_pattern": self.upper.pattern,
            "sleeves": "long" if self.upper.sleeve > 0.75 else "short" if self.upper.sleeve > 0.05 else "none",
            "lower": self.lower.kind,
            "lower_colour": self.lower.name,
            "lower_pattern": self.lower.pattern,
            "shoes": self.things.shoes,
            "shoe_colour": self.things.shoe_name,
            "bag": self.things.bag,
            "bag_colour": self.things.bag_name,
            "hat": self.things.hat,
            "hat_colour": self.things.hat_name,
        }


def draw_person(seed: int, number: int) -> Person:
    """Person `number` of the world `seed`, always the same one."""
    rng = stream(seed, PERSON, number)
    woman = chance(rng, 0.45)
    body = _body(rng, woman)
    upper = _upper(rng, woman)
    lower = _lower(rng, woman, upper)
    return Person(seed, number, body, _hair(rng, woman), upper, lower, _things(rng, woman))


def _near(rng: np.random.Generator, colour: Colour, spread: float = 0.035) -> Colour:
    """A colour near `colour`: brightness varies more than hue, and greys stay grey."""
    gain = np.exp(rng.normal(0, 2.5 * spread) + rng.normal(0, 0.8 * spread, 3))
    red, green, blue = np.clip(np.asarray(colour) * gain, 0.04, 0.95)
    return float(red), float(green), float(blue)


def _dye(rng: np.random.Generator, weights: dict[str, float] | None = None) -> tuple[str, Colour]:
    name = pick(rng, weights or {key: share for key, (_, share) in PALETTE.items()})
    return name, _near(rng, PALETTE[name][0])


def _body(rng: np.random.Generator, woman: bool) -> Body:
    tone = pick(rng, {key: share for key, (_, share) in SKIN.items()})
    return Body(
        height=float(np.clip(rng.normal(1.62 if woman else 1.74, 0.06), 1.45, 1.95)),
        girth=float(np.clip(np.exp(rng.normal(0.0, 0.14)), 0.78, 1.45)),
        curves=float(rng.uniform(0.6, 1.0) if woman else rng.uniform(0.0, 0.25)),
        legs=float(rng.normal(1.0, 0.025)),
        shoulders=float(rng.normal(1.0, 0.05)),
        stride=float(rng.uniform(0.7, 1.15)),
        skin=_near(rng, SKIN[tone][0], 0.02),
        skin_name=tone,
    )


def _hair(rng: np.random.Generator, woman: bool) -> Hair:
    styles = {"short": 0.1, "medium": 0.25, "long": 0.33, "tail": 0.22, "bun": 0.1}
    style = pick(rng, styles if woman else {"bald": 0.07, "short": 0.78, "medium": 0.15})
    name = pick(rng, {key: share for key, (_, share) in HAIR.items()})
    return Hair(
        style,
        _near(rng, HAIR[name][0], 0.02),
        name,
        float(rng.uniform(-1, 1)),
        not woman and chance(rng, 0.12),
        chance(rng, 0.25),
    )


def _upper(rng: np.random.Generator, woman: bool) -> Upper:
    kind = pick(rng, {"t-shirt": 0.40, "shirt": 0.21, "jacket": 0.21, "coat": 0.06, "dress": 0.12 if woman else 0.0})
    pattern = pick(
        rng,
        {
            "plain": 0.60,
            "logo": 0.17 if kind != "dress" else 0.02,
            "stripes": 0.07,
            "checks": 0.07,
            "gradient": 0.02,
            "blocks": 0.04,
            "dots": 0.06 if woman else 0.01,
        },
    )
    name, colour = _dye(rng)
    _, second = _dye(rng)
    inner = _dye(rng, {"white": 0.5, "grey": 0.15, "black": 0.2, "light blue": 0.1, "red": 0.05})[1]
    sleeve = {"t-shirt": 0.30, "shirt": 0.95, "jacket": 0.98, "coat": 0.98, "dress": 0.2}[kind]
    if kind == "shirt" and chance(rng, 0.55):
        sleeve = 0.33
    if kind in ("t-shirt", "dress"):
        sleeve = float(rng.choice([0.0, 0.22, 0.32, 0.42, 0.95], p=[0.08, 0.25, 0.37, 0.2, 0.1]))
    opens = {"jacket": 0.6, "coat": 0.5, "shirt": 0.22}.get(kind, 0.0)
    return Upper(
        kind=kind,
        pattern=pattern,
        colour=colour,
        name=name,
        second=second,
        inner=inner,
        scale=float(rng.uniform(0.7, 1.5)),
        sleeve=sleeve,
        sleeve_colour=second if pattern == "blocks" or chance(rng, 0.04) else colour,
        hem=float(rng.uniform(0, 1)),
        ease=float(rng.uniform(0.0, 0.02) + {"jacket": 0.018, "coat": 0.025, "dress": 0.002}.get(kind, 0.006)),
        open=float(rng.uniform(0.12, 0.5)) if chance(rng, opens) else 0.0,
        hood=kind in ("jacket", "coat") and chance(rng, 0.4),
        print_at=(float(rng.uniform(-0.3, 0.3)), float(rng.uniform(0.25, 0.45)), float(rng.uniform(0.4, 1.0))),
        print_on_back=chance(rng, 0.35),
    )


def _lower(rng: np.random.Generator, woman: bool, upper: Upper) -> Lower:
    cold = upper.kind in ("jacket", "coat")
    kind = pick(
        rng, {"trousers": 0.85 if cold else 0.5, "shorts": 0.04 if cold else 0.30, "skirt": 0.22 if woman else 0.0}
    )
    name, colour = _dye(rng, LOWER)
    length = {"trousers": 1.0, "shorts": float(rng.uniform(0.22, 0.52)), "skirt": float(rng.uniform(0.28, 0.8))}[kind]
    tights = _dye(rng, {"black": 0.7, "grey": 0.2, "beige": 0.1})[1] if kind == "skirt" and chance(rng, 0.3) else None
    pattern = pick(rng, {"plain": 0.93, "checks": 0.03, "stripes": 0.03, "gradient": 0.01})
    return Lower(
        kind,
        pattern,
        colour,
        name,
        _dye(rng)[1],
        length,
        float(rng.uniform(0.004, 0.03)),
        float(rng.uniform(0.0, 1.0)),
        tights,
    )


def _things(rng: np.random.Generator, woman: bool) -> Things:
    shoe_name, shoe_colour = _dye(rng, SHOES)
    bag = pick(rng, {"none": 0.46, "backpack": 0.23, "shoulder bag": 0.17, "hand bag": 0.14})
    bag_name, bag_colour = _dye(rng, BAGS)
    hat = pick(rng, {"none": 0.89, "cap": 0.08, "beanie": 0.03})
    hat_name, hat_colour = _dye(rng, BAGS)
    shoes = pick(rng, {"trainers": 0.55, "leather": 0.22, "boots": 0.08, "sandals": 0.15})
    return Things(
        shoes=shoes,
        shoe_colour=shoe_colour,
        shoe_name=shoe_name,
        sole=_near(rng, (0.85, 0.85, 0.83) if shoes == "trainers" else (0.12, 0.11, 0.11)),
        sock=_dye(rng, {"white": 0.55, "black": 0.3, "grey": 0.15})[1]
        if shoes != "sandals" and chance(rng, 0.5)
        else None,
        bag=bag,
        bag_colour=bag_colour,
        bag_name=bag_name if bag != "none" else "none",
        bag_size=float(rng.uniform(0.75, 1.2)),
        side=1 if chance(rng, 0.6) else -1,
        hat=hat,
        hat_colour=hat_colour,
        hat_name=hat_name if hat != "none" else "none",
    )
