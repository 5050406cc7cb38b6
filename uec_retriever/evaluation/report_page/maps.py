"""Heat maps of coefficients: experts against the sets that queries come from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from uec_retriever.evaluation.report_page import side_by_side
from uec_retriever.evaluation.report_page.looks import Drawing, Theme, dress, new_figure, panels, plain, title
from uec_retriever.evaluation.report_page.result_files import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

_NAMES = 1.05  # inches for the names of sets
Held = Mapping[str, Mapping[str, float]]


def coefficient_map(result: Result) -> Drawing | None:
    """Mean coefficients of each UEC method, printed in the cells; None if the result has none."""
    sets: Mapping[str, Mapping[str, Any]] = result.content["sets"]
    found = _held(result)
    if not found:
        return None
    experts = list(dict.fromkeys(e for held in found.values() for c in held.values() for e in c))
    label = next(reversed(found))
    tops = {name: max(c, key=lambda e: c[e]) for name, c in found[label].items()}
    parts = [f"{name}: {top} {found[label][name][top]:.2f}" for name, top in tops.items()]
    alt = f"Mean coefficient of each expert on the queries of each set. Highest with {label}: {'; '.join(parts)}."
    highest = max(v for held in found.values() for c in held.values() for v in c.values())
    own = {(n, e) for n in sets for e in experts if sets[n].get("domain") == e}

    def draw(theme: Theme) -> Figure:
        width = max(0.62 * len(sets), 2.6)
        height = 0.3 + 0.36 * len(experts)
        figure, axes = _stack(len(found), width, height, beside=len(sets) <= 5, theme=theme)
        for one, (method, held) in zip(axes, found.items(), strict=True):
            _fill(one, held, list(sets), experts, own, highest, theme)
            title(one, method, theme)
            if one.get_shared_x_axes().joined(one, axes[-1]) and one is not axes[-1]:
                one.tick_params(labelbottom=False)
        return figure

    note = "Rows: experts. Columns: the set that the queries are from. A column sums to 1."
    if own:
        note += " Outlined: the expert of that domain."
    return Drawing("coefficients", "Whom UEC trusts", alt, note, draw)


def _held(result: Result) -> dict[str, Held]:
    """UEC method -> set -> expert -> mean coefficient."""
    sets = result.content["sets"]
    found: dict[str, Held] = {}
    for label, kind in side_by_side.kinds(result).items():
        held = {n: one["methods"].get(label, {}).get("coefficients") for n, one in sets.items()}
        if kind == "uec" and any(held.values()):
            found[label] = {n: c for n, c in held.items() if c}
    return found


def _fill(
    axes: Axes,
    held: Held,
    sets: list[str],
    experts: list[str],
    own: set[tuple[str, str]],
    highest: float,
    theme: Theme,
) -> None:
    colours = _ramp(theme)
    for column, name in enumerate(sets):
        for row, expert in enumerate(experts):
            if (value := held.get(name, {}).get(expert)) is not None:
                colour = colours(value / highest if highest > 0 else 0.0)
                _cell(axes, column, row, value, colour, (name, expert) in own, theme)
    axes.set_xticks(range(len(sets)), [plain(n, 22) for n in sets], rotation=35, ha="right")
    axes.set_yticks(range(len(experts)), [plain(e, 26) for e in experts])
    axes.set_xlim(-0.5, len(sets) - 0.5)
    axes.set_ylim(len(experts) - 0.5, -0.5)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _stack(
    number: int, width: float, height: float, *, beside: bool, theme: Theme
) -> tuple[Figure, list[Axes]]:
    if beside:
        return panels(number, theme, width=width, height=height + _NAMES, left=1.3, share=True)
    figure = new_figure(width + 1.9, height * number + _NAMES, theme)
    axes = list(figure.subplots(number, 1, squeeze=False, sharex=True)[:, 0])
    for one in axes:
        dress(one, theme)
    return figure, axes


def _ramp(theme: Theme) -> Colormap:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("coefficients", list(theme.ramp))


def _cell(
    axes: Axes, column: int, row: int, value: float, colour: tuple[float, ...], own: bool, theme: Theme
) -> None:
    from matplotlib.patches import Rectangle

    edge = theme.kinds["uec"] if own else theme.surface
    inset = 0.04 if own else 0.0
    corner = (column - 0.5 + inset, row - 0.5 + inset)
    side = 1 - 2 * inset
    axes.add_patch(
        Rectangle(
            corner,
            side,
            side,
            facecolor=colour,
            edgecolor=edge,
            lw=2.2 if own else 1.5,
            zorder=3 if own else 2,
        )
    )
    bright = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 0.55
    axes.text(
        column, row, f"{value:.2f}", ha="center", va="center", fontsize=9, zorder=4,
        color="#14181d" if bright else "#ffffff",
    )  # fmt: skip
