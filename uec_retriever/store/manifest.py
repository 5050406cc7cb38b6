"""The manifest: what made an index, kept as scalar metadata of its Chroma collection."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from uec_retriever.checks.json_text import parse_object
from uec_retriever.checks.rows import ROW, RowError, read_row
from uec_retriever.data.pairs import MINIMUM_PAIRS, STANDARD_LIBRARY
from uec_retriever.data.staleness import is_stale
from uec_retriever.errors import (
    CorruptFileError,
    FormatVersionError,
    InvalidInputError,
    NotAnIndexError,
    show,
)
from uec_retriever.store.lexical_options import LexicalOptions

FORMAT_VERSION = 1
_FORMAT, _MANIFEST, _FINGERPRINT = "uec:format", "uec:manifest", "uec:fingerprint"
_CALIBRATION, _LEXICAL = "uec:calibration", "uec:lexical"
_CONFIDENCE, _COVERAGE = "uec:confidence", "uec:coverage"
_LATER = (
    "generation",
    "heldout",
    "informative",
    "pairs_digest",
    "pairs_source",
    "records",
)  # unknown to 0.1.0, which ignores their key
_NOT_STORED = {"name", "label", "device", "trust_remote_code"}  # whoever opens the index says these
_Finite = Annotated[float, Field(allow_inf_nan=False)]


def _check_options(options: dict[str, Any]) -> dict[str, Any]:
    if barred := sorted(_NOT_STORED & options.keys()):
        raise InvalidInputError(f"{barred} are no options that an index keeps")
    return options


@dataclass(frozen=True)
class ExpertEntry:
    """One expert of an index.

    Attributes:
        label: short name, unique in the index.
        model: hub id or path it was loaded from.
        fingerprint: hash of weights, vocabulary, pooling and prompts.
        dimension: D.
        structure: of its posterior.
        posterior: SHA-256 of the posterior file, also its name in the index folder.
        query_zero: u0 for queries.
        document_zero: u0 for documents (used by the sum layout).
        prior: pi0, summing to 1 over experts.
        variance_factor: applied to stored and computed variances since a recalibration; 1 before.
        options: how to load the model, e.g. `truncate_dim`.
        basis_error: relative error of deviations, where the basis of its variances misses the tolerance; else None.
    """

    __pydantic_config__ = ROW

    label: str
    model: str
    fingerprint: str
    dimension: Annotated[int, Field(ge=1)]
    structure: Annotated[str, Field(pattern="^(diag|kron)$")]
    posterior: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    query_zero: _Finite
    document_zero: _Finite
    prior: Annotated[_Finite, Field(ge=0)]
    variance_factor: Annotated[_Finite, Field(gt=0)] = 1.0
    options: Annotated[dict[str, Any], AfterValidator(_check_options)] = field(default_factory=dict)
    basis_error: Annotated[_Finite, Field(ge=0)] | None = None


@dataclass(frozen=True)
class Manifest:
    """What made an index.

    Attributes:
        experts: in the order of their blocks.
        layout: `block` or `sum`.
        temperature: T of the coefficients.
        reference: where the common reference pairs came from, and how many.
        versions: library versions that made it.
        format_version: of index and manifest.
        confidence: a `ConfidenceModel` as a string; None if confidence is not calibrated. It has a
            metadata key of its own, which other versions may lack or ignore.
        coverage: a `CoverageModel` as a string; None if there is none. It has a metadata key of its own, too.
        pairs_digest: SHA-256 of the pairs it is calibrated on; None in an index of version 0.1.0.
        pairs_source: where those came from; None in an index of version 0.1.0.
        records: texts that there were when its pairs were made of them; None where they were made of none of its texts.
        heldout: whether the pairs that the calibration was judged on are others than those it was fitted on.
        informative: whether its pairs say more than chance about which texts belong together, to every expert; else
            similarities leave the variances out. An index of a version that did not look counts as such.
        generation: how often the stored manifest was changed.
        lexical: words as an expert beside the others; None in an index without, as those of version 0.1.0 are. It has a
            metadata key of its own, too.
    """

    __pydantic_config__ = ROW

    experts: Annotated[tuple[ExpertEntry, ...], Field(min_length=1)]
    layout: Annotated[str, Field(pattern="^(block|sum)$")]
    temperature: Annotated[float, Field(ge=0)]
    reference: str
    versions: dict[str, str] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION
    confidence: str | None = None
    coverage: str | None = None
    pairs_digest: str | None = None
    pairs_source: str | None = None
    records: Annotated[int, Field(ge=0)] | None = None
    heldout: bool = True
    informative: bool = True
    generation: Annotated[int, Field(ge=0)] = field(default=0, compare=False)
    lexical: LexicalOptions | None = None

    @property
    def fingerprint(self) -> str:
        """Hash of what decides the stored vectors and variances; equal means interchangeable."""
        essence: list[Any] = [
            self.format_version,
            self.layout,
            [[e.fingerprint, e.posterior, e.dimension] for e in self.experts],
        ]
        if self.layout == "sum":  # documents carry coefficients too
            essence.append([self.temperature, [[e.document_zero, e.prior] for e in self.experts]])
        return hashlib.sha256(json.dumps(essence).encode()).hexdigest()

    @property
    def dimension(self) -> int:
        """Length of the stored vectors."""
        dimensions = [e.dimension for e in self.experts]
        return sum(dimensions) if self.layout == "block" else dimensions[0]

    @property
    def notes(self) -> list[str]:
        """What is poor about its calibration, a sentence each, with the remedy."""
        notes = []
        if not self.heldout:
            notes.append(
                "calibrated on so few pairs that none could be held out: variance scales, trust and temperature were "
                f"judged on the pairs they were fitted on; give at least {2 * MINIMUM_PAIRS}, better some hundreds"
            )
        if self.pairs_source == STANDARD_LIBRARY:
            notes.append(
                f"too few texts to calibrate on, so {STANDARD_LIBRARY} served instead: give calibration pairs, or "
                "recalibrate when there are more texts"
            )
        if not self.informative:
            notes.append(
                "the calibration pairs say no more than chance about which texts belong together (as the beginnings of "
                "log lines or catalogue entries do about the rest), so variances mean nothing here: similarities are "
                "plain cosines with deviation 0, and the trust in experts is their prior; recalibrate with questions "
                "and the texts that answer them"
            )
        notes += [
            f"deviations are exact to {e.basis_error:.0%} only, since the variances of expert {e.label!r} differ in "
            "too many ways; the structure kron has no such error"
            for e in self.experts
            if e.basis_error is not None
        ]
        return notes

    def staleness(self, records: int) -> str | None:
        """Why the calibration of the experts no longer fits the index, with the remedy; None while it does.

        Args:
            records: texts in the index now.
        """
        if self.records is None or not is_stale(self.records, records) or records < 2 * MINIMUM_PAIRS:
            return None
        remedy = "'uec recalibrate' does it anew, without embedding the texts again"
        if self.layout == "sum":
            remedy = "'uec reindex' makes another one, calibrated on them"
        return (
            f"the calibration is stale: it was made when there were {self.records:,} texts, and the index has {records:,} "
            f"now: {remedy}"
        )

    def without_confidence(self) -> Manifest:
        """The same with neither confidence nor coverage: both are of scores that will be others."""
        return replace(self, confidence=None, coverage=None)

    def to_metadata(self) -> dict[str, str | int]:
        """Scalar collection metadata."""
        fields = asdict(self)
        confidence, coverage = fields.pop("confidence"), fields.pop("coverage")
        lexical = fields.pop("lexical")
        later = {name: fields.pop(name) for name in _LATER}
        for entry in fields["experts"]:
            if entry["basis_error"] is None:  # which 0.1.0 does not know
                del entry["basis_error"]
        return {
            _FORMAT: self.format_version,
            _FINGERPRINT: self.fingerprint,
            _MANIFEST: json.dumps(fields, sort_keys=True),
            _CALIBRATION: json.dumps(later, sort_keys=True),
            **({} if confidence is None else {_CONFIDENCE: confidence}),
            **({} if coverage is None else {_COVERAGE: coverage}),
            **({} if lexical is None else {_LEXICAL: json.dumps(lexical, sort_keys=True)}),
        }

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any] | None, name: str) -> Manifest:
        """Read collection metadata back.

        Args:
            metadata: of the collection.
            name: of the collection, for messages.

        Raises:
            NotAnIndexError: if the collection is not ours.
            FormatVersionError: if another format version, or a newer version of this package, wrote it.
            CorruptFileError: if it is damaged.
        """
        metadata = metadata or {}
        if _FORMAT not in metadata or _MANIFEST not in metadata:
            raise NotAnIndexError(
                f"the Chroma collection {name!r} was not made by uec-retriever: choose another name or folder, "
                "or index its texts anew"
            )
        _check_format(metadata[_FORMAT], name)
        try:
            fields = parse_object(_string(metadata[_MANIFEST])) | parse_object(
                _string(metadata.get(_CALIBRATION, "{}"))
            )
            lexical = parse_object(_string(metadata[_LEXICAL])) if _LEXICAL in metadata else None
            own = {"confidence": metadata.get(_CONFIDENCE), "coverage": metadata.get(_COVERAGE)}
            found = read_row(cls, {**fields, **own, "lexical": lexical})
            found._check()
            if found.fingerprint != metadata.get(_FINGERPRINT):
                raise InvalidInputError("it has another fingerprint than what it says would have")
        except InvalidInputError as error:
            if isinstance(error, RowError) and error.newer:
                raise FormatVersionError(
                    f"the index {name!r} {error}, so a newer version wrote it: upgrade with "
                    "pip install --upgrade uec-retriever"
                ) from error
            raise CorruptFileError(
                f"the index {name!r} says of itself what this version cannot read ({error}): restore it from a "
                "backup, or index the corpus anew"
            ) from error
        return found

    def _check(self) -> None:
        """Refuse fields that contradict each other."""
        labels, dimensions = [e.label for e in self.experts], {e.dimension for e in self.experts}
        if len(set(labels)) < len(labels):
            raise InvalidInputError(f"two experts of one label among {labels}")
        if self.layout == "sum" and len(dimensions) > 1:
            raise InvalidInputError(f"the sum of experts of dimensions {sorted(dimensions)}")
        if not math.isclose(total := sum(e.prior for e in self.experts), 1, rel_tol=1e-6):
            raise InvalidInputError(f"priors that sum to {total:g}, not 1")


def _check_format(version: object, name: str) -> None:
    if isinstance(version, bool) or not isinstance(version, int):
        raise CorruptFileError(
            f"the index {name!r} has the format {show(version)}, which is no number: restore it from a backup, or index "
            "the corpus anew"
        )
    if version == FORMAT_VERSION:
        return
    remedy = "upgrade with pip install --upgrade uec-retriever, or " if version > FORMAT_VERSION else ""
    raise FormatVersionError(
        f"the index {name!r} has format {version}, this version reads {FORMAT_VERSION}: {remedy}"
        "index the corpus anew into another folder"
    )


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise InvalidInputError(f"a {type(value).__name__}, not a JSON object")
    return value
