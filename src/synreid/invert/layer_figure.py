"""What a generator's layers hold, drawn: bars for each attribute, and persons layer by layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from synreid.data.sheets import sheet, shown_scale, titled
from synreid.generate.persons import layer_group
from synreid.generate.sample import StyleSampler
from synreid.generate.show import layer_grid
from synreid.invert.layer_options import LayerOptions
from synreid.invert.layer_roles import LayerRoles
from synreid.stage.files import atomic_path

SHOWN = 8  # persons of the sheet


def draw_layers(roles: LayerRoles, path: Path) -> None:
    """Write a PNG: for each attribute a bar a layer (its share, its standard error), in front of a band a group."""
    count = len(roles.layers)
    figure = Figure(figsize=(2.4 * len(roles.names) + 1.6, 0.3 * count + 1.6), layout="constrained")
    panels = figure.subplots(1, len(roles.names), sharex=True, sharey=True, squeeze=False)[0]
    for axes, name in zip(panels, roles.names, strict=True):
        _draw_attribute(axes, roles, name)
    members = [layer_group(group.layers, count) for group in roles.groups]
    panels[0].set_yticks(range(count))
    panels[0].set(ylim=(count - 0.5, -0.5), ylabel="layer")
    panels[-1].set_xlim(0, None)
    side = panels[-1].secondary_yaxis("right")
    side.set_yticks([float(np.mean(part)) for part in members], [f"{g.name}\n{g.layers}" for g in roles.groups])
    side.tick_params(length=0)
    figure.supxlabel("share of the change when all layers are replaced (bars: one layer; bands: the whole group)")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def _draw_attribute(axes: Axes, roles: LayerRoles, name: str) -> None:
    for group in roles.groups:
        part = layer_group(group.layers, len(roles.layers))
        axes.barh(
            np.mean(part), group.changes[name].known_share, len(part), color="0.85", edgecolor="0.6", linewidth=0.6
        )
    found = [layer[name] for layer in roles.layers]
    errors = [0.0 if change.share_error is None else change.share_error for change in found]
    axes.barh(
        range(len(found)), [change.known_share for change in found], 0.6, xerr=errors, color="0.25", ecolor="0.55"
    )
    axes.axvline(1, color="0.4", linewidth=0.8, linestyle="--")
    axes.set_title(name, fontsize="medium")
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)


def layer_sheet(sampler: StyleSampler, roles: LayerRoles, options: LayerOptions) -> np.ndarray:
    """Return a page, uint8 [H, W, 3]: a row a person, with one layer's style replaced, each group's, and all."""
    seeds = range(options.seed, options.seed + min(SHOWN, options.persons))
    others = [seed + options.persons for seed in seeds]
    grid = layer_grid(sampler, seeds, others, options.truncation)
    heads, cells = ["person", *map(str, range(sampler.num_ws))], [grid[:, :-1]]
    for group in roles.groups:
        layers = layer_group(group.layers, sampler.num_ws)
        w, its = (sampler.latents(numbers, options.truncation) for numbers in (seeds, others))
        w[:, list(layers)] = its[:, list(layers)]
        cells.append(sampler.synthesize(w, [options.seed] * len(w))[:, None])
        heads.append(f"{group.name}\n{group.layers}")
    pictures = np.concatenate([*cells, grid[:, -1:]], axis=1)
    sides = [f"seed\n{seed}" for seed in seeds]
    page = sheet(
        pictures.reshape(-1, *pictures.shape[2:]),
        pictures.shape[1],
        scale=shown_scale(sampler.height),
        heads=[*heads, "all"],
        sides=sides,
    )
    return titled(page, "Layers: the style of one layer, of a group, of all layers comes from the other person")
