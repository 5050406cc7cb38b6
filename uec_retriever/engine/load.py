"""Load the experts that made an index, with their posteriors, and refuse any other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from uec_retriever.checks.device import check_device
from uec_retriever.engine.ensemble import Ensemble
from uec_retriever.engine.folder import IndexFolder
from uec_retriever.errors import CorruptFileError, InvalidInputError, ModelNotFoundError
from uec_retriever.experts.adapters import OBJECT
from uec_retriever.experts.attachment import attach_posterior, check_fingerprint
from uec_retriever.experts.expert import Expert, ExpertLike
from uec_retriever.experts.loading import lasting_options
from uec_retriever.experts.opening import provider_of
from uec_retriever.store.manifest import ExpertEntry, Manifest


def load_ensemble(
    folder: IndexFolder,
    manifest: Manifest,
    given: Mapping[str, ExpertLike],
    *,
    device: str | None,
    trust_remote_code: bool,
) -> Ensemble:
    """The experts of a manifest with their posteriors.

    Args:
        folder: holds the posterior files.
        manifest: what made the index.
        given: expert label -> where its model is now, or what embeds texts for it (see `Expert.of`).
        device: torch device.
        trust_remote_code: run code that comes with the models.

    Raises:
        InvalidInputError: for a label that the index does not have, or a device that is not there.
        ModelNotFoundError: if a model is gone.
        ModelMismatchError: if a model is not the one that made the index.
        CorruptFileError: if a posterior is lost or damaged.
    """
    check_device(device)
    labels = [entry.label for entry in manifest.experts]
    if unknown := sorted(set(given) - set(labels)):
        raise InvalidInputError(f"the index has no expert {unknown}: its experts are {labels}")
    experts = []
    for entry in manifest.experts:
        source = given.get(entry.label, entry.model)
        if isinstance(source, str | Path):
            expert = _load(entry, str(source), device, trust_remote_code)
        else:
            expert = Expert.of(source, label=entry.label)
        check_fingerprint(
            expert, entry.fingerprint, f"the index was made with {entry.model!r} as {entry.label!r}"
        )
        experts.append(attach_posterior(expert, folder.whole_posterior(entry.posterior))[0])
    return Ensemble(experts, manifest)


def _load(entry: ExpertEntry, source: str, device: str | None, trust_remote_code: bool) -> Expert:
    same_kind = provider_of(source) == provider_of(entry.model)
    try:
        return Expert.load(
            source,
            label=entry.label,
            device=device,
            trust_remote_code=trust_remote_code,
            **(lasting_options(entry.options) if same_kind else {}),
        )
    except InvalidInputError as error:
        raise CorruptFileError(
            f"the index cannot say how to load its expert {entry.label!r} ({error}): load it yourself and give it, "
            f"experts={{{entry.label!r}: Expert.load(...)}}, or index the corpus anew"
        ) from error
    except ModelNotFoundError as error:
        if source.startswith(OBJECT):
            raise ModelNotFoundError(
                f"{error}: give it again for expert {entry.label!r}, experts={{{entry.label!r}: ...}}"
            ) from error
        raise ModelNotFoundError(
            f"the model of expert {entry.label!r} is gone: say where it is now, "
            f"experts={{{entry.label!r}: 'its folder or hub id'}}, on the command line "
            f"--expert {entry.label}=MODEL ({error})"
        ) from error
