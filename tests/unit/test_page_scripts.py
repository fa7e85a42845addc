"""The page's scripts decide and write figures as the Python code does (needs Node)."""

import json
import shutil
import subprocess
from importlib import resources

import numpy as np
import pytest

from analysis.decision import Bound, decide
from analysis.labels import difference, format_value, unit_of, words_of
from analysis.page.decision_section import margin
from analysis.ranking import RankedTrial, Ranking
from analysis.records import Objective

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="needs Node")

SCALES = (
    Objective("val_accuracy", "max"),
    Objective("latency_ms", "min"),
    Objective("num_parameters", "min"),
)
BROWSER = "globalThis.document = { addEventListener() {} };"
PROGRAM = """
const cases = JSON.parse(require("fs").readFileSync(0, "utf8"));
const found = cases.map(([name, given]) => {
  if (name !== "decide") return { format: formatValue, gap, margin }[name](...given);
  const { objectives, trials } = given;
  given.losses = trials.values.map((row) => row.map((v, i) => asLoss(objectives[i], v)));
  const { pick, runnersUp, left } = decide(given);
  return [pick, runnersUp, left.length];
});
console.log(JSON.stringify(found));
"""


def run(cases):
    """Return what the scripts make of each case."""
    files = resources.files("analysis.page")
    scripts = [files.joinpath(name).read_text() for name in ("format.js", "decision.js")]
    done = subprocess.run(
        [NODE, "-e", "\n".join([BROWSER, *scripts, PROGRAM])],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return json.loads(done.stdout)


def scale(objective):
    column = objective.column
    return {
        "column": column,
        "words": words_of(column),
        "unit": unit_of(column),
        "direction": objective.direction,
    }


def random_case(generator):
    """Return a ranking with ties, its limits, missing values and objections."""
    objectives = SCALES[: generator.integers(1, 4)]
    count = int(generator.integers(1, 12))
    values = generator.integers(0, 5, (count, len(objectives))).astype(float)
    rows = tuple(
        RankedTrial(f"t{i}", "completed", 1, 0, False, False, tuple(row), {}, None, None)
        for i, row in enumerate(values.tolist())
    )
    ranking = Ranking("x", "", None, "finished", objectives, rows, (), {}, None, False, None)
    limited = np.where(generator.random((count, 3)) < 0.1, np.nan, generator.random((count, 3)))
    limited[:, : len(objectives)] = values
    bounds = [
        Bound(s, None if generator.random() < 0.6 else float(generator.integers(0, 5)))
        for s in SCALES
    ]
    objections = {row.trial_id: "no" for row in rows if generator.random() < 0.1}
    return ranking, bounds, limited, objections


def test_both_rules_recommend_the_same():
    generator = np.random.default_rng(0)
    python = [random_case(generator) for _ in range(300)]
    cases = [
        (
            "decide",
            {
                "objectives": list(map(scale, ranking.objectives)),
                "bounds": [{**scale(b.scale), "value": b.value} for b in bounds],
                "trials": {
                    "values": [row.values for row in ranking.rows],
                    "limited": [[None if v != v else v for v in row] for row in limited.tolist()],
                    "objection": [objections.get(row.trial_id) for row in ranking.rows],
                },
            },
        )
        for ranking, bounds, limited, objections in python
    ]
    for case, (pick, runners, num_left) in zip(python, run(cases), strict=True):
        decision = decide(*case)
        assert num_left == decision.num_left
        assert (None if pick is None else f"t{pick}") == (decision.pick and decision.pick.trial_id)
        assert [f"t{row}" for row in runners] == [row.trial_id for row in decision.runners_up]


def test_figures_are_written_alike():
    columns = ("val_accuracy", "latency_ms", "num_parameters", "weights_bytes", "cost_usd")
    values = (0.0, 1.0, -3.0, 0.12345678, 2.5e-5, 1e-9, 999.96, 1234.6, 44_695_848.0, 3.2e17)
    pairs = [(column, value) for column in columns for value in values]
    found = run([("format", [scale(Objective(c, "max")), v]) for c, v in pairs])
    for (column, value), text in zip(pairs, found, strict=True):
        assert text == format_value(column, value), column


def test_gaps_and_margins_are_written_alike():
    pairs = [(s, v) for s in SCALES for v in (-0.27, 0.5, 3.1)]
    found = run([("gap", [scale(s), v]) for s, v in pairs])
    assert found == [difference(s, v) for s, v in pairs]
    bounds = [(s, v, {"value": limit, "is_slo": limit < 1}) for s, v in pairs for limit in (0.5, 4)]
    found = run([("margin", [{**scale(s), **bound}, v]) for s, v, bound in bounds])
    assert found == [margin(s, v, b["value"], is_slo=b["is_slo"]) for s, v, b in bounds]
