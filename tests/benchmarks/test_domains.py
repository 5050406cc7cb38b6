"""Domain experts, at a small size."""

import pytest

pytestmark = [pytest.mark.data, pytest.mark.models]


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("domains")


def test_domain_experts_beside_their_peers(run, work, tmp_path):
    result = run("domain_experts", "--work", work)
    methods = result["sets"]["metatool"]["methods"]
    assert {
        "tools",
        "uniform",
        "merged uniform",
        "UEC kron",
        "UEC kron sum",
        "UEC kron + words",
        "oracle domain",
    } <= set(methods)
    assert len(result["sets"]) == 8 and result["sets"]["cranfield"]["domain"] == "cranfield"
    for found in result["sets"].values():
        best = max(found["methods"][e]["metrics"]["nDCG@10"]["mean"] for e in [*result["experts"], "words"])
        assert found["methods"]["oracle domain"]["metrics"]["nDCG@10"]["mean"] == pytest.approx(best)
    assert (tmp_path / "domain_experts_merged.json").is_file()
