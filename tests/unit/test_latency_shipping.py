import pytest
from sample_latency import make_figure

from trainables.latency.shipping import shipping_fault


def figure(accuracy=0.9, fp32_accuracy=0.9, agreement_fraction=1.0, **fields):
    values = {
        "trial_id": "trial_0001",
        "accuracy": accuracy,
        "fp32_accuracy": fp32_accuracy,
        "agreement_fraction": agreement_fraction,
    }
    return make_figure(**(values | fields))


@pytest.mark.parametrize(
    "figure",
    [
        figure(),
        figure(accuracy=0.89),  # one point is allowed
        figure(accuracy=0.93),
        figure(agreement_fraction=0.95),
        figure(status="uncertain", reason="caches are busy"),  # its accuracy is as certain
    ],
)
def test_what_loses_little_may_be_shipped(figure):
    assert shipping_fault(figure) is None


@pytest.mark.parametrize(
    ("figure", "fault"),
    [
        (figure(accuracy=0.889), "it lost 1.1 points of accuracy, and 1 is the most"),
        (
            figure(agreement_fraction=0.949),
            "predicts eager's class on 94.9% of the samples, and 95%",
        ),
        (figure(trial_id=None), "its weights were random"),
        (figure(accuracy=None), "its accuracy was not measured"),
        (figure(status="failed", reason="no such operator"), "no such operator"),
    ],
)
def test_what_may_not_be_shipped_says_why(figure, fault):
    assert fault in shipping_fault(figure)
