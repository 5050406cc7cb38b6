"""How figures look: two themes, a colour and a marker for each kind of method, panels, PNG."""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from uec_retriever.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

PIXELS_PER_INCH = 100  # of the page; the image has twice as many
_MOST_COLUMNS = 4


@dataclass(frozen=True)
class Theme:
    """Colours of a figure, as in the page's style sheet.

    Attributes:
        ink: of text.
        muted: of less important text and of lines.
        grid: of the lightest lines.
        surface: of the background.
        kinds: of each kind of method, after Okabe and Ito (2008): told apart by colour-blind readers too.
        parts: of stages of time, in their order.
        ramp: of a heat map, from low to high.
    """

    ink: str
    muted: str
    grid: str
    surface: str
    kinds: Mapping[str, str]
    parts: tuple[str, ...]
    ramp: tuple[str, ...]


_LIGHT_KINDS = {
    "single": "#7a838e", "ensemble": "#0072b2", "fusion": "#009e73", "merged": "#b85c92",
    "uec": "#d55e00", "ablation": "#d99000", "oracle": "#1b1f24", "other": "#7a838e",
}  # fmt: skip
_DARK_KINDS = {
    "single": "#98a2ae", "ensemble": "#56b4e9", "fusion": "#2bc79a", "merged": "#e29cc4",
    "uec": "#ff8040", "ablation": "#f0b840", "oracle": "#e6e9ed", "other": "#98a2ae",
}  # fmt: skip
LIGHT = Theme(
    "#1b1f24", "#5b6470", "#e1e5ea", "#ffffff", _LIGHT_KINDS,
    ("#332288", "#88ccee", "#117733", "#ddcc77", "#cc6677", "#aa4499", "#999933", "#661100"),
    ("#f4f8fb", "#9cc9e6", "#2f7fbf", "#0b3c6f"),
)  # fmt: skip
DARK = Theme(
    "#e6e9ed", "#9aa4b0", "#333b45", "#14181d", _DARK_KINDS,
    ("#8f7fe0", "#88ccee", "#44aa66", "#ddcc77", "#e08090", "#cf7ac0", "#c2c25a", "#b5651d"),
    ("#1b232c", "#1f4e79", "#3f8fd0", "#b7dcf5"),
)  # fmt: skip
MARKERS = {
    "single": "o", "ensemble": "s", "fusion": "^", "merged": "v",
    "uec": "D", "ablation": "d", "oracle": "*", "other": "o",
}  # fmt: skip
STROKES = ("-", "--", ":", "-.")


@dataclass(frozen=True)
class Drawing:
    """A figure that can be drawn in either theme.

    Attributes:
        name: of its file, without `.png`.
        title: above it.
        alt: what it shows, for those who cannot see it.
        note: how to read it.
        draw: makes it.
    """

    name: str
    title: str
    alt: str
    note: str
    draw: Callable[[Theme], Figure]


def new_figure(width: float, height: float, theme: Theme) -> Figure:
    """An empty figure, in inches, drawn by Agg; pyplot's state is not touched.

    Raises:
        MissingExtraError: without the extra `report`.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError('figures need matplotlib: pip install "uec-retriever[report]"') from error
    figure = Figure(figsize=(width, height), facecolor=theme.surface, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def panels(
    number: int,
    theme: Theme,
    *,
    width: float,
    height: float,
    left: float = 0,
    top: float = 0,
    share: bool = False,
) -> tuple[Figure, list[Axes]]:
    """A figure with a grid of axes, each so many inches large.

    Args:
        number: of axes.
        theme: of the figure.
        width: of an axes.
        height: of an axes.
        left: room for labels.
        top: room for a legend.
        share: whether the vertical axis is that of the first in its row.
    """
    across = number if number <= _MOST_COLUMNS else -(-number // -(-number // _MOST_COLUMNS))
    down = -(-number // across)
    figure = new_figure(left + across * width, top + down * height, theme)
    grid = figure.subplots(down, across, squeeze=False, sharey="row" if share else "none")
    axes = [one for row in grid for one in row]
    for spare in axes[number:]:
        spare.set_visible(False)
    for one in axes[:number]:
        dress(one, theme)
    return figure, axes[:number]


def dress(axes: Axes, theme: Theme) -> None:
    """Quiet axes in the theme's colours."""
    axes.set_facecolor(theme.surface)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(theme.grid)
    axes.tick_params(colors=theme.muted, labelcolor=theme.ink, labelsize=9, length=0)
    axes.set_axisbelow(True)


def title(axes: Axes, text: str, theme: Theme) -> None:
    """Heading of one panel."""
    lines = textwrap.wrap(plain(text, 52), 27) or [" "]
    axes.set_title("\n".join(lines), fontsize=10, color=theme.ink, loc="left", fontweight="bold")


def legend(figure: Figure, entries: Sequence[tuple[Artist, str]], theme: Theme) -> None:
    """Key above the panels: handles and what they stand for."""
    columns = max(1, int(figure.get_figwidth() // 2.2))
    figure.legend(
        [handle for handle, _ in entries],
        [plain(text).lstrip("_") or " " for _, text in entries],
        loc="outside upper left",
        ncols=columns,
        frameon=False,
        fontsize=9,
        labelcolor=theme.ink,
        handlelength=1.8,
        handletextpad=0.6,
        columnspacing=1.4,
    )


def plain(text: str, limit: int = 44) -> str:
    """A label as it is, on one line: no formulas (`$`), not too long."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    short = line if len(line) <= limit else line[: limit - 1] + "…"
    return short.replace("$", r"\$")


def short_numbers(axis: Axis, most: int = 5) -> None:
    """Few ticks, and no zeros at their ends."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=most, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(lambda value, _: f"{value:.4g}")


def to_png(figure: Figure) -> bytes:
    """The image, at twice the page's resolution; 256 colours, a quarter of the bytes."""
    from PIL import Image  # matplotlib depends on it

    drawn = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        figure.savefig(drawn, format="png", dpi=2 * PIXELS_PER_INCH)
    with Image.open(drawn) as image:
        few = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    target = io.BytesIO()
    few.save(target, format="png", optimize=True)
    return target.getvalue()
