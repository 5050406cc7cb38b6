import dataclasses
import json
import math
from pathlib import Path

import pytest

from uec_retriever.data.pairs import STANDARD_LIBRARY
from uec_retriever.errors import CorruptFileError, FormatVersionError, NotAnIndexError
from uec_retriever.store.manifest import FORMAT_VERSION, ExpertEntry, Manifest


def entry(**changes):
    fields = {
        "label": "a",
        "model": "/models/a",
        "fingerprint": "f" * 64,
        "dimension": 8,
        "structure": "kron",
        "posterior": "e" * 64,
        "query_zero": -1.5,
        "document_zero": -1.25,
        "prior": 0.5,
        "options": {"truncate_dim": 8, "prompts": {"query": "q: "}},
    }
    return ExpertEntry(**{**fields, **changes})


def manifest(**changes):
    fields = {
        "experts": (entry(), entry(label="b", dimension=4)),
        "layout": "block",
        "temperature": 0.2,
        "reference": "40 pairs: user",
        "versions": {"torch": "2"},
    }
    return Manifest(**{**fields, **changes})


@pytest.mark.parametrize("temperature", [0, 0.2, math.inf])
def test_metadata_round_trip(temperature):
    original = manifest(temperature=temperature)
    assert Manifest.from_metadata(original.to_metadata(), "uec") == original


def test_confidence_has_a_key_of_its_own():
    """Older manifests lack it, and libraries that know nothing of it still read the rest."""
    plain, calibrated = manifest(), manifest(confidence='{"format":1}')
    assert "uec:confidence" not in plain.to_metadata()
    assert calibrated.to_metadata() == {**plain.to_metadata(), "uec:confidence": '{"format":1}'}
    assert Manifest.from_metadata(calibrated.to_metadata(), "uec") == calibrated
    assert Manifest.from_metadata(plain.to_metadata(), "uec").confidence is None
    assert calibrated.fingerprint == plain.fingerprint


@pytest.mark.parametrize(
    ("then", "now", "stale"),
    [
        (100, 125, False),
        (100, 126, True),
        (100, 74, True),
        (0, 31, False),
        (0, 32, True),
        (None, 9999, False),
    ],
)
def test_a_calibration_is_stale_when_its_index_has_changed_by_a_quarter(then, now, stale):
    told = manifest(records=then).staleness(now)
    assert (told is not None) == stale
    assert not stale or "'uec recalibrate'" in told
    both = manifest(records=then, layout="sum").staleness(now)
    assert not stale or "'uec reindex'" in both  # there documents carry coefficients


@pytest.mark.parametrize("confidence", [None, '{"format":1}'])
def test_metadata_is_scalar(confidence):
    metadata = manifest(confidence=confidence).to_metadata()
    assert {type(value) for value in metadata.values()} <= {str, int, float, bool}
    assert all(key.startswith("uec:") for key in metadata)


@pytest.mark.parametrize(
    "metadata", [None, {}, {"hnsw:space": "ip"}, {"uec:format": 1}, {"uec:manifest": "{}"}]
)
def test_foreign_collections_are_refused(metadata):
    with pytest.raises(NotAnIndexError, match="'things' was not made by uec-retriever"):
        Manifest.from_metadata(metadata, "things")


def test_another_format_version_is_refused_before_its_fields_are_read():
    metadata = {"uec:format": FORMAT_VERSION + 1, "uec:manifest": json.dumps({"unheard": "of"})}
    with pytest.raises(
        FormatVersionError, match=f"format {FORMAT_VERSION + 1}, this version reads {FORMAT_VERSION}"
    ):
        Manifest.from_metadata(metadata, "uec")


def test_dimension():
    assert manifest().dimension == 12
    assert manifest(layout="sum", experts=(entry(), entry(label="b"))).dimension == 8


CALIBRATION = [{"query_zero": 9.0}, {"document_zero": 9.0}, {"prior": 0.1}, {"variance_factor": 3.0}]
ESSENCE = [{"fingerprint": "0" * 64}, {"posterior": "0" * 64}, {"dimension": 16}]


def with_first(original, change):
    first, *others = original.experts
    return dataclasses.replace(original, experts=(dataclasses.replace(first, **change), *others))


@pytest.mark.parametrize("change", ESSENCE, ids=str)
def test_fingerprint_tells_what_decides_the_stored_vectors(change):
    assert with_first(manifest(), change).fingerprint != manifest().fingerprint


@pytest.mark.parametrize("change", [*CALIBRATION, {"label": "z"}, {"model": "/elsewhere"}], ids=str)
def test_fingerprint_of_blocks_is_free_of_calibration(change):
    assert with_first(manifest(), change).fingerprint == manifest().fingerprint
    assert dataclasses.replace(manifest(), temperature=9.0).fingerprint == manifest().fingerprint


@pytest.mark.parametrize("change", [{"document_zero": 9.0}, {"prior": 0.1}], ids=str)
def test_fingerprint_of_sums_holds_their_coefficients(change):
    summed = manifest(layout="sum")
    assert with_first(summed, change).fingerprint != summed.fingerprint
    assert dataclasses.replace(summed, temperature=9.0).fingerprint != summed.fingerprint
    assert summed.fingerprint != manifest().fingerprint


def test_order_of_experts_matters():
    a, b = manifest().experts
    assert manifest(experts=(b, a)).fingerprint == manifest(experts=(b, a)).fingerprint
    assert manifest(experts=(b, a)).fingerprint != manifest().fingerprint


def test_what_is_new_has_a_key_that_older_versions_ignore():
    """0.1.0 refuses unknown fields under `uec:manifest`."""
    original = manifest(
        pairs_digest="d", pairs_source="title", heldout=False, informative=False, generation=3
    )
    metadata = original.to_metadata()
    old = {"experts", "layout", "temperature", "reference", "versions", "format_version"}
    assert set(json.loads(metadata["uec:manifest"])) == old
    assert "basis_error" not in json.loads(metadata["uec:manifest"])["experts"][0]
    again = Manifest.from_metadata(metadata, "uec")
    assert (again, again.generation) == (original, 3)
    del metadata["uec:calibration"]  # as 0.1.0 wrote it
    assert Manifest.from_metadata(metadata, "uec") == manifest()


def test_notes_say_what_is_poor_about_a_calibration():
    assert manifest().notes == []
    [few] = manifest(heldout=False).notes
    assert "at least 32" in few
    [general] = manifest(pairs_source=STANDARD_LIBRARY).notes
    assert "recalibrate" in general
    [silent] = manifest(informative=False).notes
    assert "no more than chance" in silent and "recalibrate" in silent
    rough = manifest(experts=(entry(basis_error=0.04, prior=1.0),))
    assert "exact to 4%" in rough.notes[0]
    assert Manifest.from_metadata(rough.to_metadata(), "uec") == rough


def stored(**changes):
    """Metadata of a manifest whose fields, or those of its first expert, were changed by hand; None takes one away."""
    metadata = manifest().to_metadata()
    fields = json.loads(metadata["uec:manifest"])
    for name, value in changes.items():
        within = fields["experts"][0] if name in fields["experts"][0] else fields
        within[name] = value
        if value is None:
            del within[name]
    return {**metadata, "uec:manifest": json.dumps(fields)}


@pytest.mark.parametrize(
    "damage", ["", "{", "{}", "[]", "null", "3", "[" * 100_000, '{"a": ' + "1" * 5000 + "}", 3, None, 2.5]
)
@pytest.mark.parametrize("key", ["uec:manifest", "uec:calibration"])
def test_a_manifest_that_cannot_be_read_is_named(key, damage):
    if (key, damage) == ("uec:calibration", "{}"):
        return
    with pytest.raises(CorruptFileError, match="'uec' says of itself what this version cannot read"):
        Manifest.from_metadata({**manifest().to_metadata(), key: damage}, "uec")


@pytest.mark.parametrize(
    "change",
    [
        {"experts": []},
        {"experts": {}},
        {"experts": [3]},
        {"experts": None},
        {"layout": "zzz"},
        {"layout": None},
        {"temperature": None},
        {"temperature": -1},
        {"temperature": math.nan},
        {"temperature": "0.2"},
        {"temperature": True},
        {"versions": []},
        {"label": "b"},
        {"label": None},
        {"model": 3},
        {"dimension": 0},
        {"dimension": 8.5},
        {"structure": "full"},
        {"posterior": "../../../etc/" + "e" * 51},
        {"posterior": "/" + "e" * 63},
        {"posterior": "e" * 64 + "\n"},
        {"posterior": ""},
        {"query_zero": math.inf},
        {"prior": -0.5},
        {"prior": 0.9},
        {"variance_factor": 0},
        {"options": 3},
        {"options": {"label": "x"}},
        {"options": {"trust_remote_code": True}},
        {"fingerprint": "0" * 64},
    ],
    ids=lambda change: str(change)[:40],
)
def test_wrong_fields_are_refused(change):
    with pytest.raises(CorruptFileError, match="'uec' says of itself what this version cannot read"):
        Manifest.from_metadata(stored(**change), "uec")


@pytest.mark.parametrize("fingerprint", [None, "", "0" * 64, 3])
def test_another_fingerprint_is_refused(fingerprint):
    with pytest.raises(CorruptFileError, match="another fingerprint"):
        Manifest.from_metadata({**manifest().to_metadata(), "uec:fingerprint": fingerprint}, "uec")


def test_a_sum_of_unequal_dimensions_is_refused():
    with pytest.raises(CorruptFileError, match=r"dimensions \[4, 8\]"):
        Manifest.from_metadata(manifest(layout="sum").to_metadata(), "uec")


def test_fields_of_a_later_version_ask_for_an_upgrade():
    for metadata in (
        stored(novelty=1),
        {**manifest().to_metadata(), "uec:calibration": '{"novelty": 1}'},
    ):
        with pytest.raises(FormatVersionError, match=r"\['novelty'\].*newer version.*pip install --upgrade"):
            Manifest.from_metadata(metadata, "uec")
    expert = json.loads(manifest().to_metadata()["uec:manifest"])["experts"]
    expert[1]["novelty"] = {}
    with pytest.raises(FormatVersionError, match="pip install --upgrade"):
        Manifest.from_metadata(stored(experts=expert), "uec")
    with pytest.raises(FormatVersionError, match="pip install --upgrade"):
        Manifest.from_metadata({"uec:format": FORMAT_VERSION + 1, "uec:manifest": ""}, "uec")


@pytest.mark.parametrize("version", ["1", True, None, 1.5, [1]])
def test_a_format_that_is_no_number(version):
    with pytest.raises(CorruptFileError, match="no number"):
        Manifest.from_metadata({**manifest().to_metadata(), "uec:format": version}, "uec")


def test_an_index_of_the_first_version_is_still_read():
    metadata = json.loads((Path(__file__).parents[1] / "engine" / "index_0_1_0.json").read_text())[
        "collection"
    ]
    found = Manifest.from_metadata(metadata, "uec")
    assert [e.label for e in found.experts] == ["static", "other"]
    assert found.generation == 0 and found.confidence is not None
    assert found.fingerprint == metadata["uec:fingerprint"]
