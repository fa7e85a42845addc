"""Whether what was measured may be shipped in the place of eager fp32. Needs no Torch."""

from __future__ import annotations

from trainables.latency.figure import LatencyFigure

MAX_LOST_POINTS = 1.0
MIN_AGREEMENT_FRACTION = 0.95

_ROUNDING = 1e-9


def shipping_fault(figure: LatencyFigure) -> str | None:
    """Return why an artefact must not be shipped, or None if it may.

    At most one point of accuracy lost against eager fp32, and 95 % of its classes, both on the
    evaluation samples and in the very artefact that was timed. With random weights neither says
    anything: they are judged for trained ones alone.

    Args:
        figure: of the artefact.
    """
    if figure.status == "failed":
        return figure.reason
    if figure.trial_id is None:
        return "its weights were random"
    if figure.accuracy is None or figure.fp32_accuracy is None:
        return "its accuracy was not measured"
    assert figure.agreement_fraction is not None
    lost_points = 100 * (figure.fp32_accuracy - figure.accuracy)
    if lost_points > MAX_LOST_POINTS + _ROUNDING:
        return f"it lost {lost_points:.2g} points of accuracy, and {MAX_LOST_POINTS:g} is the most"
    if figure.agreement_fraction < MIN_AGREEMENT_FRACTION - _ROUNDING:
        return (
            f"it predicts eager's class on {figure.agreement_fraction:.1%} of the samples, and "
            f"{MIN_AGREEMENT_FRACTION:.0%} are needed"
        )
    return None
