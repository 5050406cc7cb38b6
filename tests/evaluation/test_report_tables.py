"""Tables: the figures are those of the file, by a loop of this test's own."""

import json

import pytest

from benchmarks.markdown import markdown, markdown_table, rewrite_regions, source
from tests.evaluation import made_up_results as made_up
from uec_retriever.errors import InvalidInputError
from uec_retriever.evaluation.report_page import check_result
from uec_retriever.evaluation.report_page.headlines import headline
from uec_retriever.evaluation.report_page.tables import Entry, Row, Table, number, tables

RETRIEVAL = made_up.retrieval(queries=30, sets=("covidqa", "cranfield"))


def by_name(content):
    return {t.name: t for t in tables(check_result(content, "made_up.json"))}


def rows(table):
    return {r.label: dict(zip(table.columns[1:], map(str, r.entries), strict=True)) for r in table.rows}


def written(cell):
    difference = cell["difference"]
    star = "*" if difference["low"] > 0 or difference["high"] < 0 else ""
    return f"{cell['mean']:.3f}{star} [{cell['low']:.3f}, {cell['high']:.3f}]"


def test_every_method_and_set_of_retrieval():
    found = by_name(RETRIEVAL)
    shown = rows(found["ndcg10"])
    assert set(shown) == set(made_up.METHODS)
    for label, cells in shown.items():
        assert cells["mean"] == written(RETRIEVAL["mean"][label]["nDCG@10"])
        for name, one in RETRIEVAL["sets"].items():
            assert cells[name] == written(one["methods"][label]["metrics"]["nDCG@10"])
    assert rows(found["map"])["RRF"]["covidqa"] == written(
        RETRIEVAL["sets"]["covidqa"]["methods"]["RRF"]["metrics"]["MAP"]
    )
    assert found["map"].minor
    assert "difference to uniform leaves out 0" in found["ndcg10"].notes[0]


def test_the_best_is_no_upper_bound():
    table = by_name(RETRIEVAL)["ndcg10"]
    for column, name in enumerate(table.columns[1:]):
        cells = {r.label: r.entries[column] for r in table.rows}
        values = RETRIEVAL["mean"] if name == "mean" else RETRIEVAL["sets"][name]["methods"]
        means = {
            m: (v if name == "mean" else v["metrics"])["nDCG@10"]["mean"]
            for m, v in values.items()
            if not m.startswith("oracle")
        }
        assert [m for m, c in cells.items() if c.best] == [max(means, key=means.get)]


def test_ablation_coefficients_and_abstention():
    found = by_name(RETRIEVAL)
    ablation = rows(found["ablation"])
    assert list(ablation)[0] == "UEC kron"
    cell = RETRIEVAL["sets"]["covidqa"]["methods"]["UEC kron, neither"]["metrics"]["nDCG@10"]["difference"]
    shown = ablation["UEC kron, neither"]["covidqa"]
    assert shown.replace("*", "") == f"{cell['mean']:+.4f} [{cell['low']:+.4f}, {cell['high']:+.4f}]"
    weights = RETRIEVAL["sets"]["covidqa"]["methods"]["UEC kron"]["coefficients"]
    for expert, weight in weights.items():
        assert rows(found["coefficients"])[f"UEC kron: {expert}"]["covidqa"] == f"{weight:.2f}"
    nauc = RETRIEVAL["sets"]["cranfield"]["abstention"]["uniform"]["nAUC"]
    assert rows(found["abstention"])["nAUC: uniform"]["cranfield"] == f"{nauc:.3f}"


def test_sts_classification_calibration_and_uae():
    sts = made_up.sts(pairs=30)
    assert rows(by_name(sts)["spearman"])["RRF"]["sick_r"] == written(
        sts["sets"]["sick_r"]["methods"]["RRF"]["Spearman"]
    )
    classified = made_up.classification(texts=30)
    found = by_name(classified)
    f1 = classified["sets"]["banking77"]["methods"]["UEC kron"]["macro F1"]
    assert rows(found["more"])["macro F1: UEC kron"]["banking77"] == f"{f1:.3f}"
    assert rows(found["out-of-scope"])["query variance"] == {"clinc150": "0.710 [0.680, 0.740]"}
    calibrated = made_up.calibration()
    shown = rows(by_name(calibrated)["calibration"])
    after = calibrated["sets"]["stsb_en"]["reliability"]["UEC kron, after"]
    assert shown["stsb_en: UEC kron, after"]["ECE"] == f"{after['ECE']:.3f}"
    assert shown["stsb_en: UEC kron, after"]["variance predicts error"] == "0.310 [0.220, 0.400]"
    assert shown["stsb_en: cosine"]["Var-ECE"] == "–"
    assert rows(by_name(calibrated)["pairs"]) == {
        "stsb_en: tools, kron": {"relevant pairs": "12", "mean variance": "0.250"}
    }
    assert rows(by_name(calibrated)["queries-predict"]) == {
        "stsb_en: tools, kron": {"queries predict": "0.100 [0.000, 0.200]"},
        "stsb_en: legal, kron": {"queries predict": "–"},
    }
    uae = made_up.uae()
    [(_, study)] = uae["results"].items()
    shown = rows(by_name(uae)["qasper_dev_evidence-judge-smollm2-group"])
    assert shown["UAE"]["Hit@1"] == written(study["scopes"]["group"]["UAE"]["Hit@1"])
    assert shown["UAE"]["ms per query"] == "12.5"


def test_a_result_may_bring_its_own_tables():
    table = by_name(made_up.measurements())["growth"]
    assert [str(e) for e in table.rows[1].entries] == ["4", "1.200"]
    assert table.rows[1].label == "100,000"


def test_scaling():
    found = by_name(made_up.scaling())
    assert rows(found["growth"])["milliseconds: dot product"]["against N, candidates"] == "1.00 [0.90, 1.10]"
    assert rows(found["share"])["MiniLM, full: similarity of the query"] == {"30": "0.40%", "1,000": "3.10%"}
    assert rows(found["milliseconds-n"])["dot product"]["100,000"] == "100.000"


def test_what_is_not_there_makes_no_table():
    bare = {**RETRIEVAL, "sets": {}, "mean": None}
    for name, one in RETRIEVAL["sets"].items():
        methods = {
            m: {"kind": v["kind"], "metrics": {"nDCG@10": v["metrics"]["nDCG@10"]}}
            for m, v in one["methods"].items()
            if v["kind"] in ("single", "ensemble")
        }
        bare["sets"][name] = {"methods": methods}
    assert set(by_name(bare)) == {"ndcg10", "sets"}
    assert by_name(bare)["ndcg10"].columns == ("method", "covidqa", "cranfield")


def test_numbers_for_people():
    assert [number(v) for v in (0.12345, 1234, 1234.5, None, float("nan"), "text", True)] == [
        "0.123", "1,234", "1,234", "–", "–", "text", "True",
    ]  # fmt: skip


def test_the_headline_counts_what_is_clear():
    said = headline(check_result(RETRIEVAL, "x"))
    [kron] = [s for s in said if s.startswith("UEC kron:")]
    cells = [s["methods"]["UEC kron"]["metrics"]["nDCG@10"]["difference"] for s in RETRIEVAL["sets"].values()]
    better, worse = sum(c["low"] > 0 for c in cells), sum(c["high"] < 0 for c in cells)
    assert f"clearly better on {better} of 2 sets, clearly worse on {worse}" in kron
    change = (
        RETRIEVAL["mean"]["UEC kron"]["nDCG@10"]["mean"] - RETRIEVAL["mean"]["uniform"]["nDCG@10"]["mean"]
    )
    assert f"{change:+.3f}" in kron


def test_many_readings_are_told_by_the_ends():
    content = made_up.calibration()
    found = content["sets"]["sick_r"]["reliability"]
    errors = sorted((one["ECE"], label) for label, one in found.items())
    (low, best), (high, worst) = errors[0], errors[-1]
    said = headline(check_result(content, "x"))
    assert len(said) == 2
    assert said[1] == f"ECE, sick_r: from {low:.3f} ({best}) to {high:.3f} ({worst}), 3 readings."


def test_markdown_states_command_and_commit():
    result = check_result(RETRIEVAL, "retrieval.json")
    text = markdown(result, "ndcg10")
    assert "| method | mean | covidqa | cranfield |\n|---|---|---|---|\n" in text
    assert f"| {written(RETRIEVAL['mean']['uniform']['nDCG@10'])} |" in text
    assert text.endswith(source(result))
    assert source(result) == (
        "(`python -m benchmarks.retrieval --made-up`, commit 0123456789ab, seed 0, test split)"
    )
    assert "Sets" not in markdown(result)  # a minor one
    with pytest.raises(InvalidInputError, match=r"retrieval\.json has no table 'poems', only ndcg10, "):
        markdown(result, "poems")


def test_markdown_takes_labels_as_they_are():
    table = Table("t", "", ("a|b", "c"), (Row("<b>\nx", (Entry("1|2"),)),), ("n.",))
    assert markdown_table(table) == "| a\\|b | c |\n|---|---|\n| &lt;b> x | 1\\|2 |\n\nn."


def test_wide_tables_are_divided():
    heads = ("m", *map(str, range(1, 12)))
    row = Row("a", tuple(Entry(str(i), "[0, 1]") for i in range(1, 12)))
    first, second = markdown_table(Table("t", "", heads, (row,))).split("\n\n")
    assert first.splitlines()[0] == "| m | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 |"
    assert second == "| m | 9 | 10 | 11 |\n|---|---|---|---|\n| a | 9 [0, 1] | 10 [0, 1] | 11 [0, 1] |"
    narrow = Table("t", "", heads, (Row("a", tuple(Entry(str(i)) for i in range(1, 12))),))
    assert len(markdown_table(narrow).splitlines()) == 3


def test_regions_are_rewritten_and_the_rest_is_left():
    text = "a\n<!-- results:one/x -->\nold\n<!-- /results:one/x -->\nb <!-- results:two -->\n<!-- /results:two -->c"
    new = rewrite_regions(text, lambda name: f"new {name}")
    assert new == (
        "a\n<!-- results:one/x -->\n\nnew one/x\n\n<!-- /results:one/x -->\n"
        "b <!-- results:two -->\n\nnew two\n\n<!-- /results:two -->c"
    )
    assert rewrite_regions(new, lambda name: f"new {name}") == new
    for broken in (
        "<!-- results:one -->",
        "<!-- /results:one -->",
        "<!-- results:one --><!-- /results:two -->",
        "<!-- results:one --><!-- results:two --><!-- /results:one -->",
    ):
        with pytest.raises(InvalidInputError, match="no counterpart"):
            rewrite_regions(broken, str)


@pytest.fixture
def results(tmp_path):
    for name in ("retrieval", "sts"):
        (tmp_path / f"{name}.json").write_text(json.dumps(made_up.ALL[name]()))
    (tmp_path / "classification.json").write_text('{"rows": []}')
    return tmp_path


def test_summary_rewrites_checks_and_says_what_is_missing(results, tmp_path, capsys):
    from benchmarks import summary

    page = tmp_path / "page.md"
    names = ("summary", "retrieval/ndcg10", "uae", "classification")
    page.write_text("".join(f"<!-- results:{n} -->\n<!-- /results:{n} -->\n" for n in names))
    arguments = ["--results", str(results), str(page)]
    assert summary.main(["--check", *arguments]) == 1
    assert summary.main(arguments) == 0
    once = page.read_text()
    assert summary.main(["--check", *arguments]) == 0
    assert summary.main(arguments) == 0
    assert page.read_text() == once
    assert "Not run yet: `python -m benchmarks.uae`." in once
    assert "To be rerun, `classification.json` is of an earlier form" in once
    assert "- domain experts: not run yet: `python -m benchmarks.domain_experts`." in once
    assert "mpnet, small: not run yet: `make benchmark`." in once
    mean = made_up.retrieval()["mean"]["UEC kron"]["nDCG@10"]
    line = next(
        row for row in once.splitlines() if row.startswith("| different architectures, nDCG@10 (7 sets)")
    )
    assert f"{mean['mean']:.3f}* [{mean['low']:.3f}, {mean['high']:.3f}]" in line
    (results / "retrieval.json").unlink()
    assert summary.main(["--check", *arguments]) == 1


def test_tables_of_this_repository_are_up_to_date():
    from benchmarks import summary

    assert summary.main(["--check"]) == 0, "run python -m benchmarks.summary"
