"""`python -m trainables.export`, with small models and the measuring of latencies made up."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from fake_run import fake_serving
from sample_export import write_texts, write_trained_run
from sample_latency import make_figure

pytest.importorskip("onnx")
pytest.importorskip("safetensors")

from trainables.export import export_folder, slo_check
from trainables.export.__main__ import main
from trainables.export.served_model import load_exported
from trainables.export.verification import draw_samples
from trainables.latency import artefact, lock
from trainables.latency.job import Job
from trainables.latency.onnx_file import example_of, read_graph
from trainables.latency.samples import exported_samples
from trainables.latency.serving import Serving

ALONE = """
import json, sys
import numpy as np, onnxruntime, torch
from pathlib import Path
folder, expected = Path(sys.argv[1]), np.load(sys.argv[2])
told = json.loads((folder / "config.json").read_text())
inputs, name = expected["inputs"], told["input"]["name"]
if "texts" in expected:
    from tokenizers import Tokenizer
    tokenizer = Tokenizer.from_file(str(folder / told["preprocessing"]["tokenizer"]))
    found = np.array([e.ids for e in tokenizer.encode_batch(list(expected["texts"]))])
    assert (found == inputs).all()
assert told["input"]["dtype"] == str(inputs.dtype)
session = onnxruntime.InferenceSession(folder / "model.onnx")
program = torch.export.load(folder / "model.pt2").module()
for size in (1, 2, len(inputs)):
    (logits,) = session.run([told["output"]["name"]], {name: inputs[:size]})
    np.testing.assert_allclose(logits, expected["logits"][:size], rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        logits = program(torch.from_numpy(inputs[:size])).numpy()
    np.testing.assert_allclose(logits, expected["logits"][:size], rtol=1e-4, atol=1e-4)
assert "trainables" not in sys.modules
"""


def call(*arguments):
    """Return the exit code."""
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as stopped:
        return stopped.code
    return 0


def ship(run, to, *flags, trial="trial_0001"):
    return call(run, "--trial", trial, "--to", to, *flags)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    run, data, trained = write_trained_run(folder / "run", test_accuracy=0.78)
    assert ship(run, folder / "shipped") == 0
    return folder / "shipped", data, trained


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    dataset = f"text:{write_texts(folder / 'texts.csv')}"
    run, data, trained = write_trained_run(
        folder / "run", dataset=dataset, model="text_transformer"
    )
    assert ship(run, folder / "shipped") == 0
    return folder / "shipped", data, trained


def run_alone(folder, tmp_path, **arrays):
    np.savez(tmp_path / "expected.npz", **arrays)
    command = [sys.executable, "-I", "-c", ALONE, str(folder), str(tmp_path / "expected.npz")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_images_are_classified_without_paretune(images, tmp_path):
    shipped, data, trained = images
    samples = draw_samples(data)
    with torch.no_grad():
        expected = trained(samples.inputs).numpy()
    pixels = data.val.inputs
    assert pixels.dtype == np.uint8
    assert (np.sort(samples.raw.numpy().ravel()) == np.sort(pixels.ravel())).all()
    run_alone(shipped, tmp_path, inputs=samples.raw.numpy(), logits=expected)


def test_texts_are_classified_without_paretune_from_the_texts_themselves(texts, tmp_path):
    from trainables.data.splits import split_positions
    from trainables.data.text.files import load_text_files

    shipped, data, trained = texts
    source = load_text_files(tmp_path.parent / Path(shipped).parent.name / "texts.csv")
    _, val, _ = split_positions(source.labels, has_test_part=False, seed=0, limit_train=60)
    raw = [source.texts[position] for position in val]
    placed = data.on_device(torch.device("cpu"))
    tokens = placed.model_inputs(placed.val.inputs)
    assert any(len(text.split()) > 96 for text in raw)
    with torch.no_grad():
        logits = trained(tokens).numpy()
    run_alone(shipped, tmp_path, inputs=tokens.numpy(), logits=logits, texts=np.array(raw))


def test_weights_and_config_make_the_model_again(images):
    shipped, data, trained = images
    samples = draw_samples(data)
    with torch.no_grad():
        assert torch.equal(load_exported(shipped)(samples.raw), trained(samples.inputs))


def test_what_is_told_to_programs(images, texts):
    told = json.loads((images[0] / "config.json").read_text())
    assert told["input"] == {"name": "pixels", "dtype": "uint8", "shape": ["batch", 1, 8, 8]}
    assert told["class_names"] == [str(digit) for digit in range(10)]
    assert not (images[0] / "tokenizer.json").exists()
    told = json.loads((texts[0] / "config.json").read_text())
    assert told["input"]["shape"] == ["batch", texts[1].max_tokens]
    assert told["preprocessing"]["max_words"] == 96


def test_the_card_says_what_it_is_and_how_sure(images):
    shipped, data, _ = images
    card = (shipped / "MODEL_CARD.md").read_text()
    for line in (
        "# small_cnn, trial_0001 of fake",
        f"- Fingerprint of inputs, labels and split: `{data.fingerprint}`",
        "- Licence of the data: CC BY 4.0",
        "| accuracy | 0.8000 [0.5840, 0.9193] | 0.7800 [0.7343, 0.8197] |",
        "| architecture, random weights | openvino int8, batch 1, 1 thread | cpu Sample | 0.9 "
        "[0.891, 0.909]",
        "| this trial | 10 | no price was given |",
        "The sweep had no latency SLO.",
        "python -m sweeps.reproduce runs/fake --trial trial_0001",
    ):
        assert line in card, line
    for name in ("model.safetensors", "model.pt2", "model.onnx"):
        assert f"| `{name}` | 20 | " in card


def test_the_card_of_texts_says_unknown_licence_and_no_test(texts):
    card = (texts[0] / "MODEL_CARD.md").read_text()
    assert "- Licence of the data: unknown: these are data of your own" in card
    assert "**This trial was not examined on the test part.**" in card
    assert "| `tokenizer.json` | 20 | equal tokens | - | - |" in card


def test_a_checkpoint_older_than_the_figures_has_those_of_its_epoch(tmp_path):
    run, _, _ = write_trained_run(tmp_path / "run", epoch=4, val_accuracy=0.9, test_accuracy=0.9)
    results = pq.read_table(run / "results.parquet").to_pylist()
    for row in results:
        row["val_accuracy"] = row["epoch"] / 10
    import pyarrow as pa

    pq.write_table(pa.Table.from_pylist(results), run / "results.parquet")
    assert ship(run, tmp_path / "to") == 0
    card = (tmp_path / "to" / "MODEL_CARD.md").read_text()
    assert "trained for 3 epochs" in card
    assert "| accuracy | 0.3000 [" in card
    assert "not examined on the test part" in card


def test_another_model_is_not_shipped(tmp_path, monkeypatch, capsys):
    run, _, _ = write_trained_run(tmp_path / "run")
    writes = export_folder.write_artefacts

    def write_other(model, weights, data, folder):
        with torch.no_grad():
            next(model.model.parameters()).mul_(1.5)
        writes(model, weights, data, folder)

    monkeypatch.setattr(export_folder, "write_artefacts", write_other)
    # The checkpoint is what counts: the model in memory was changed with it.
    monkeypatch.setattr(
        export_folder, "with_preprocessing", _copied(export_folder.with_preprocessing)
    )
    assert ship(run, tmp_path / "to") == 1
    error = capsys.readouterr().err
    assert error.startswith("error: model.pt2 must compute logits within 0.0001 of eager's largest")
    assert error.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


def _copied(function):
    import copy

    return lambda model, data: function(copy.deepcopy(model), data)


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """Put figures in the place of measuring; the last stays."""
    monkeypatch.setattr(lock, "lock_path", lambda: tmp_path / "lock")
    # What is measured is made up, so it needn't be made.
    monkeypatch.setattr(export_folder, "write_artefacts", lambda *_: None)
    monkeypatch.setattr(export_folder, "check_artefacts", lambda *_: [])
    calls = []

    def put(*figures):
        def measure(*arguments, **options):
            calls.append((arguments, options))
            return figures[min(len(calls), len(figures)) - 1]

        monkeypatch.setattr(slo_check, "measure_onnx", measure)
        monkeypatch.setattr(slo_check, "measure_all", lambda *a, **k: [measure(*a, **k)])
        return calls

    return put


def with_slo(folder, runtime="onnxruntime", precision="fp32", **told):
    serving = fake_serving(runtime=runtime, precision=precision, slo_ms=2.0, **told)
    return write_trained_run(folder, sweep={"serving": serving})[0]


def good_figure(latency_ms, **fields):
    told = {"accuracy": 0.9, "fp32_accuracy": 0.9, "agreement_fraction": 1.0}
    return make_figure(latency_ms, **(told | fields))


def test_the_very_onnx_file_is_held_against_the_slo(tmp_path, measured, capsys):
    calls = measured(good_figure(1.5))
    assert ship(with_slo(tmp_path / "run"), tmp_path / "to") == 0
    (((path, serving), options),) = calls
    assert (path.name, serving.runtime) == ("model.onnx", "onnxruntime")
    assert options["samples"].evaluation.dtype == np.uint8
    card = (tmp_path / "to" / "MODEL_CARD.md").read_text()
    assert "The SLO, latency_ms <= 2 ms, is met with a margin of 25%: 1.5 ms (1.485 to" in card
    assert "model.onnx: latency_ms 1.5 ms" in capsys.readouterr().out


def test_runtimes_of_torch_are_given_the_exported_weights(tmp_path, measured):
    calls = measured(good_figure(1.5))
    assert ship(with_slo(tmp_path / "run", runtime="eager"), tmp_path / "to") == 0
    ((subjects, _, serving), _) = calls[0]
    assert serving.runtime == "eager"
    assert subjects[0].checkpoint is None
    assert Path(subjects[0].exported).parent == tmp_path


@pytest.mark.parametrize(
    ("figures", "num_measured", "said"),
    [
        ([good_figure(3.0)], 1, "got 3 ms (2.97 to 3.03 ms), 50% above; ship another"),
        ([good_figure(2.0), good_figure(2.01)], 2, "which does not tell; ship another"),
        ([good_figure(1.0, status="uncertain", reason="caches are busy")], 2, "caches are busy"),
        ([good_figure(1.0, accuracy=0.85)], 1, "got: it lost 5 points of accuracy"),
        ([good_figure(None, status="failed", reason="no such op")], 1, "got: no such op"),
    ],
)
def test_what_is_not_known_to_meet_the_slo_is_not_shipped(
    tmp_path, measured, capsys, figures, num_measured, said
):
    calls = measured(*figures)
    run = with_slo(tmp_path / "run")
    assert ship(run, tmp_path / "to") == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.startswith("error: model.onnx must ")
    assert error.count("\n") == 1
    assert len(calls) == num_measured
    assert {path.name for path in tmp_path.iterdir()} == {"run", "lock"}
    assert ship(run, tmp_path / "to", "--force-slo") == 0
    assert "**Shipped by force: model.onnx must " in (tmp_path / "to/MODEL_CARD.md").read_text()


def test_an_undecided_slo_is_measured_again_and_longer(tmp_path, measured):
    calls = measured(good_figure(2.0), good_figure(1.9))
    assert ship(with_slo(tmp_path / "run"), tmp_path / "to") == 0
    assert [options["limits"].min_time_s for _, options in calls] == [5.0, 10.0]


def test_the_slo_of_another_machine_must_be_forced(tmp_path, measured, capsys):
    calls = measured(good_figure(1.0))
    run = with_slo(tmp_path / "run", machine="pi5")
    assert ship(run, tmp_path / "to") == 2
    assert "the SLO must be measured on pi5" in capsys.readouterr().err
    assert ship(run, tmp_path / "to", "--force-slo") == 0
    assert "was not measured on pi5" in (tmp_path / "to/MODEL_CARD.md").read_text()
    assert calls == []


@pytest.mark.parametrize("runtime", ["eager", "onnxruntime"])
def test_an_export_is_built_and_checked_as_it_is_timed(images, tmp_path, runtime):
    shipped, data, _ = images
    samples_file = exported_samples(data).write(tmp_path / "samples.npz")
    subject = {"config": None, "checkpoint": None, "trial_id": None, "pruned_fraction": 0.0}
    exported = {**subject, "exported": str(shipped)}
    threads = torch.get_num_threads()
    serving = Serving(runtime=runtime, batch_size=4, num_threads=threads)
    job = Job(exported, data.task, serving, tmp_path, Path(samples_file))
    built, checked = artefact.build(job), artefact.check(job)
    assert checked["agreement_fraction"] == 1
    assert checked["accuracy"] == built["fp32_accuracy"]
    assert job.load_expected()["example"].dtype == np.uint8


def test_the_onnx_file_can_be_measured_by_hand(images):
    graph = read_graph(images[0] / "model.onnx", 3)
    example = example_of(graph)
    assert (example.dtype, example.shape) == (torch.uint8, (3, 1, 8, 8))


def test_bad_input_is_one_line_and_exit_code_2(tmp_path, capsys):
    run, _, _ = write_trained_run(tmp_path / "run", model="resnet8")
    (tmp_path / "there").mkdir()
    link = tmp_path / "link"
    link.symlink_to(run)
    old = write_trained_run(tmp_path / "old", sweep={"schema_version": 2})[0]
    content = json.loads((old / "sweep.json").read_text())
    content["spec"]["latency_slo_ms"] = 2.0
    (old / "sweep.json").write_text(json.dumps(content))
    other = write_trained_run(tmp_path / "other")[0]
    content = json.loads((other / "sweep.json").read_text())
    content["dataset"]["fingerprint"] = "0" * 16
    (other / "sweep.json").write_text(json.dumps(content))
    lost = write_trained_run(tmp_path / "lost")[0]
    next(lost.glob("checkpoints/*/*/state.pt")).write_bytes(b"half")
    before = sorted(tmp_path.rglob("*"))
    to = tmp_path / "to"
    for arguments, said in [
        ((tmp_path, "trial_0001", to), "RUN must be a run folder, got"),
        ((run, "trial_0010", to), "--trial must be a trial of"),
        ((run, "trial_0002", to), "--trial must be one with a checkpoint"),
        ((run, "trial_0001", tmp_path / "there"), "--to must be a new folder"),
        ((run, "trial_0001", link), "--to must be a new folder"),
        ((run, "trial_0001", run / "shipped"), "--to must lie outside the run"),
        ((run, "trial_0001", link / "shipped"), "--to must lie outside the run"),
        ((run, "trial_0001", tmp_path / "none" / "to"), "--to must lie in a folder that is there"),
        ((old, "trial_0001", to), "RUN must tell how its models are served"),
        ((other, "trial_0001", to), "data must be what the run used"),
        ((lost, "trial_0001", to), "--trial must be one whose checkpoint is whole"),
    ]:
        folder, trial, target = arguments
        assert ship(folder, target, trial=trial) == 2, said
        error = capsys.readouterr().err
        assert error.startswith(f"error: {said}"), error
        assert error.count("\n") == 1
    assert "it has trial_0001, trial_0002" in _error_of(run, "trial_0003", to, capsys)
    assert sorted(tmp_path.rglob("*")) == before


def _error_of(run, trial, to, capsys):
    ship(run, to, trial=trial)
    return capsys.readouterr().err


def test_nothing_is_left_of_what_is_interrupted(tmp_path, monkeypatch, capsys):
    run, _, _ = write_trained_run(tmp_path / "run")
    handler = signal.getsignal(signal.SIGTERM)

    def terminate(*_):
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(export_folder, "check_artefacts", terminate)
    monkeypatch.setattr(export_folder, "write_artefacts", lambda *_: None)
    try:
        assert ship(run, tmp_path / "to") == 130
    finally:
        signal.signal(signal.SIGTERM, handler)
    assert capsys.readouterr().err == "interrupted; nothing was written\n"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_missing_package_is_named_with_its_extra(tmp_path, monkeypatch, capsys):
    run, _, _ = write_trained_run(tmp_path / "run")
    find = export_folder.check_export_installed.__globals__["importlib"].util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "safetensors" else find(name)
    )
    assert ship(run, tmp_path / "to") == 2
    assert "without safetensors; run: pip install 'paretune[export]'" in capsys.readouterr().err
