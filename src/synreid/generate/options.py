"""What can be asked of a generator's training and of making persons with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from synreid.stage.errors import UserError

MOST_IMAGES = 10_000  # a person's further pictures take seeds from a block of their own, this long


def check_seed(name: str, seed: int) -> None:
    """Raise UserError for a seed that not every generator of random numbers takes; `name` opens the sentence."""
    if not 0 <= seed < 2**32:
        raise UserError(f"{name} is {seed}, but must lie in 0 to {2**32 - 1}; correct it.")


@dataclass(frozen=True)
class GanOptions:
    """Options of adversarial training, in the names and units of the StyleGAN papers and their programs."""

    cfg: Literal["stylegan2", "stylegan3-t", "stylegan3-r", "dcgan"] = "stylegan2"
    """Generator: StyleGAN2, StyleGAN3 in configuration T (translation) or R (rotation, too), or DCGAN."""
    height: int = 64
    """Height of the made pictures, in pixels."""
    width: int = 32
    """Width of the made pictures, in pixels."""
    kimg: float = 200.0
    """How long to train: thousands of real pictures shown to the discriminator."""
    batch: int = 32
    """Pictures a step."""
    batch_gpu: int | None = None
    """Pictures that a device takes at a time; a batch is worked through in batch / batch_gpu rounds, spread over the
    devices, so that a large batch fits a small memory. The result depends on it, not on how many devices share the
    rounds. Left out: batch / gpus."""
    gpus: int = 1
    """Devices to train on (on a machine without GPUs: processes). More than one wants the extra `synreid[devices]`."""
    gamma: float = 2.0
    """Weight of the R1 penalty; larger pictures want more (tried: 2 at 64x32, 0.1 at 16x8 and 32x16)."""
    glr: float = 2.5e-3
    """Learning rate of the generator (Adam, betas 0 and 0.99; DCGAN: 0.5 and 0.999)."""
    dlr: float = 2.5e-3
    """Learning rate of the discriminator (Adam, the generator's betas)."""
    vision_aid: float = 0.5
    """Weight of the vision-aided discriminator in the generator's loss: it judges by EfficientNet-Lite0's features, and
    begins anew with every training, also from `start`. 0 leaves it out; a step is then quicker."""
    lr_vision_aid: float = 5e-4
    """Learning rate of the vision-aided discriminator (Adam, betas 0 and 0.99)."""
    r1_every: int = 16
    """Steps between two R1 penalties (lazy regularisation)."""
    pl_weight: float = 0.0
    """Weight of StyleGAN2's path length penalty (the paper: 2); 0 leaves it out."""
    pl_every: int = 4
    """Steps between two path length penalties (lazy regularisation), each on half of a batch."""
    mixing: float = 0.9
    """Probability that a training picture mixes two styles (style-mixing regularisation)."""
    ema_kimg: float = 4.0
    """Half-life of the generator's moving average, in thousands of pictures."""
    ema_rampup: float = 0.2
    """The half-life is at most this share of the pictures shown so far; not where training goes on from `start`."""
    aug: Literal["ada", "fixed", "diffaugment", "none"] = "ada"
    """Augmentation in front of the discriminator: with a probability that adapts to over-fitting (ADA), with the fixed
    one `ada_p`, DiffAugment (always on, cheap), or none."""
    augpipe: tuple[str, ...] = ("upright",)
    """Transforms of `ada` and `fixed`: single ones (xint, scale, rotate, hue ...) or groups as the ADA paper has them
    (blit, geom, color, filter, noise, cutout, bg, bgc, bgcfnc). `upright` are those that leave a person upright."""
    ada_target: float = 0.6
    """ADA's target: the mean sign of the discriminator's logits on real pictures (the paper's r_t)."""
    ada_p: float = 0.0
    """Augmentation probability to start with (0 to 1)."""
    ada_kimg: float = 50.0
    """Thousands of pictures that the augmentation probability takes to go from 0 to 1."""
    mirror: bool = True
    """Show every real picture mirrored half of the time."""
    blur_sigma: float = 0.0
    """Blur of what the discriminator sees at the beginning, standard deviation in pixels (StyleGAN3-R from random
    weights: 10 at 256x256), so that it does not overlook large errors for small ones. Not where training goes on."""
    blur_fade_kimg: float = 200.0
    """Thousands of pictures within which that blur fades away."""
    cond: Literal["none", "pid", "camera"] = "none"
    """Class-conditional training: pictures are asked for by identity or by camera."""
    freezed: int = 0
    """Freeze-D: blocks of the discriminator, the finest first, that do not learn (for going on from `start`)."""
    w_dim: int = 128
    """Size of z and of a style."""
    map_depth: int = 4
    """Fully connected layers between z and style."""
    cmax: int = 128
    """Channels of a layer, at most (StyleGAN3-R: twice that)."""
    cbase: int = 2048
    """Channels times height of a layer, at most: a layer has `min(cbase / height, cmax)` channels (the papers: 32768
    and 512)."""
    noise: bool = False
    """Add noise in every layer, as StyleGAN2's paper does. Short trainings are better without: the last layer's noise
    grows within the first 300 steps to grain that hides the persons."""
    edges: Literal["repeat", "zero"] = "repeat"
    """What lies beyond StyleGAN2's picture while it is doubled from layer to layer: its own edge, or nothing, as in the
    paper's program (which imported weights need)."""
    start: str | None = None
    """Generator to go on from: `street` (shipped, made from no real person) or the folder of another run or of an
    import. It may have another size: what fits is carried over and listed layer by layer."""
    grow: tuple[float, ...] = ()
    """Progressive growing (StyleGAN2): thousands of pictures to train at ... a quarter and a half of the size first,
    for example `[100, 80]`; coarse sizes are quick and settle outlines and variety. There `gamma` shrinks with the
    pixels, and neither `vision_aid` nor `metrics` applies. Not done when `start` is given."""
    tick: float = 4.0
    """Thousands of pictures in a tick."""
    snap: int = 5
    """Ticks between two snapshots: a grid of samples, a measurement and the generator's weights at that moment."""
    metrics: str = "fd1k"
    """What a snapshot is measured with: `fid50k_full` (50,000 made pictures against all training pictures, on
    Inception's features), `fd1k` (1,000 against as many, on the features at hand), `none`. Kernel distance, precision,
    recall, density and coverage come along."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Number format of convolutions; auto takes bfloat16 where the device computes in it."""
    device: str = "auto"
    """Device such as `cpu` or `cuda`; auto takes a GPU if there is one."""
    seed: int = 0
    """Seed of weights, order, latents and augmentation."""

    def __post_init__(self) -> None:
        """Raise UserError for a value that cannot be trained with."""
        for name in _POSITIVE:
            if not getattr(self, name) > 0:
                raise UserError(f"generator option {name} is {getattr(self, name)}, but must be above 0; correct it.")
        for name in ("ada_p", "mixing", "ada_target"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"generator option {name} is {getattr(self, name)}, but must lie in 0 to 1.")
        if self.batch_gpu is not None and self.batch_gpu < 1:
            raise UserError(f"generator option batch_gpu is {self.batch_gpu}, but must be above 0; correct it.")
        for name in ("gamma", "vision_aid", "pl_weight", "freezed", "blur_sigma", "ema_rampup"):
            if getattr(self, name) < 0:
                raise UserError(f"generator option {name} is {getattr(self, name)}, but must not be negative.")
        check_seed("generator option seed", self.seed)
        if self.batch % self.round:
            raise UserError(
                f"a batch of {self.batch} cannot be worked through in rounds of {self.round} pictures (batch_gpu) on "
                f"{self.gpus} devices; take a batch_gpu that divides it."
            )
        if (self.batch // self.round) % self.gpus:
            raise UserError(
                f"{self.batch // self.round} rounds (batch / batch_gpu) do not spread evenly over {self.gpus} devices; "
                "take a smaller batch_gpu."
            )
        if self.cfg == "dcgan" and (self.cond != "none" or self.pl_weight):
            raise UserError("dcgan takes neither cond nor pl_weight: it has no classes and no styles; leave both out.")
        if self.cfg != "stylegan2" and self.grow:
            raise UserError(f"grow works with cfg stylegan2 only, not with {self.cfg}; leave it out.")
        if self.gpus > 1 and self.grow:
            raise UserError("grow works on one device; train the coarse sizes first, then go on from there (--start).")

    @property
    def round(self) -> int:
        """Pictures that a device takes at a time."""
        return self.batch_gpu or max(1, self.batch // self.gpus)


_POSITIVE = (
    *("kimg", "batch", "gpus", "glr", "dlr", "lr_vision_aid", "r1_every", "pl_every", "ada_kimg", "ema_kimg"),
    *("blur_fade_kimg", "height", "width", "w_dim", "map_depth", "cmax", "cbase", "tick", "snap"),
)
_PAPER = {"cmax": 512, "cbase": 32768, "w_dim": 512, "map_depth": 8, "vision_aid": 0.0, "dlr": 2e-3, "ada_kimg": 500.0}
GAN_PRESETS: dict[str, dict[str, Any]] = {
    # table 5.1 of the thesis; what it leaves open as the official program has it for this configuration when it goes on
    # from other weights (no blur), but for transforms that leave a person upright, and mirrored pictures
    "thesis": {
        **_PAPER,
        **{"cfg": "stylegan3-r", "height": 128, "width": 64, "gpus": 1, "batch": 16, "gamma": 2.0, "kimg": 5000.0},
        **{"snap": 20, "metrics": "fid50k_full", "map_depth": 2, "mixing": 0.0, "ema_kimg": 5.0, "ema_rampup": 0.05},
    },
    "stylegan2": {
        **_PAPER,
        **{"cfg": "stylegan2", "glr": 2e-3, "noise": True, "edges": "zero", "pl_weight": 2.0, "ema_kimg": 10.0},
        **{"ema_rampup": 0.05},
    },
    "stylegan3-t": {
        **_PAPER,
        **{"cfg": "stylegan3-t", "map_depth": 2, "mixing": 0.0, "ema_kimg": 10.0, "ema_rampup": 0.05},
    },
    "stylegan3-r": {
        **_PAPER,
        **{"cfg": "stylegan3-r", "map_depth": 2, "mixing": 0.0, "ema_kimg": 10.0, "ema_rampup": 0.05},
        **{"blur_sigma": 10.0},
    },
    "dcgan": {
        **{"cfg": "dcgan", "batch": 64, "glr": 2e-4, "dlr": 2e-4, "gamma": 0.0, "aug": "none", "vision_aid": 0.0},
        **{"w_dim": 100, "cmax": 512, "cbase": 4096},
    },
}


@dataclass(frozen=True)
class PersonOptions:
    """How many artificial persons to make, and how their pictures differ."""

    persons: int = 100
    """Number of persons who do not exist."""
    images: int = 10
    """Pictures of each, the first (person k from seed k) included."""
    vary: Literal["mix", "interpolate"] = "mix"
    """Further pictures by style mixing (layers `layers` come from another seed) or by interpolation in those layers."""
    layers: str = "coarse"
    """Layers that change: `coarse`, `medium`, `fine`, or a range such as `0-3`."""
    strength: float = 0.5
    """With `interpolate`: how far towards the other seed's styles, 0 to 1."""
    truncation: float = 1.0
    """Truncation psi: 1 is the whole variety, less is closer to the mean person."""
    first_seed: int = 0
    """Seed of the first person."""

    def __post_init__(self) -> None:
        """Raise UserError for a value that nothing can be made with."""
        for name, low, high in (("persons", 1, 99_999), ("images", 1, MOST_IMAGES), ("first_seed", 0, 99_999)):
            if not low <= getattr(self, name) <= high:
                raise UserError(f"{name} is {getattr(self, name)}, but must lie in {low} to {high}; correct it.")
        if not 0 <= self.strength <= 1:
            raise UserError(f"strength is {self.strength}, but must lie in 0 to 1; correct it.")


PERSON_PRESETS: dict[str, dict[str, Any]] = {
    "thesis": {"persons": 401, "images": 51, "vary": "mix", "layers": "coarse"},
}


@dataclass(frozen=True)
class ShowOptions:
    """How many pictures the sheets show that a generator is judged by."""

    seed: int = 0
    """Seed of the first sample; the others follow."""
    rows: int = 6
    """Rows of the sheets: samples, truncation, style mixing, layers."""
    columns: int = 10
    """Columns of the sheets of samples and style mixing, and pictures from one person to the next in the interpolation
    strip."""
    truncation: float = 1.0
    """Truncation psi of all sheets but the truncation sweep: 1 is the whole variety, less is closer to the mean
    person."""
    persons: int = 4
    """Persons that an interpolation passes before it comes back to the first."""
    frames: int = 16
    """Pictures from one person to the next in the animated interpolation."""
    searched: int = 1000
    """With training pictures: samples whose nearest ones are looked for; the closest pairs are shown."""
    pairs: int = 12
    """With training pictures: rows of the sheet of nearest ones."""
    neighbours: int = 4
    """With training pictures: how many of them stand beside each sample."""

    def __post_init__(self) -> None:
        """Raise UserError for a value that cannot be shown."""
        for name, low, high in (
            *(("seed", 0, 99_999), ("rows", 1, 100), ("columns", 2, 100), ("truncation", -2, 2), ("persons", 2, 100)),
            *(("frames", 1, 1000), ("searched", 1, 10_000), ("pairs", 1, 1000), ("neighbours", 1, 50)),
        ):
            if not low <= getattr(self, name) <= high:
                raise UserError(f"{name} is {getattr(self, name)}, but must lie in {low} to {high}; correct it.")
