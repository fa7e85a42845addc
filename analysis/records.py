"""The schema of a run folder: file names, columns, types and units.

This is the one module that `sweeps` (which writes run folders) and `analysis` (which reads
them) share. It needs only pyarrow.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar, get_args

import pyarrow as pa

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Number = TypeVar("Number", float, "NDArray[np.float64]")

SCHEMA_VERSION = 3
"""3 added what is told of a latency, the ledger and what a lineage costs; 2 scores, complexity and
test figures.

What an older run lacks is read as null.
"""

SWEEP_FILE = "sweep.json"
RESULTS_FILE = "results.parquet"
TRIALS_FILE = "trials.parquet"
LATENCY_FILE = "latency.parquet"
ROBUSTNESS_FILE = "robustness.parquet"
ATTRIBUTIONS_FILE = "attributions.parquet"
SEEDS_FILE = "seeds.parquet"
LEDGER_FILE = "ledger.parquet"
GANGS_FILE = "gangs.json"
TENSORBOARD_FOLDER = "tensorboard"
CHECKPOINTS_FOLDER = "checkpoints"
JOURNAL_FOLDER = "journal"
REPORT_FOLDER = "report"
MAX_NAME_LENGTH = 200
"""Of a trial: it is that of a folder, too."""

TrialStatus = Literal[
    "pending",  # waits for a gang
    "running",
    "paused",
    "completed",  # trained to its last epoch
    "stopped",  # ended early by the scheduler, by its own patience or by the budget
    "failed",  # its own exception, NaN loss or out of memory
    "refused",  # broke a hard limit before training, or the budget could not pay its first epoch
    "interrupted",  # the sweep ended while it ran
]
TRIAL_STATUSES: tuple[str, ...] = get_args(TrialStatus)
RANKED_STATUSES: tuple[str, ...] = ("completed", "stopped", "interrupted", "running", "paused")
"""Statuses whose last reported values are those of real, saved weights."""

LatencyStatus = Literal[
    "exact",
    "undecided",  # exact, but its interval does not tell whether the SLO is met
    "uncertain",  # measured, and not to be ranked by
    "failed",  # the model could not run as it would be served
]
LATENCY_STATUSES: tuple[str, ...] = get_args(LatencyStatus)

SCORE_NAMES = (
    "loss",  # mean cross-entropy over samples, nats
    "accuracy",  # fractions from 0 to 1, as all below
    "top5_accuracy",  # null for five classes or fewer
    "precision_macro",
    "recall_macro",
    "f1_macro",
    "f1_weighted",
    "roc_auc",  # one class against the rest, mean over classes
    "ece",  # expected calibration error, 15 bins
)
"""Scores of a part; their columns have the part's name before them."""

VAL_SCORES = [pa.field(f"val_{name}", pa.float64()) for name in SCORE_NAMES]
TEST_SCORES = [pa.field(f"test_{name}", pa.float64()) for name in SCORE_NAMES]

EFFICIENCY = [
    pa.field("samples_per_second", pa.float64()),  # of all workers, while training
    pa.field("data_wait_fraction", pa.float64()),  # of the training time, making batches
    pa.field("peak_memory_bytes", pa.int64()),  # of rank 0's GPU; null on a CPU
    pa.field("energy_kwh", pa.float64()),  # cumulative, of all GPUs by NVML; null without
]

RESULTS_SCHEMA = pa.schema(
    [
        pa.field("trial_id", pa.string(), nullable=False),
        # Our own count, from 1. It goes on from a donor's, so epochs come again after an exploit
        # from a donor that was behind: the later row is what the trial went on with.
        pa.field("epoch", pa.int32(), nullable=False),
        # The donor, where the epoch began with another trial's weights (a PBT exploit).
        pa.field("parent_trial_id", pa.string()),
        pa.field("gang", pa.int32()),
        pa.field("generation", pa.int32()),  # of the gang; grows when the gang is restarted
        pa.field("train_loss", pa.float64()),  # mean over augmented samples, nats
        pa.field("train_accuracy", pa.float64()),  # of samples without augmentation
        *VAL_SCORES,
        pa.field("generalisation_gap", pa.float64()),  # train_accuracy - val_accuracy
        pa.field("learning_rate", pa.float64()),  # at the end of the epoch
        pa.field("train_seconds", pa.float64()),  # this epoch's training steps
        pa.field("val_seconds", pa.float64()),  # this epoch's validation steps
        pa.field("started_unix_s", pa.float64()),  # the epoch's first step, on rank 0
        pa.field("ended_unix_s", pa.float64()),  # the epoch's last validation step, on rank 0
        *EFFICIENCY,
        pa.field("gang_seconds", pa.float64()),  # cumulative seconds this trial held a gang
        pa.field("gpu_seconds", pa.float64()),  # gang_seconds x GPUs of the gang
        pa.field("cost_usd", pa.float64()),  # null where no price was given
    ]
)

LINEAGE_TYPE = pa.list_(
    pa.struct(
        [
            pa.field("from_epoch", pa.int32()),  # epochs already trained when this config began
            pa.field("parent_trial_id", pa.string()),  # the donor; null for the first entry
            pa.field("config", pa.string()),  # JSON
        ]
    )
)
"""How a trial's weights came to be: each config with the epoch from which it was used."""

CLASS_SCORES_TYPE = pa.struct(
    [
        pa.field("precision", pa.float64()),
        pa.field("recall", pa.float64()),
        pa.field("f1", pa.float64()),
        pa.field("support", pa.int32()),  # samples of the class
        pa.field("roc_auc", pa.float64()),
    ]
)
ROC_CURVE_TYPE = pa.struct(
    [pa.field("fpr", pa.list_(pa.float64())), pa.field("tpr", pa.list_(pa.float64()))]
)

TRIALS_SCHEMA = pa.schema(
    [
        pa.field("trial_id", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),  # one of TRIAL_STATUSES
        pa.field("reason", pa.string()),  # why it was refused, stopped or failed
        pa.field("config", pa.string(), nullable=False),  # JSON
        pa.field("lineage", LINEAGE_TYPE, nullable=False),
        pa.field("parent_trial_id", pa.string()),  # the last donor
        pa.field("parent_epoch", pa.int32()),  # the donor's epoch at that exploit
        pa.field("num_exploits", pa.int32()),
        pa.field("architecture", pa.string()),  # fingerprint; the key of latency.parquet
        pa.field("num_parameters", pa.int64()),
        pa.field("flops", pa.int64()),  # of one forward pass of one sample; a multiply-add is 2
        pa.field("activation_bytes", pa.int64()),  # saved for the backward pass of one sample
        pa.field("weights_bytes", pa.int64()),  # on disk
        pa.field("epoch", pa.int32()),  # the last reported; 0 if none
        pa.field("train_loss", pa.float64()),  # at that epoch, as all down to energy_kwh
        pa.field("train_accuracy", pa.float64()),
        *VAL_SCORES,
        pa.field("val_confusion", pa.list_(pa.list_(pa.int32()))),  # row: true class
        pa.field("val_per_class", pa.list_(CLASS_SCORES_TYPE)),
        pa.field("val_roc_curve", pa.list_(ROC_CURVE_TYPE)),
        pa.field("generalisation_gap", pa.float64()),
        *EFFICIENCY,
        # Of its architecture, with random weights; null where it is not exact.
        pa.field("latency_ms", pa.float64()),  # of the shortest call, as on a quiet host
        pa.field("latency_p50_ms", pa.float64()),  # as the host was
        pa.field("latency_p95_ms", pa.float64()),
        pa.field("latency_p99_ms", pa.float64()),
        pa.field("latency_status", pa.string()),  # one of LATENCY_STATUSES
        pa.field("latency_runtime", pa.string()),  # the fallback's where the sweep's can't run it
        pa.field("serving_usd_per_million", pa.float64()),  # inferences; null without a price
        pa.field("gang_seconds", pa.float64()),
        pa.field("gpu_seconds", pa.float64()),
        pa.field("cost_usd", pa.float64()),
        pa.field("lost_seconds", pa.float64()),  # of gang_seconds, what a failure took away
        # What its weights took: its donors' up to the exploits, then its own since the last one.
        pa.field("lineage_gang_seconds", pa.float64()),
        pa.field("lineage_cost_usd", pa.float64()),
        pa.field("carbon_kg", pa.float64()),  # of energy_kwh; null without NVML or a factor
        *TEST_SCORES,  # of finalists, read once, after the search; never an objective
        pa.field("checkpoint", pa.string()),  # relative to the run folder, or a URI
        pa.field("reproduce", pa.string()),  # the command that trains it again alone
    ]
)

LATENCY_SCHEMA = pa.schema(
    [
        pa.field("architecture", pa.string(), nullable=False),  # fingerprint
        pa.field("description", pa.string()),  # the architecture's config, JSON
        pa.field("runtime", pa.string(), nullable=False),
        pa.field("precision", pa.string(), nullable=False),
        pa.field("batch_size", pa.int32(), nullable=False),
        pa.field("num_threads", pa.int32(), nullable=False),
        pa.field("device", pa.string(), nullable=False),
        pa.field("versions", pa.string()),  # of Torch and the runtime's packages
        pa.field("trial_id", pa.string()),  # whose trained weights were measured; null: random ones
        pa.field("compression", pa.string()),  # "pruned 0.5": of each layer's channels; or null
        pa.field("num_parameters", pa.int64()),  # of what was measured
        pa.field(
            "latency_ms", pa.float64()
        ),  # of the shortest call, as on a quiet host: to rank by
        pa.field("latency_low_ms", pa.float64()),
        pa.field("latency_high_ms", pa.float64()),
        pa.field("p50_ms", pa.float64()),  # as the host was; each quantile with its 95 % interval
        pa.field("p50_low_ms", pa.float64()),
        pa.field("p50_high_ms", pa.float64()),
        pa.field(
            "p95_ms", pa.float64()
        ),  # of calls that were not preempted; null where too few tell
        pa.field("p95_low_ms", pa.float64()),
        pa.field("p95_high_ms", pa.float64()),
        pa.field("p99_ms", pa.float64()),
        pa.field("p99_low_ms", pa.float64()),
        pa.field("p99_high_ms", pa.float64()),
        pa.field("status", pa.string()),  # exact, uncertain (not to be ranked by) or failed
        pa.field("reason", pa.string()),  # why it is uncertain or failed
        pa.field("reference_ratio", pa.float64()),  # to the shortest call of the reference network
        pa.field("min_ms", pa.float64()),
        pa.field("reference_min_ms", pa.float64()),
        pa.field(
            "nominal_reference_ms", pa.float64()
        ),  # of the reference network on the quiet host
        pa.field("num_tries", pa.int32()),
        pa.field("num_samples", pa.int32()),  # calls timed
        pa.field("clean_fraction", pa.float64()),  # of these, not preempted
        pa.field("governor", pa.string()),  # of the CPU's clock rate
        pa.field("tail_reason", pa.string()),  # why there is no p95 and p99
        pa.field("throughput_per_s", pa.float64()),  # samples, at this batch size
        pa.field("peak_memory_bytes", pa.int64()),  # that loading and calling the model added
        pa.field("artefact_bytes", pa.int64()),  # on disk
        pa.field(
            "cold_start_ms", pa.float64()
        ),  # from the file to the first answer, in a fresh process
        pa.field(
            "max_difference", pa.float64()
        ),  # of logits from eager fp32's, as a fraction of the largest
        pa.field("agreement_fraction", pa.float64()),  # of samples with eager fp32's class
        pa.field("accuracy", pa.float64()),  # of the very artefact that was timed
        pa.field("fp32_accuracy", pa.float64()),  # of eager fp32 on the same samples
        pa.field("measured_unix_s", pa.float64()),
        pa.field("measure_seconds", pa.float64()),  # that the measuring took
    ]
)

ROBUSTNESS_SCHEMA = pa.schema(
    [
        pa.field("trial_id", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),  # corruption or attack
        pa.field("name", pa.string(), nullable=False),
        pa.field("severity", pa.int32(), nullable=False),  # 1 to 5; attacks: 1/255, 2, 4, 8
        pa.field("num_samples", pa.int32(), nullable=False),  # of the test part
        pa.field("accuracy", pa.float64(), nullable=False),
    ]
)

ATTRIBUTIONS_SCHEMA = pa.schema(
    [
        pa.field("trial_id", pa.string(), nullable=False),
        pa.field("sample", pa.int32(), nullable=False),  # position in the test part
        pa.field("label", pa.string(), nullable=False),
        pa.field("predicted", pa.string(), nullable=False),
        pa.field("height", pa.int32()),  # of image and map; null for texts
        pa.field("width", pa.int32()),
        pa.field("image", pa.binary()),  # [height, width, 3] uint8
        pa.field("tokens", pa.list_(pa.string())),  # of a text; null for images
        pa.field("attribution", pa.list_(pa.float32()), nullable=False),  # 0 to 1, a pixel or token
    ]
)

SEEDS_SCHEMA = pa.schema(
    [
        # A row a further training of a finalist, with another seed, after the search.
        pa.field("trial_id", pa.string(), nullable=False),  # the finalist
        pa.field("seed", pa.int64(), nullable=False),
        pa.field("status", pa.string(), nullable=False),  # finished or failed
        pa.field("reason", pa.string()),  # why it failed
        pa.field("epoch", pa.int64(), nullable=False),  # the last trained; 0 if none
        pa.field("train_loss", pa.float64()),  # at that epoch, as all down to the gap
        pa.field("train_accuracy", pa.float64()),
        *VAL_SCORES,
        pa.field("generalisation_gap", pa.float64()),
        *TEST_SCORES,  # null where the test part was not read
        pa.field("gpu_seconds", pa.float64()),  # lost work included
        pa.field("cost_usd", pa.float64()),  # null where no price was given
    ]
)


LEDGER_KINDS = {
    "start_up": "before a gang was first ready",
    "training": "a trial trained",
    "examination": "a finalist was examined",
    "retraining": "a finalist was trained with another seed",
    "idle": "between trials",
    "lost": "taken away by failures, or cut off",
    "end": "since the workers were sent home",
}

LEDGER_SCHEMA = pa.schema(
    [
        # The spans of a gang follow one another without a gap: their sum is what was held.
        pa.field("gang", pa.int32(), nullable=False),
        pa.field("generation", pa.int32(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),  # one of LEDGER_KINDS
        pa.field("trial_id", pa.string()),  # whose it is; null: overhead
        pa.field("started_s", pa.float64(), nullable=False),  # since the gangs were asked for
        pa.field("ended_s", pa.float64(), nullable=False),
        pa.field("cost_usd", pa.float64()),
    ]
)


def is_plain_name(name: str) -> bool:
    """Tell whether the name of a trial is a name and no path, and can be printed."""
    is_path = "/" in name or "\\" in name or name in ("", ".", "..")
    return not is_path and name.isprintable() and len(name) <= MAX_NAME_LENGTH


def has_password(location: str) -> bool:
    """Tell whether a URI holds one, as scheme://KEY:SECRET@host does: it must not be shown."""
    user = location.partition("://")[2].partition("/")[0].rpartition("@")[0]
    return ":" in user


def numeric_columns(schema: pa.Schema) -> list[str]:
    """Return the names of the columns that hold numbers."""
    return [
        field.name
        for field in schema
        if pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
    ]


KNOWN_COLUMNS = (
    "num_parameters",
    "flops",
    "activation_bytes",
    "weights_bytes",
    "latency_ms",
    "latency_p50_ms",
    "latency_p95_ms",
    "latency_p99_ms",
    "serving_usd_per_million",
)
"""Columns of `trials.parquet` that an architecture has before it trains."""


@dataclass(frozen=True)
class Objective:
    """A column of `trials.parquet` and the direction in which it is better."""

    column: str
    direction: Literal["max", "min"]

    def loss(self, value: Number) -> Number:
        """Return a value, or an array of them, so that lower is better."""
        # 0.0 - x and not -x: no negative zeros, which would print as "-0".
        return 0.0 - value if self.direction == "max" else value

    @property
    def is_known_before_training(self) -> bool:
        """Whether every trial has it before its first step."""
        return self.column in KNOWN_COLUMNS

    @classmethod
    def parse(cls, text: str, others: Collection[str] = ()) -> Objective:
        """Read `column:max` or `column:min`.

        Args:
            text: as a user writes it.
            others: numeric columns that a table has beside those of every run.

        Raises:
            ValueError: if the column is no number in `trials.parquet` or the direction is missing.

        Example:
            >>> Objective.parse("val_accuracy:max")
            Objective(column='val_accuracy', direction='max')
        """
        column, _, direction = text.partition(":")
        of_runs = [name for name in numeric_columns(TRIALS_SCHEMA) if not name.startswith("test_")]
        numeric = [*of_runs, *others]
        if column.startswith("test_"):
            raise ValueError(
                f"objectives must not read the test part, got {column!r}; use "
                f"{column.replace('test_', 'val_', 1)}: what is chosen by the test part can't be "
                "tested by it"
            )
        if column not in numeric:
            raise ValueError(
                f"objectives must be numeric columns of {TRIALS_FILE}, got {column!r}; "
                f"choose from {', '.join(numeric)}"
            )
        if direction == "max":
            return cls(column, "max")
        if direction == "min":
            return cls(column, "min")
        raise ValueError(
            f"objectives must be column:max or column:min, got {text!r}; write {column}:max or "
            f"{column}:min"
        )

    def __str__(self) -> str:
        return f"{self.column}:{self.direction}"
