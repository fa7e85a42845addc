"""Reads run folders: fronts, hypervolume, ranking, report. Imports neither Ray nor Torch.

The names below are the public ones, and `docs/analysis.md` shows them. Each is imported when it is
first used, so that `import analysis` costs nothing. One more is `analysis.hypervolume.hypervolume`:
a package can't have a module and a function of one name. The figures need Plotly, and importance
needs Optuna (`pip install -e ".[analysis]"`).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.certainty import Certainty, weigh_finalists
    from analysis.choice import (
        KNEE_DEFINITIONS,
        ideal_distances,
        knee_index,
        tchebycheff_index,
    )
    from analysis.comparison import (
        SpentCurve,
        attainment_surfaces,
        common_reference,
        compare_hypervolumes,
        hypervolume_over_spent,
        runs_table,
    )
    from analysis.configs import differing_keys, read_configs
    from analysis.constraints import meets, parse_constraints
    from analysis.curves import Curve, learning_curves
    from analysis.estimates import Estimates, Retraining, estimate_finalists, gather_retrainings
    from analysis.figures import (
        attainment_figure,
        curves_figure,
        front_figure,
        importance_figure,
        lineage_figure,
        parallel_coordinates_figure,
        schedules_figure,
        spending_figure,
        spent_figure,
    )
    from analysis.finalists import Finalist, gather_finalists
    from analysis.hypervolume import reference_point
    from analysis.importance import Importance, find_importance
    from analysis.ledger import Spending, sum_ledger, sum_spending
    from analysis.lineage import (
        Exploit,
        Segment,
        gather_exploits,
        gather_lineages,
        schedule,
    )
    from analysis.load import Run, RunError, load_run, load_runs, load_trials
    from analysis.pareto import is_front, losses, nondominated_ranks
    from analysis.plots import plot_front
    from analysis.pool import pool_runs, run_labels
    from analysis.ranking import RankedTrial, Ranking, rank_trials, run_objectives
    from analysis.records import Objective
    from analysis.report import write_report
    from analysis.run_folders import find_runs
    from analysis.serving import ServingReport, Shipped, gather_serving
    from analysis.spent import SPENT_UNITS, spent_by_report

_HOMES = {
    "certainty": ("Certainty", "weigh_finalists"),
    "choice": ("KNEE_DEFINITIONS", "ideal_distances", "knee_index", "tchebycheff_index"),
    "comparison": (
        "SpentCurve",
        "attainment_surfaces",
        "common_reference",
        "compare_hypervolumes",
        "hypervolume_over_spent",
        "runs_table",
    ),
    "configs": ("differing_keys", "read_configs"),
    "constraints": ("meets", "parse_constraints"),
    "curves": ("Curve", "learning_curves"),
    "estimates": ("Estimates", "Retraining", "estimate_finalists", "gather_retrainings"),
    "figures": (
        "attainment_figure",
        "curves_figure",
        "front_figure",
        "importance_figure",
        "lineage_figure",
        "parallel_coordinates_figure",
        "schedules_figure",
        "spending_figure",
        "spent_figure",
    ),
    "finalists": ("Finalist", "gather_finalists"),
    "hypervolume": ("reference_point",),
    "importance": ("Importance", "find_importance"),
    "ledger": ("Spending", "sum_ledger", "sum_spending"),
    "lineage": ("Exploit", "Segment", "gather_exploits", "gather_lineages", "schedule"),
    "load": ("Run", "RunError", "load_run", "load_runs", "load_trials"),
    "pareto": ("is_front", "losses", "nondominated_ranks"),
    "plots": ("plot_front",),
    "pool": ("pool_runs", "run_labels"),
    "ranking": ("RankedTrial", "Ranking", "rank_trials", "run_objectives"),
    "records": ("Objective",),
    "report": ("write_report",),
    "run_folders": ("find_runs",),
    "serving": ("ServingReport", "Shipped", "gather_serving"),
    "spent": ("SPENT_UNITS", "spent_by_report"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "KNEE_DEFINITIONS",
    "SPENT_UNITS",
    "Certainty",
    "Curve",
    "Estimates",
    "Exploit",
    "Finalist",
    "Importance",
    "Objective",
    "RankedTrial",
    "Ranking",
    "Retraining",
    "Run",
    "RunError",
    "Segment",
    "ServingReport",
    "Shipped",
    "Spending",
    "SpentCurve",
    "attainment_figure",
    "attainment_surfaces",
    "common_reference",
    "compare_hypervolumes",
    "curves_figure",
    "differing_keys",
    "estimate_finalists",
    "find_importance",
    "find_runs",
    "front_figure",
    "gather_exploits",
    "gather_finalists",
    "gather_lineages",
    "gather_retrainings",
    "gather_serving",
    "hypervolume_over_spent",
    "ideal_distances",
    "importance_figure",
    "is_front",
    "knee_index",
    "learning_curves",
    "lineage_figure",
    "load_run",
    "load_runs",
    "load_trials",
    "losses",
    "meets",
    "nondominated_ranks",
    "parallel_coordinates_figure",
    "parse_constraints",
    "plot_front",
    "pool_runs",
    "rank_trials",
    "read_configs",
    "reference_point",
    "run_labels",
    "run_objectives",
    "runs_table",
    "schedule",
    "schedules_figure",
    "spending_figure",
    "spent_by_report",
    "spent_figure",
    "sum_ledger",
    "sum_spending",
    "tchebycheff_index",
    "weigh_finalists",
    "write_report",
]


def __getattr__(name: str) -> Any:
    """Import a public name from where it lives."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f"analysis.{_HOME_OF[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
