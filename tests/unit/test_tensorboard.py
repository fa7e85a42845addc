import numpy as np
import pytest
from fake_run import fake_trial, write_run
from PIL import Image
from sample_sweep import make_result
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sweeps.trackers.tensorboard import TensorBoardTracker
from trainables.trial_config import TrialConfig

CONFIG = TrialConfig().to_dict()
OBJECTIVES = ("val_accuracy", "latency_p50_ms")
SWEEP = {"objectives": ["val_accuracy:max", "latency_p50_ms:min"]}


@pytest.fixture
def tracker(tmp_path):
    return TensorBoardTracker(tmp_path / "run" / "tensorboard", OBJECTIVES)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run" / "tensorboard"


def read(folder):
    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def scalars(folder):
    events = read(folder)
    return {
        tag: [(event.step, pytest.approx(event.value)) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def finish(tracker, trial_id, epoch=2):
    row = make_result(epoch) | {"latency_p50_ms": 1.5}
    tracker.finish(trial_id, CONFIG, row)


def run_with(tmp_path, *trials):
    """Write the run that a tracker is shown at the end, with a picture of its front."""
    run = write_run(tmp_path / "run", trials)
    (run / "report").mkdir()
    Image.new("RGBA", (30, 20), "red").save(run / "report" / "front.png")
    return run


def details(num_positive=(6, 4), auc=(0.9, 0.9)):
    """Return the columns of two classes: ROC curves by way of a point where half is found."""
    scores = {"precision": 0.5, "recall": 0.5, "f1": 0.5}
    return {
        "val_per_class": [
            {**scores, "support": n, "roc_auc": a} for n, a in zip(num_positive, auc, strict=True)
        ],
        "val_roc_curve": [{"fpr": [0.0, 0.25, 1.0], "tpr": [0.0, 0.5, 1.0]}] * 2,
    }


def test_each_trial_has_its_curves_in_one_file(tracker, folder):
    for epoch in (1, 2):
        for name in "ab":
            tracker.report(name, CONFIG, make_result(epoch, cost_usd=None))
    for name in "ab":
        finish(tracker, name)
        assert len(list((folder / name).iterdir())) == 1
        found = scalars(folder / name)
        assert found["val_accuracy"] == [(1, 0.5), (2, 0.75)]
        assert found["gang_seconds"] == [(1, 10.0), (2, 20.0)]
        assert "cost_usd" not in found


def test_a_finished_trial_has_its_objectives(tracker, folder):
    tracker.report("a", CONFIG, make_result(2))
    finish(tracker, "a")
    found = scalars(folder / "a")
    assert found["objective/val_accuracy"] == [(2, 0.75)]
    assert found["objective/latency_p50_ms"] == [(2, 1.5)]
    assert len(list((folder / "a").iterdir())) == 1


def test_a_trial_without_figures_has_no_file(tracker, folder):
    tracker.finish("a", CONFIG, {"epoch": 0, "val_accuracy": None, "latency_p50_ms": None})
    assert not folder.exists()


def test_the_front_is_the_picture_of_the_report_itself(tracker, folder, tmp_path):
    run = run_with(tmp_path, fake_trial("a"))
    tracker.conclude(run, SWEEP)
    (event,) = read(folder / "sweep").Images("front")
    assert event.encoded_image_string == (run / "report" / "front.png").read_bytes()
    assert (event.width, event.height) == (30, 20)


def test_lineages_are_text(tracker, folder, tmp_path):
    lineage = [
        {"from_epoch": 0, "parent_trial_id": None, "config": "{}"},
        {"from_epoch": 2, "parent_trial_id": "a", "config": "{}"},
    ]
    tracker.conclude(run_with(tmp_path, fake_trial("a"), fake_trial("b", lineage=lineage)), SWEEP)
    (event,) = read(folder / "sweep").Tensors("lineage/text_summary")
    text = event.tensor_proto.string_val[0].decode()
    assert "| b | 3 | a to epoch 2, then b |" in text
    assert "| a | 3 |" not in text


@pytest.mark.parametrize(
    ("test_accuracy", "expected"),
    [((None, 0.7, 0.7), ["b", "c"]), ((None, None, None), ["c"])],
)
def test_finalists_or_else_the_best_have_curves(tracker, folder, tmp_path, test_accuracy, expected):
    trials = [
        fake_trial(name, val_accuracy=accuracy, test_accuracy=test, **details())
        for name, accuracy, test in zip("abc", (0.7, 0.8, 0.9), test_accuracy, strict=True)
    ]
    trials.append(fake_trial("d", status="failed", val_accuracy=1.0, **details()))
    tracker.conclude(run_with(tmp_path, *trials), SWEEP)
    assert sorted(path.name for path in folder.iterdir()) == [*expected, "sweep"]


def test_precision_and_recall_are_those_of_the_roc_curve(tracker, folder, tmp_path):
    tracker.conclude(run_with(tmp_path, fake_trial("a", **details())), SWEEP)
    (event,) = read(folder / "a").Tensors("val_precision_recall/class_0")
    proto = event.tensor_proto
    values = np.array(proto.float_val).reshape([axis.size for axis in proto.tensor_shape.dim])
    # 6 samples of the class, 4 others; half of the class is found with a quarter of the others
    np.testing.assert_allclose(
        values,
        [
            [6, 3, 0],  # true positives
            [4, 1, 0],  # false positives
            [0, 3, 4],  # true negatives
            [0, 3, 6],  # false negatives
            [0.6, 0.75, 1.0],  # precision
            [1.0, 0.5, 0.0],  # recall
        ],
        atol=1e-6,
    )


def test_of_many_classes_those_told_apart_worst_have_curves(tracker, folder, tmp_path):
    auc = [0.5 + 0.01 * label for label in range(12)]
    columns = details()
    scores = columns["val_per_class"][0]
    trial = fake_trial(
        "a",
        val_per_class=[{**scores, "roc_auc": area} for area in auc],
        val_roc_curve=columns["val_roc_curve"][:1] * 11 + [{"fpr": [], "tpr": []}],
    )
    tracker.conclude(run_with(tmp_path, trial), SWEEP)
    tags = {tag.rpartition("_")[2] for tag in read(folder / "a").Tags()["tensors"]}
    assert tags == {str(label) for label in range(10)}


def test_a_run_without_results_or_pictures_is_concluded(tracker, folder, tmp_path):
    run = write_run(tmp_path / "run", [fake_trial("a", status="refused", val_accuracy=None)])
    tracker.conclude(run, SWEEP)
    assert read(folder / "sweep").Tags()["images"] == []


def test_a_thousand_trials_open_quickly(tracker, folder, tmp_path):
    """What TensorBoard reads decides that: a file a trial and few bytes in it."""
    num_epochs = 5
    for number in range(1000):
        trial_id = f"trial_{number:04d}"
        for epoch in range(1, num_epochs + 1):
            tracker.report(trial_id, CONFIG, make_result(epoch, cost_usd=1.0))
        finish(tracker, trial_id, num_epochs)
    finalists = [f"trial_{number:04d}" for number in range(3)]
    tracker.conclude(
        run_with(tmp_path, *(fake_trial(t, test_accuracy=0.7, **details()) for t in finalists)),
        SWEEP,
    )
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) == 1000 + len(finalists) + 1
    num_bytes = sum(path.stat().st_size for path in files)
    assert num_bytes < 6e6
