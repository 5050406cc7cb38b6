"""The page and its figures, drawn for real from made-up results."""

import base64
import io
import re
import sys
from html.parser import HTMLParser

import pytest

from benchmarks.probability_report import probability_report
from tests.evaluation import made_up_results as made_up
from tests.evaluation.test_report_tables import rows, written
from uec_retriever import atomic
from uec_retriever.errors import InvalidInputError, MissingExtraError, StorageError
from uec_retriever.evaluation.report_page import check_result, write_report
from uec_retriever.evaluation.report_page.looks import DARK, LIGHT
from uec_retriever.evaluation.report_page.plots import MARKERS
from uec_retriever.evaluation.report_page.results import KIND_NAMES
from uec_retriever.evaluation.report_page.tables import tables

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")
HOSTILE = "<script>alert('a')</script> & \"b\" $x$ |"


class Page(HTMLParser):
    """Tables as rows of texts, images, tags and attributes."""

    def __init__(self, text):
        super().__init__()
        self.tables, self.images, self.tags, self.attributes, self._cell = [], [], set(), [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self._cell = ""
        if tag == "small" and self._cell is not None:
            self._cell += " "
        if tag == "img":
            self.images.append(dict(attrs))

    def handle_data(self, data):
        if self._cell is not None:
            self._cell += data

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.tables[-1][-1].append(self._cell.strip())
            self._cell = None


def small():
    sts = made_up.sts(pairs=30)
    sts["sets"].popitem()
    sts |= probability_report(sts["sets"])
    return [
        made_up.retrieval(queries=30, sets=("covidqa", "cranfield")),
        sts,
        made_up.uae(),
        made_up.scaling(),
    ]


@pytest.fixture(scope="module")
def contents():
    return small()


@pytest.fixture(scope="module")
def report(contents, tmp_path_factory):
    return write_report(contents, tmp_path_factory.mktemp("report") / "new", "A title & more")


@pytest.fixture(scope="module")
def page(report):
    return Page(report.page.read_text(encoding="utf-8"))


def image(data):
    from PIL import Image

    with Image.open(io.BytesIO(data)) as found:
        found.load()
        return found.format, found.size, len(found.convert("RGB").getcolors(1 << 24))


def test_each_figure_is_an_image_and_stands_in_the_page(report, page):
    assert [f.name for f in report.figures] == [
        "retrieval-ndcg10.png", "retrieval-ablation.png", "retrieval-coefficients.png",
        "retrieval-risk-coverage.png", "retrieval-time.png", "sts-spearman.png", "sts-ablation.png",
        "sts-reliability-1.png", "sts-variance-1.png", "uae-systems.png",
        "tables-growth.png",
    ]  # fmt: skip
    assert sorted(p.name for p in report.page.parent.iterdir()) == sorted(
        ["report.html", *(f.name for f in report.figures)]
    )
    for file, shown in zip(report.figures, page.images, strict=True):
        kind, size, colours = image(file.read_bytes())
        assert kind == "PNG"
        shape = (2 * int(shown["width"]), 2 * int(shown["height"]))
        assert max(abs(a - b) for a, b in zip(size, shape, strict=True)) <= 2
        assert colours > 8, "an empty figure"
        prefix, _, data = shown["src"].partition(",")
        assert prefix == "data:image/png;base64"
        assert base64.b64decode(data) == file.read_bytes()
        assert len(shown["alt"]) > 40


def test_the_page_stands_alone(report, page):
    text = report.page.read_text(encoding="utf-8")
    assert "<title>A title &amp; more</title>" in text
    assert not {"script", "link", "iframe", "object"} & page.tags
    assert not re.search(r"https?://|@import|url\(", text)
    for name, value in page.attributes:
        if name in ("src", "srcset"):
            assert value.startswith("data:image/png;base64,")
        if name == "href":
            assert value.startswith("#")
    for needed in ('name="viewport"', "prefers-color-scheme: dark", "@media print"):
        assert needed in text


def test_figures_come_in_light_and_dark(page):
    sources = [v for n, v in page.attributes if n == "srcset"]
    assert len(sources) == len(page.images)
    from PIL import Image

    for dark, light in zip(sources, page.images, strict=True):
        for uri, theme in ((dark, DARK), (light["src"], LIGHT)):
            with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as found:
                corner = found.convert("RGB").getpixel((0, found.height - 1))
            wanted = tuple(int(theme.surface[i : i + 2], 16) for i in (1, 3, 5))
            assert max(abs(a - b) for a, b in zip(corner, wanted, strict=True)) <= 3


def test_the_tables_hold_what_the_files_hold(contents, page):
    wanted = [
        t for c in contents for m in (False, True) for t in tables(check_result(c, "x")) if t.minor is m
    ]
    assert len(page.tables) == len(wanted)
    for shown, table in zip(page.tables, wanted, strict=True):
        assert tuple(shown[0]) == table.columns
        found = {label: dict(zip(shown[0][1:], cells, strict=True)) for label, *cells in shown[1:]}
        assert found == rows(table)
    retrieval = contents[0]
    first = {label: cells for label, *cells in page.tables[0][1:]}
    for label, cells in first.items():
        of_sets = [s["methods"][label]["metrics"]["nDCG@10"] for s in retrieval["sets"].values()]
        assert cells == [written(c) for c in (retrieval["mean"][label]["nDCG@10"], *of_sets)]


def test_provenance_and_notes_are_there(report, contents):
    text = report.page.read_text(encoding="utf-8")
    for content in contents:
        assert content["command"] in text
    assert text.count("0123456789ab") >= len(contents)
    assert "numpy 2.4.6" in text
    assert "percentile bootstrap" in text
    assert "uec-retriever 0.1.0" in text


def hostile():
    methods = {
        HOSTILE: ("single", -0.1),
        "_under": ("odd", -0.1),
        "uniform": ("ensemble", 0.0),
        "UEC diag": ("uec", 0.1),
    }
    content = made_up.retrieval(queries=10, sets=("covidqa",), methods=methods)
    one = content["sets"].pop("covidqa")
    one["methods"]["UEC diag"]["coefficients"] = {HOSTILE: 1.0, "语": 0.0}
    one["stages"] = {f"_stage {i} {HOSTILE}": float(i) for i in range(12)}
    one["abstention"][HOSTILE] = one["abstention"].pop("uniform")
    content["sets"][HOSTILE] = one
    return {**content, "command": HOSTILE, "split": HOSTILE, "chosen": {HOSTILE: 1}}


def test_hostile_labels_are_text_only(tmp_path):
    report = write_report([hostile()], tmp_path, HOSTILE)
    text = report.page.read_text(encoding="utf-8")
    page = Page(text)
    assert "script" not in page.tags
    assert "<script" not in text
    assert HOSTILE in [row[0] for row in page.tables[0]]
    assert page.tables[0][0] == ["method", HOSTILE]
    assert all(image(f.read_bytes())[0] == "PNG" for f in report.figures)


def test_what_is_missing_is_left_out(tmp_path):
    content = made_up.retrieval(queries=10, sets=("covidqa",), methods={"alone": ("single", 0.0)})
    one = content["sets"]["covidqa"]
    content["sets"]["covidqa"] = {"methods": one["methods"]}
    for key in ("mean", "chosen", "settings", "baseline", "experts", "split", "cpus"):
        del content[key]
    report = write_report([content], tmp_path)
    assert [f.name for f in report.figures] == ["retrieval-ndcg10.png"]
    text = report.page.read_text(encoding="utf-8")
    for absent in ("Risk and coverage", "Time by stage", "Whom UEC trusts", "processors", "None"):
        assert absent not in text


def test_headings_tell_results_of_one_kind_apart(tmp_path):
    small_one = made_up.retrieval(queries=10, sets=("covidqa",), methods={"alone": ("single", 0.0)})
    small_one["sets"]["covidqa"] = {"methods": small_one["sets"]["covidqa"]["methods"]}
    results = [check_result(small_one, f"{name}.json") for name in ("first", "second")]
    text = write_report(results, tmp_path).page.read_text(encoding="utf-8")
    assert "<h2>Retrieval: first</h2>" in text and "<h2>Retrieval: second</h2>" in text
    assert "<h2>Retrieval</h2>" in write_report(results[:1], tmp_path).page.read_text(encoding="utf-8")


def test_nothing_half_written(tmp_path, monkeypatch):
    tables_only = made_up.measurements()
    with pytest.raises(InvalidInputError, match="no result to report"):
        write_report([], tmp_path / "a")
    with pytest.raises(InvalidInputError, match="result 2 .* lacks 'kind'"):
        write_report([tables_only, {}], tmp_path / "a")
    assert not (tmp_path / "a").exists()
    first = write_report([tables_only], tmp_path / "a", "first")
    before = first.page.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic.os, "replace", full)
    with pytest.raises(StorageError, match="No space left"):
        write_report([tables_only], tmp_path / "a", "second")
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["report.html"]
    assert first.page.read_bytes() == before


def test_without_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtraError, match=r"uec-retriever\[report\]"):
        write_report([made_up.measurements()], tmp_path)
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"uec-retriever\[report\]"):
        write_report([made_up.uae()], tmp_path)


def test_each_kind_has_its_colour_and_marker():
    for theme in (LIGHT, DARK):
        assert set(theme.kinds) == set(MARKERS) == set(KIND_NAMES)
