"""How figures look: two themes, and a figure as an image."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from uec_retriever.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PIXELS_PER_INCH = 100  # of the page; the image has twice as many


@dataclass(frozen=True)
class Theme:
    """Colours of a figure, as in the page's style sheet.

    Attributes:
        ink: of text.
        muted: of less important text and of lines.
        grid: of the lightest lines.
        surface: of the background.
        kinds: of each kind of method, after Okabe and Ito (2008): told apart by colour-blind readers too.
        parts: of what has no kind, in its order.
        ramp: of a heat map, from low to high.
    """

    ink: str
    muted: str
    grid: str
    surface: str
    kinds: Mapping[str, str]
    parts: tuple[str, ...]
    ramp: tuple[str, ...]

    def colour(self, key: str | int) -> str:
        """Of a kind of method, or of a part by its number; the last is followed by the muted one."""
        if isinstance(key, str):
            return self.kinds[key]
        return self.parts[key] if key < len(self.parts) else self.muted

    @property
    def settings(self) -> Any:
        """For matplotlib."""
        return {
            "text.color": self.ink, "text.parse_math": False, "figure.facecolor": self.surface, "savefig.facecolor": "auto",
            "axes.facecolor": self.surface, "axes.edgecolor": self.grid, "axes.labelcolor": self.muted, "axes.labelsize": 9,
            "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True, "axes.titlelocation": "left",
            "axes.titlesize": 10, "axes.titleweight": "bold", "axes.grid": True, "grid.color": self.grid,
            **{f"{axis}tick.{part}": value for axis in "xy" for part, value in (
                ("labelcolor", self.ink), ("labelsize", 9), ("major.size", 0), ("minor.size", 0))},
            "legend.frameon": False, "legend.fontsize": 9, "legend.handlelength": 1.8, "lines.solid_capstyle": "round",
        }  # fmt: skip


LIGHT = Theme(
    "#1b1f24", "#5b6470", "#e1e5ea", "#ffffff",
    {"single": "#7a838e", "ensemble": "#0072b2", "fusion": "#009e73", "merged": "#b85c92",
     "uec": "#d55e00", "ablation": "#d99000", "oracle": "#1b1f24", "other": "#7a838e"},
    ("#332288", "#88ccee", "#117733", "#ddcc77", "#cc6677", "#aa4499", "#999933"),
    ("#f4f8fb", "#9cc9e6", "#2f7fbf", "#0b3c6f"),
)  # fmt: skip
DARK = Theme(
    "#e6e9ed", "#9aa4b0", "#333b45", "#14181d",
    {"single": "#98a2ae", "ensemble": "#56b4e9", "fusion": "#2bc79a", "merged": "#e29cc4",
     "uec": "#ff8040", "ablation": "#f0b840", "oracle": "#e6e9ed", "other": "#98a2ae"},
    ("#8f7fe0", "#88ccee", "#44aa66", "#ddcc77", "#e08090", "#cf7ac0", "#c2c25a"),
    ("#1b232c", "#1f4e79", "#3f8fd0", "#b7dcf5"),
)  # fmt: skip


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


def to_png(drawing: Drawing, theme: Theme) -> tuple[bytes, tuple[int, int]]:
    """The image, at twice the page's resolution in 256 colours, and its width and height on the page in pixels.

    Raises:
        MissingExtraError: without the extra `report`.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure  # noqa: F401, what the plots need
    except ImportError as error:
        raise MissingExtraError('figures need matplotlib: pip install "uec-retriever[report]"') from error
    from PIL import Image  # matplotlib depends on it

    drawn, target = io.BytesIO(), io.BytesIO()
    with rc_context(theme.settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        figure = drawing.draw(theme)
        figure.savefig(drawn, format="png", dpi=2 * _PIXELS_PER_INCH)
    with Image.open(drawn) as image:
        image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(target, format="png", optimize=True)
    width, height = (round(inches * _PIXELS_PER_INCH) for inches in figure.get_size_inches())
    return target.getvalue(), (width, height)
