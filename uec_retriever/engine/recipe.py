"""Recipe: how an index is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from uec_retriever.convolution import Layout
from uec_retriever.data.pairs import CalibrationPairs
from uec_retriever.errors import InvalidInputError, show
from uec_retriever.store.lexical_options import LexicalOptions


@dataclass(frozen=True)
class Recipe:
    """How an index is made; an index that is there must agree with what is not None.

    Attributes:
        pairs: calibration pairs; made from the texts if None. An index that is there must be calibrated on them.
        posteriors: posterior files for experts that are not to be fitted here, expert label -> file, or
            files alone, each of which finds its expert by the model it was fitted for.
        structure: of the posteriors fitted here, `kron` (None) or `diag`.
        layout: `block` (None), or `sum` for experts of one coordinate system.
        temperature: T >= 0 of the coefficients; None: chosen on held-out pairs.
        lexical: words as an expert beside the others: `LexicalOptions`, True for those by default, False for no words.
            None: words in a new index, and as it is in one that is there.

    Raises:
        InvalidInputError: for `lexical` of another type.
    """

    pairs: CalibrationPairs | None = None
    posteriors: Mapping[str, str | Path] | Sequence[str | Path] = field(default_factory=dict)
    structure: str | None = None
    layout: Layout | None = None
    temperature: float | None = None
    lexical: LexicalOptions | bool | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.lexical, LexicalOptions | bool | None):
            raise InvalidInputError(
                f"lexical is True, False or LexicalOptions(language=...), got {show(self.lexical)}"
            )

    @property
    def words(self) -> LexicalOptions | None:
        """What words are to be in a new index; None for no words."""
        if self.lexical is None or self.lexical is True:
            return LexicalOptions()
        return self.lexical or None

    @classmethod
    def of(cls, recipe: Recipe | CalibrationPairs | None) -> Recipe:
        """A recipe as it is, pairs alone as one, and one that leaves all open for None.

        Raises:
            InvalidInputError: for anything else.
        """
        if recipe is None or isinstance(recipe, CalibrationPairs):
            return cls(recipe)
        if not isinstance(recipe, cls):
            raise InvalidInputError(
                f"recipe is a {type(recipe).__name__}: give Recipe(pairs=..., structure=..., ...)"
            )
        return recipe
