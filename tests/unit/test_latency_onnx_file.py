import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from trainables.errors import InputError  # noqa: E402
from trainables.latency.blocks import Limits  # noqa: E402
from trainables.latency.measure import Samples, measure_onnx  # noqa: E402
from trainables.latency.onnx_file import example_of, read_graph  # noqa: E402
from trainables.latency.serving import Serving  # noqa: E402

NUM_CLASSES = 3


def write_model(
    path, *, batch="n", length=4, kind=TensorProto.FLOAT, num_inputs=1, has_weights_as_inputs=False
):
    """Write a linear model, or for ids one that sums rows of a table."""
    weights = np.random.default_rng(0).normal(size=(length, NUM_CLASSES)).astype(np.float32)
    shape = [batch, length]
    inputs = [helper.make_tensor_value_info(f"x{n}", kind, shape) for n in range(num_inputs)]
    if has_weights_as_inputs:
        inputs.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, weights.shape))
    nodes = [
        helper.make_node("Cast", ["x0"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["floats", "w"], ["y"]),
    ]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, NUM_CLASSES])
    graph = helper.make_graph(
        nodes, "linear", inputs, [output], [numpy_helper.from_array(weights, "w")]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, path)
    return path


def shapes(graph):
    model = onnx.load_from_string(graph)
    values = [model.graph.input[0], model.graph.output[0]]
    return [[axis.dim_value for axis in value.type.tensor_type.shape.dim] for value in values]


@pytest.mark.parametrize(("batch", "asked"), [("n", 1), ("n", 8), (8, 8)])
def test_the_batch_is_fixed(tmp_path, batch, asked):
    graph = read_graph(write_model(tmp_path / "m.onnx", batch=batch), asked)
    assert shapes(graph) == [[asked, 4], [asked, NUM_CLASSES]]


def test_an_example_is_of_the_graphs_shape_and_kind(tmp_path):
    floats = example_of(read_graph(write_model(tmp_path / "f.onnx"), 2))
    assert (floats.shape, floats.is_floating_point()) == ((2, 4), True)
    path = write_model(tmp_path / "i.onnx", kind=TensorProto.INT64, length=50)
    ids = example_of(read_graph(path, 2))
    assert set(ids.flatten().tolist()) == {0, 1}


def test_weights_that_are_listed_as_inputs_are_none(tmp_path):
    path = write_model(tmp_path / "old.onnx", has_weights_as_inputs=True)
    assert example_of(read_graph(path, 2)).shape == (2, 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_inputs": 2}, "must have one input, of float32, int64 or uint8, got .* with x0, x1"),
        ({"kind": TensorProto.DOUBLE}, "must have one input, of float32, int64 or uint8"),
        ({"batch": 4}, "--batch-sizes must be 4, the static batch of .*, got 2; change it"),
    ],
)
def test_what_cannot_be_measured_is_refused(tmp_path, options, message):
    path = write_model(tmp_path / "m.onnx", **options)
    with pytest.raises(InputError, match=message):
        read_graph(path, 2)


def test_a_length_that_is_not_static_is_refused(tmp_path):
    model = onnx.load(write_model(tmp_path / "m.onnx"))
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "length"
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(InputError, match="must have a static shape but for the batch"):
        read_graph(tmp_path / "m.onnx", 2)


@pytest.mark.parametrize("content", [None, b"", b"no model"])
def test_what_is_no_onnx_file_is_refused(tmp_path, content):
    path = tmp_path / "m.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"MODEL must be an ONNX file, got .*m.onnx \("):
        read_graph(path, 1)


def test_a_file_is_measured_as_it_computes(tmp_path):
    pytest.importorskip("onnxruntime")
    path = write_model(tmp_path / "m.onnx")
    inputs = np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32)
    samples = Samples(inputs, inputs, np.zeros(5, np.int64))
    serving = Serving(runtime="onnxruntime", batch_size=2)
    figure = measure_onnx(path, serving, samples=samples, limits=Limits(0.02, 0.05))
    assert figure.status in ("exact", "uncertain")
    assert figure.description == '{"onnx_file": "m.onnx"}'
    assert figure.latency_low_ms <= figure.latency_ms <= figure.latency_high_ms
    assert (figure.agreement_fraction, figure.batch_size) == (1.0, 2)
    assert figure.accuracy == figure.fp32_accuracy
    assert figure.max_difference < 1e-4
