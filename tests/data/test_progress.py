"""Who watches work: nobody, a function, or a bar that short work does not show."""

import io
import threading

import pytest
import tqdm.auto
import tqdm.std

from uec_retriever.data import progress
from uec_retriever.data.progress import watching
from uec_retriever.errors import InvalidInputError


class Clock:
    """Stands still unless work moves it."""

    now = 1e9

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    """The bars' clock."""
    clock = Clock()
    monkeypatch.setattr(tqdm.std, "time", clock)
    return clock


@pytest.fixture
def bars(monkeypatch, clock):
    """The bars that are made, as they are drawn in a file."""
    made = []

    class Bar(tqdm.auto.tqdm):
        monitor_interval = 0  # no thread that draws by a clock of its own

        def __init__(self, **options):
            self.drawn = io.StringIO()
            super().__init__(file=self.drawn, mininterval=0, **options)
            made.append(self)

    monkeypatch.setattr(tqdm.auto, "tqdm", Bar)  # which of them fits a notebook, tqdm finds out
    return made


def work(watch, steps, clock=None, seconds=0.0, **options):
    """Work that takes some seconds a step."""
    with watching(watch, "Counting", **options) as tell:
        for step in steps:
            if clock:
                clock.now += seconds
            if tell:
                tell(step)


@pytest.mark.parametrize("nobody", [None, False])
def test_nobody(nobody, bars, capfd):
    work(nobody, [1, 2])
    assert not bars
    assert capfd.readouterr() == ("", "")


def test_a_function_is_called_as_it_is(bars):
    told = []
    work(told.append, [1, 2.5], total=4)
    assert told == [1, 2.5]
    assert not bars


def test_a_bar_comes_after_two_seconds(bars, clock):
    work(True, [1, 1, 1], clock, 1.0, total=3)
    [bar] = bars
    drawn = bar.drawn.getvalue()
    assert "Counting: 100%" in drawn and "3/3" in drawn
    assert "2/3" in drawn
    assert "1/3" not in drawn


def test_short_work_shows_none(bars, clock, capfd):
    work(True, [1, 1, 1], clock, 0.6, total=3)
    assert bars[0].drawn.getvalue() == ""
    assert capfd.readouterr() == ("", "")


def test_parts_are_counted_whole_and_what_was_not_needed_is_no_lack(bars, monkeypatch):
    monkeypatch.setattr(progress, "DELAY", 0)
    work(True, [1 / 3] * 6, total=10)
    assert bars[0].n == bars[0].total == 2
    assert "10%" in bars[0].drawn.getvalue()
    work(True, [1, 1], unit="queries")
    assert "queries" in bars[1].drawn.getvalue()


def test_threads_lose_nothing(bars):
    with watching(True, "Counting") as tell:
        threads = [threading.Thread(target=lambda: [tell(0.5) for _ in range(1000)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert bars[0].n == 2000


def test_what_fails_leaves_the_bar_where_it_was(bars):
    with pytest.raises(RuntimeError), watching(True, "Counting", 5) as tell:
        tell(2)
        raise RuntimeError
    assert (bars[0].n, bars[0].total) == (2, 5)
    assert bars[0].disable  # closed


@pytest.mark.parametrize("watch", ["yes", 1, [print]])
def test_what_cannot_watch_is_refused(watch):
    with (
        pytest.raises(InvalidInputError, match="progress is True for a bar, or a function"),
        watching(watch, "x"),
    ):
        pass
