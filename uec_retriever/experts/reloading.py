"""Copies of experts: pickled ones load their model again, deep ones have a model of their own."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy, deepcopy
from typing import TYPE_CHECKING, Any, Self

from uec_retriever.errors import InvalidInputError
from uec_retriever.experts.loading import options_without_secrets

if TYPE_CHECKING:
    from uec_retriever.experts.expert import Expert
    from uec_retriever.experts.head import Head
    from uec_retriever.laplace.posterior import Posterior


class Reloads:
    """What of an expert has to do with copies.

    Attributes:
        label: short name for people.
        head: what reads texts.
        name: hub id or path that it came from.
    """

    label: str
    head: Head
    name: str
    _loaded: Mapping[str, Any] | None = None

    def loaded_with(
        self, options: Mapping[str, Any], *, device: str | None = None, trust_remote_code: bool = False
    ) -> Self:
        """The expert itself, which knows from now on how to load its model again.

        Args:
            options: of the model; tokens among them are forgotten.
            device: torch device.
            trust_remote_code: run code that comes with the model.
        """
        here = {"name": self.name, "device": device, "trust_remote_code": trust_remote_code}
        self._loaded = {**options_without_secrets(options), **here}
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle where the model is and the posterior; unpickling loads the model again."""
        loaded = self.check_reloads()
        options, fingerprint = {**loaded, "label": self.label}, self.head.fingerprint
        return _load_again, (type(self), options, fingerprint, vars(self)["_posterior"])

    def check_reloads(self) -> Mapping[str, Any]:
        """How the model is loaded again.

        Raises:
            InvalidInputError: if it cannot be.
        """
        if self._loaded is None:
            raise InvalidInputError(
                f"expert {self.label!r} was made of a model or an object in memory, which another process could not load: "
                "save a model to a folder and load it with Expert.load(folder), or name a server's, "
                "Expert.load('openai:MODEL', base_url=...)"
            )
        return self._loaded

    def __copy__(self) -> Self:
        """The model is shared."""
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        return other

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        other = copy(self)
        other.head = deepcopy(self.head, memo)
        return other


def _load_again(
    cls: type[Expert], options: Mapping[str, Any], fingerprint: str, posterior: Posterior | None
) -> Expert:
    from uec_retriever.experts.attachment import check_fingerprint

    expert = cls.load(**options)
    check_fingerprint(expert, fingerprint, f"expert {expert.label!r} was pickled with another model")
    return expert.with_posterior(posterior)
