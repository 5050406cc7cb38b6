import json
import pickle
import threading
import time
import unicodedata
from concurrent.futures import ThreadPoolExecutor

import pytest
import Stemmer
from hypothesis import given, settings
from hypothesis import strategies as st

from uec_retriever.data.words import WordAnalyzer, analyzer, languages, normalization
from uec_retriever.errors import InvalidInputError

ENGLISH = WordAnalyzer()
UNSTEMMED = WordAnalyzer(language=None)
TRICKY = "aB1zé\u0301\u0323ßİıσς._-'’@/:,+#& \n\x00\ud800\u00ad\u200dﬁ①Å\u212bＡ東か\u3099ｶﾞ가\u1100\u1161\u11a8ㅏ\uffc2ไทยक्षאָمُ\u0640\ufdfa🙂𐐀𝐀\U00020000"
ANYTHING = st.one_of(
    st.text(), st.text(st.sampled_from(TRICKY)), st.text(st.characters(categories=["L", "M", "N", "P", "Cs"]))
)


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("The runners were running.", "runner run"),
        ("getUserName", "getusername get user name"),
        ("snake_case", "snakecase snake case"),
        ("__init__", "init"),
        ("kebab-case", "kebabcas kebab case"),
        ("e-mail e-mails E-mail email", "email e mail email e mail email e mail email"),
        ("ERR_0x80070005", "err0x80070005 err 0x80070005"),
        ("v1.2.3", "v1.2.3 1.2.3 1 2 3"),
        ("Python3.11", "python3.11 python 3.11"),
        ("C++ C# F# C", "c++ c# f# c"),
        ("C++17", "c++ 17"),
        ("notepad++", "notepad notepad++"),
        (".NET ASP.NET (.NET)", ".net net asp.net asp net .net net"),
        ("section# x ... end", "section x end"),
        ("node.js", "node.js node js"),
        ("john.doe@acme.com", "john.doe@acme.com john.doe john doe acme.com acm com"),
        ("https://acme.org/docs/page.html?q=1", "https acme.org acm org doc page.html page html q 1"),
        ("AB-1234/5", "ab-1234/5 ab1234 ab 1234 5"),
        ("COVID-19 covid19", "covid19 covid 19 covid19 covid 19"),
        ("HTTPServer2", "httpserver2 http server"),
        ("X509Certificate", "x509certificate x509 certif"),
        ("mRNA URLs pH", "mrna url ph"),
        ("a94a8fe5ccb19ba61c4c0873d391e987982fbbd3", "a94a8fe5ccb19ba61c4c0873d391e987982fbbd3"),
        ("aGVsbG8gd29ybGQ", "agvsbg8gd29ybgq"),
        ("1,234.5 3.14 1.5-2.5", "1234.5 3.14 1.5-2.5 1.5 2.5"),
        ("192.168.0.1 10:30", "192.168.0.1 192 168 0 1 10:30 10 30"),
        ("don't don’t dogs' dog's dog’s we're", "dog dog dog"),
        ("l'homme O'Neill rock'n'roll", "homm oneill o neill rocknroll rock n roll"),
        ("U.S.A. AT&T", "usa at&t t"),
        ("so\u00adft zero\u200bwidth", "soft zerowidth"),
        ("naïve CAFÉ cafe\u0301 Straße Øre", "naiv cafe cafe strass ore"),
        ("ﬁne Ｆｕｌｌ １２３ ١٢٣ km²", "fine full 123 123 km2 km"),
        ("東京都 東 ｶﾞｯｺｳ", "東京 京都 東 ガッ ッコ コウ"),
        ("한국어 ไทย", "한국 국어 ไท ทย"),
        ("iPhone手机", "iphon 手机"),
        ("हिन्दी की", "हिन्दी की"),
        ("מָלֵא مُحَمَّد محـمد", "מלא محمد محمد"),
        ("Ἀθῆναι Ёлка", "αθηναι елка"),
        ("...?! -- '' \u0301 🙂", ""),
        ("to be or not to be", ""),
        ("", ""),
    ],
)
def test_examples(text, terms):
    assert ENGLISH.terms(text) == terms.split()


def test_accents_are_folded_after_stemmers_that_know_them_and_before_those_that_do_not():
    assert WordAnalyzer("french").terms("générales générale Écoles école") == [
        "general",
        "general",
        "ecol",
        "ecol",
    ]
    assert ENGLISH.terms("résumés resumes") == ["resum", "resum"]
    assert WordAnalyzer("turkish").terms("IŞIK ışık") == ["isik", "isik"]


def test_stop_words_are_those_of_the_language():
    assert WordAnalyzer("german").terms("Was ist für die Prüfung nötig?") == ["prufung", "notig"]
    assert ENGLISH.terms("Was ist") == ["ist"]
    assert UNSTEMMED.terms("the dogs") == ["the", "dogs"]
    assert WordAnalyzer(stop_words=False).terms("the dogs") == ["the", "dog"]


@pytest.mark.parametrize("language", languages())
def test_every_stemmer_loads_and_gives_its_own_stems(language):
    words = "running national possibly connected abandonment schifffahrt".split()
    stem = Stemmer.Stemmer(language).stemWord
    expected = [normalization.fold(stem(word)) for word in words]
    assert WordAnalyzer(language, stop_words=False).terms(" ".join(words)) == expected


def test_stems_are_those_of_pystemmer():
    text = " ".join(str(method.__doc__) for kind in (str, bytes, dict, int) for method in vars(kind).values())
    words = [w.lower() for w in set(text.split()) if w.isascii() and w.isalpha()]
    assert len(words) > 200
    assert WordAnalyzer(stop_words=False).terms(" ".join(words)) == Stemmer.Stemmer("english").stemWords(
        words
    )


def test_a_language_that_does_not_exist_is_refused_with_those_that_do():
    with pytest.raises(InvalidInputError, match="'klingon'.*english.*turkish"):
        WordAnalyzer("klingon")
    with pytest.raises(InvalidInputError, match="stop_words"):
        WordAnalyzer(stop_words="yes")


@given(ANYTHING)
@settings(max_examples=80, deadline=None)
def test_spans_lie_in_the_text_in_order_and_terms_are_theirs(text):
    for words in (ENGLISH, UNSTEMMED):
        spans = words.spans(text)
        assert [term for term, _, _ in spans] == words.terms(text)
        assert all(0 < len(term) <= analyzer.LONGEST_TERM for term, _, _ in spans)
        assert all(0 <= start < end <= len(text) for _, start, end in spans)
        starts = [start for _, start, _ in spans]
        assert starts == sorted(starts)


@given(ANYTHING)
@settings(max_examples=80, deadline=None)
def test_canonically_equivalent_texts_have_the_same_terms(text):
    assert (
        ENGLISH.terms(text)
        == ENGLISH.terms(unicodedata.normalize("NFC", text))
        == ENGLISH.terms(unicodedata.normalize("NFD", text))
    )


@given(ANYTHING)
@settings(max_examples=80, deadline=None)
def test_normalizing_cluster_by_cluster_is_normalizing_the_whole(text):
    found, edits = normalization.normalize(text)
    visible = normalization._patterns()[0].sub("", text)
    assert found == unicodedata.normalize("NFKC", visible).translate(normalization._ONE_FORM)
    assert [edit[0] for edit in edits] == sorted(edit[0] for edit in edits)


def test_no_character_outside_a_cluster_composes_with_the_one_before():
    joins = normalization._patterns()[3]
    every = [chr(code) for code in range(0x30000)]
    seconds = {
        chr(int(parts[1], 16))
        for parts in (unicodedata.decomposition(c).split() for c in every)
        if len(parts) == 2 and not parts[0].startswith("<")
    } | {chr(code) for code in (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))}
    for character in every:
        first = unicodedata.normalize("NFKC", character)[0]
        if first in seconds or unicodedata.combining(first):
            assert joins.match("é" + character).end() == 2, hex(ord(character))


@given(st.lists(st.text(st.sampled_from("aZbé10.,'\"()[!:%$<-+#_@"), max_size=6), max_size=6).map(" ".join))
@settings(max_examples=200, deadline=None)
def test_the_short_cut_for_plain_words_changes_nothing(text):
    slow = analyzer._Analysis("english", True)
    expected = []
    for chunk in text.split():
        spans = normalization.normalize(chunk)[0]
        for kind, segment, _, _ in analyzer.segments(spans):
            term = slow._word(segment) if kind is analyzer.Kind.WORD else slow._whole(segment)
            expected += [term] * bool(term)
    assert ENGLISH.terms(text) == expected


def test_places_of_matched_words_are_those_of_the_original():
    text = "Soft\u00adware, ﬁne Cafe\u0301s: ｶﾞｯｺｳ, getUserName"
    found = {text[start:end] for start, end in ENGLISH.matched(ENGLISH.terms("software fine café"), text)}
    assert found == {"Soft\u00adware", "ﬁne", "Cafe\u0301s"}
    assert [text[s:e] for s, e in ENGLISH.matched({"user", "name"}, text)] == ["UserName"]
    assert [text[s:e] for s, e in ENGLISH.matched(ENGLISH.terms("ガッコウ"), text)] == ["ｶﾞｯｺｳ"]
    assert ENGLISH.matched([], text) == []


@given(ANYTHING)
@settings(max_examples=40, deadline=None)
def test_matched_ranges_neither_overlap_nor_touch(text):
    ranges = ENGLISH.matched(ENGLISH.terms(text)[::2], text)
    assert all(low[1] < high[0] for low, high in zip(ranges, ranges[1:], strict=False))
    covered = {i for start, end in ranges for i in range(start, end)}
    wanted = set(ENGLISH.terms(text)[::2])
    assert covered == {
        i for term, start, end in ENGLISH.spans(text) if term in wanted for i in range(start, end)
    }


@pytest.mark.parametrize(
    "unit", ["a", ".", "é", "\u0301\u0323", "e\u0301\u0323", "aB1", "a.", "a_", "1,", "'a", "日", "\u00ad", "+", "ㅋ", "\ud800"]
)  # fmt: skip
def test_time_is_linear_in_the_text(unit):
    def seconds(number):
        begin = time.process_time()
        ENGLISH.terms(unit * number)
        return time.process_time() - begin

    ENGLISH.terms("é")
    seconds(100)
    assert seconds(20_000) < 40 * seconds(2_000) + 0.2


def test_long_words_are_cut():
    assert ENGLISH.terms("x" * 1_000_000) == ["x" * analyzer.LONGEST_TERM]


def test_the_caches_are_bounded(monkeypatch):
    cache = analyzer._Cache(str.upper, 10)
    assert [cache[c] for c in "abcabcdefghijklmnop"] == list("ABCABCDEFGHIJKLMNOP")
    assert len(cache) <= 10
    assert cache["x" * 100] == "X" * 100
    assert "x" * 100 not in cache


def test_threads_share_an_analyzer():
    texts = [
        f"running{i} nationally{i % 7} connections possibilities word{'s' * (i % 9)}" for i in range(300)
    ]
    expected = [WordAnalyzer("porter", False).terms(text) for text in texts]
    analyzer._analysis.cache_clear()
    barrier = threading.Barrier(8)

    def work(_):
        barrier.wait()
        return [WordAnalyzer("porter", False).terms(text) for text in texts]

    with ThreadPoolExecutor(8) as pool:
        assert all(found == expected for found in pool.map(work, range(8)))


def test_each_thread_has_a_stemmer_of_its_own():
    analysis, seen = analyzer._Analysis("english", True), []

    def work():
        analysis._stem("running")
        seen.append(analysis._thread.stemmer)

    for thread in [threading.Thread(target=work) for _ in range(2)]:
        thread.start()
        thread.join()
    assert seen[0] is not seen[1]


def test_it_is_a_value():
    copy = pickle.loads(pickle.dumps(ENGLISH))
    assert copy == ENGLISH and hash(copy) == hash(ENGLISH) and copy.terms("dogs") == ["dog"]
    assert ENGLISH != UNSTEMMED


@pytest.mark.parametrize("words", [ENGLISH, UNSTEMMED, WordAnalyzer("russian", False)])
def test_settings_go_through_json(words):
    assert WordAnalyzer.from_settings(json.loads(json.dumps(words.settings()))) == words


@pytest.mark.parametrize(
    "change", [{"version": 0}, {"stemmer": "1.0"}, {"language": "klingon"}, {"stop_words": 1}, {"more": 1}]
)
def test_other_settings_are_refused(change):
    with pytest.raises(InvalidInputError):
        WordAnalyzer.from_settings(ENGLISH.settings() | change)


def test_what_are_no_settings_is_refused():
    with pytest.raises(InvalidInputError, match="no settings"):
        WordAnalyzer.from_settings({})
    with pytest.raises(InvalidInputError):
        WordAnalyzer.from_settings({"language": [], "stop_words": True})


@pytest.mark.parametrize("text", ["foo_bar++", "a foo_bar++ b"])
def test_an_identifier_with_a_sign_is_marked_whole(text):
    analyzer = WordAnalyzer()
    spans = analyzer.spans(text)
    assert [s[1] for s in spans] == sorted(s[1] for s in spans)
    whole = text.strip("ab ") if " " in text else text
    assert analyzer.matched(analyzer.terms(whole), text) == [
        (text.index(whole), text.index(whole) + len(whole))
    ]
