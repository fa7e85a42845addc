import subprocess
import sys

import torch
from torch import nn

from trainables.models import create_model
from trainables.models.graph import trace_graph
from trainables.task import Task
from trainables.trial_config import TrialConfig

TASK = Task(kind="image", input_shape=(1, 8, 8), num_classes=10)
TRACE = """
from trainables.models.graph import trace_graph
from trainables.models import create_model
from trainables.task import Task
from trainables.trial_config import TrialConfig
task = Task(kind="image", input_shape=(1, 8, 8), num_classes=10)
print(trace_graph(lambda: create_model(TrialConfig(model="vit", patch_px=4), task), task))
"""


class Small(nn.Module):
    def __init__(self, *, stride=1, act=torch.relu, scale=1.0):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, stride=stride)
        self.act, self.scale = act, scale

    def forward(self, x):
        return self.act(self.conv(x)).mean((2, 3)) * self.scale


def test_each_change_of_what_is_computed_changes_the_graph():
    changes = [{}, {"stride": 2}, {"act": torch.tanh}, {"scale": 2.0}]
    graphs = [trace_graph(lambda c=change: Small(**c), TASK) for change in changes]
    assert len(set(graphs)) == len(graphs)
    assert graphs[0] == trace_graph(Small, TASK)


def test_names_shapes_and_options_of_the_calls_are_there():
    first = trace_graph(Small, TASK).splitlines()[0]
    assert first.startswith("torch.nn.functional.conv2d(torch.float32[1, 1, 8, 8], ")
    assert "torch.float32[4, 1, 3, 3]" in first


def test_another_process_finds_the_same_graph():
    done = subprocess.run([sys.executable, "-c", TRACE], capture_output=True, text=True, check=True)
    config = TrialConfig(model="vit", patch_px=4)
    assert done.stdout.strip() == trace_graph(lambda: create_model(config, TASK), TASK)


def test_a_model_that_cannot_be_traced_without_values_is_traced_with_them():
    class LooksAtValues(nn.Module):
        def forward(self, x):
            return x.flatten(1)[:, :10] * (2 if x.sum().item() > -1e9 else 3)

    state = torch.get_rng_state()
    assert "torch.Tensor.mul" in trace_graph(LooksAtValues, TASK)
    assert torch.equal(torch.get_rng_state(), state)
