"""What is said of a corpus in few words."""

from uec_retriever.data.problems import describe


def test_files_that_differ_in_their_suffix_are_counted_together():
    found = {f"of no kind that is read ({suffix})": ["x"] * n for suffix, n in ((".png", 1), (".zip", 3))}
    told = describe({"hidden": ["a", "b"], **found, "of no kind that is read (no suffix)": ["y"]})
    assert told == "5 of no kind that is read (.zip, .png, no suffix), 2 hidden"


def test_many_suffixes_are_not_all_listed():
    found = {f"of no kind that is read (.{i:02})": ["x"] for i in range(40)}
    assert describe(found).startswith("40 of no kind that is read (.00, .01") and len(describe(found)) < 80
    assert describe(found).endswith(", ...)") and describe({}) == ""
