"""Reports on run folders: `python -m analysis.report RUN [RUN ...]`.

Prints the ranking and writes `report/report.html`, `report/front.csv` and `report/front.png` into
the run folder, and `report/finalists.png` and `report/attributions.png` where finalists met the
test part. Of several runs that is done for each, and then `report/comparison.html` of all of them
is written into the first.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.text import Text

from analysis.attribution_plot import plot_attributions
from analysis.finalists import TEST_COLUMNS, Finalist, gather_finalists
from analysis.labels import printable
from analysis.load import load_run, load_runs, open_folder
from analysis.page.document import render_page, tell_story
from analysis.plots import plot_front
from analysis.pool import pool_runs, run_labels
from analysis.ranking import Ranking, rank_trials
from analysis.records import REPORT_FOLDER, Objective
from analysis.robustness_plot import plot_robustness
from analysis.summary import print_summary

PAGE = "report.html"
COMPARISON_PAGE = "comparison.html"
FRONT_CSV = "front.csv"
FRONT_PICTURE = "front.png"
ROBUSTNESS_PICTURE = "finalists.png"
ATTRIBUTIONS_PICTURE = "attributions.png"

EXIT_OK = 0
EXIT_NOTHING_RANKED = 1
EXIT_BAD_INPUT = 2


def write_report(
    path: str | Path,
    console: Console,
    *,
    objectives: Sequence[Objective] | None = None,
    reference: Sequence[float] | None = None,
    where: str | None = None,
) -> Ranking | None:
    """Print the run's ranking and write its table and pictures into the run folder.

    A run that has not finished is reported as far as it went, and the report says so.

    Args:
        path: a run folder, local or a URI that pyarrow.fs opens.
        console: where to print.
        objectives: None for those the sweep was run with.
        reference: the hypervolume's reference point, in the objectives' own units and order;
            None for one made from the ranked trials.
        where: limits that a trial must meet to be ranked, as `analysis.constraints` reads them.

    Returns:
        The ranking; None if no trial can be ranked, and then only the page is written.

    Raises:
        RunError: if the run folder cannot be read.
        ValueError: if the reference does not fit the objectives or the front, or `where` can't be
            read.
        OSError: if the report cannot be written.
    """
    run = load_run(path)
    ranking = rank_trials(run, objectives, reference, where)
    finalists = gather_finalists(run)
    print_summary(run, ranking, finalists, console)
    files = dict(_files(ranking, finalists)) if ranking.rows else {}
    story = tell_story(run, {ranking.name: run}, ranking, finalists)
    files = {PAGE: render_page(story, _attributions(files)).encode(), **files}
    _write(path, files, console)
    return ranking if ranking.rows else None


def write_comparison(
    paths: Sequence[str | Path],
    console: Console,
    *,
    objectives: Sequence[Objective] | None = None,
    where: str | None = None,
) -> Ranking | None:
    """Write a page on several runs together into the first one's folder.

    Args:
        paths: two or more run folders, of the same data and objectives.
        console: where to print.
        objectives: None for those that the sweeps were run with.
        where: as for `write_report`.

    Returns:
        The ranking of all runs' trials; None if none can be ranked.

    Raises:
        RunError: if a run folder can't be read, or the runs can't be ranked together.
        ValueError: if `where` can't be read.
        OSError: if the page cannot be written.
    """
    runs = load_runs(paths)
    pooled = pool_runs(runs)
    ranking = rank_trials(pooled, objectives, where=where)
    parts = dict(zip(run_labels(runs), runs, strict=True))
    story = tell_story(pooled, parts, ranking, gather_finalists(pooled))
    _write(paths[0], {COMPARISON_PAGE: render_page(story, {}).encode()}, console)
    return ranking if ranking.rows else None


def _write(path: str | Path, files: Mapping[str, bytes], console: Console) -> None:
    """Write files into a run's report folder and name them."""
    filesystem, folder = open_folder(path)
    filesystem.create_dir(f"{folder}/{REPORT_FOLDER}")
    console.print()
    for name, content in files.items():
        target = f"{folder}/{REPORT_FOLDER}/{name}"
        with filesystem.open_output_stream(target) as stream:
            stream.write(content)
        console.print(Text(f"Wrote {printable(target)}"), soft_wrap=True)


def _attributions(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the picture that the page shows, by its heading."""
    known = files.get(ATTRIBUTIONS_PICTURE)
    return {} if known is None else {"What the finalists look at": known}


def _files(ranking: Ranking, finalists: Sequence[Finalist]) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each file for which there is something to show."""
    yield FRONT_CSV, front_csv(ranking, finalists).encode()
    yield FRONT_PICTURE, _png(lambda file: plot_front(ranking, file))
    if any(finalist.curves for finalist in finalists):
        yield ROBUSTNESS_PICTURE, _png(lambda file: plot_robustness(ranking.name, finalists, file))
    if any(finalist.samples for finalist in finalists):
        picture = _png(lambda file: plot_attributions(ranking.name, finalists, file))
        yield ATTRIBUTIONS_PICTURE, picture


def _png(plot: Callable[[IO[bytes]], None]) -> bytes:
    file = io.BytesIO()
    plot(file)
    return file.getvalue()


def front_csv(ranking: Ranking, finalists: Sequence[Finalist] = ()) -> str:
    """Return every ranked trial as a line of CSV, the front first.

    With finalists there are columns of their test scores, empty for all other trials.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    columns = [objective.column for objective in ranking.objectives]
    # `epoch` may itself be an objective: then it stands there once, as one.
    epoch = [] if "epoch" in columns else ["epoch"]
    test_columns = TEST_COLUMNS if finalists else ()
    scores = {finalist.trial_id: finalist.scores for finalist in finalists}
    head = ["rank", "is_front", "is_knee", "trial_id", "status", *epoch]
    writer.writerow([*head, *columns, *test_columns, "config", "checkpoint", "reproduce"])
    for row in ranking.rows:
        writer.writerow(
            [
                row.rank,
                row.is_front,
                row.is_knee,
                row.trial_id,
                row.status,
                *([row.epoch] if epoch else []),
                *row.values,
                *(scores.get(row.trial_id, {}).get(column) for column in test_columns),
                json.dumps(row.config),
                row.checkpoint,
                row.reproduce,
            ]
        )
    return text.getvalue()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m analysis.report",
        description="Rank the trials of run folders, print them and write report/.",
    )
    parser.add_argument(
        "runs",
        metavar="RUN",
        nargs="+",
        help="run folder: a path or a URI such as s3://...; several are compared too",
    )
    parser.add_argument(
        "--objectives",
        nargs="+",
        metavar="COLUMN:DIRECTION",
        help="columns of trials.parquet with max or min (default: those of the sweep)",
    )
    parser.add_argument(
        "--reference",
        nargs="+",
        type=float,
        metavar="VALUE",
        help="reference point of the hypervolume, one value an objective in its own unit "
        "(default: a little worse than the worst ranked trial)",
    )
    parser.add_argument(
        "--where",
        metavar="LIMITS",
        help="limits that a trial must meet to be ranked, such as "
        "'latency_ms < 5 and val_accuracy >= 0.9'",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Returns:
        0 for a report, 1 if no trial can be ranked, 2 if what was given cannot be used.
    """
    given = _parser().parse_args(argv)
    try:
        objectives = given.objectives and [Objective.parse(text) for text in given.objectives]
        asked = {"objectives": objectives, "where": given.where}
        if len(given.runs) > 1:
            pool_runs(load_runs(given.runs))  # what can't be compared is said before all else
        rankings = [
            write_report(path, Console(), reference=given.reference, **asked) for path in given.runs
        ]
        if len(given.runs) > 1:
            write_comparison(given.runs, Console(), **asked)
    except (ValueError, OSError) as error:
        message = Text(f"error: {printable(str(error))}", style="red")
        Console(stderr=True).print(message, soft_wrap=True)
        return EXIT_BAD_INPUT
    return EXIT_OK if any(rankings) else EXIT_NOTHING_RANKED


if __name__ == "__main__":
    sys.exit(main())
