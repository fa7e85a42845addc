"""Finalists as they are read from a run, and the figures that are drawn of them."""

import io
from unittest import mock

from fake_run import fake_finalist, write_run
from matplotlib.figure import Figure
from matplotlib.text import Text

from analysis.finalists import gather_finalists
from analysis.load import load_run


def finalists_of(folder, trial_ids, **tables):
    run = write_run(folder / "run", [fake_finalist(name) for name in trial_ids], **tables)
    return gather_finalists(load_run(run))


def figure_of(plot, finalists):
    """Return the figure that `plot` writes, after its layout was fixed."""
    drawn = []

    def savefig(figure, *_, **__):
        figure.canvas.draw()
        drawn.append(figure)

    with mock.patch.object(Figure, "savefig", savefig):
        plot("a sweep", finalists, io.BytesIO())
    return drawn[0]


def texts_of(figure):
    """Return what can be read in the figure, by its text."""
    texts = figure.findobj(lambda artist: isinstance(artist, Text) and artist.get_visible())
    return {text.get_text(): text for text in texts if text.get_text()}


def assert_all_texts_stand_inside(figure):
    renderer = figure.canvas.get_renderer()
    for words, text in texts_of(figure).items():
        box = text.get_window_extent(renderer)
        assert figure.bbox.x0 <= box.x0 <= box.x1 <= figure.bbox.x1, words
        assert figure.bbox.y0 <= box.y0 <= box.y1 <= figure.bbox.y1, words
