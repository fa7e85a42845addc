"""The whole sweep as one value; its fields are the command-line flags."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import tyro

from analysis.records import Objective, has_password
from sweeps.domains import Domain, Switch, describe_domain
from sweeps.sampling import SamplerName
from trainables.epoch_result import STEERING_COLUMNS
from trainables.errors import InputError

SchedulerName = Literal["fifo", "asha", "hyperband", "median", "pbt", "pb2", "mo_asha", "mo_pbt"]
TrackerName = Literal["mlflow", "wandb"]
HALVING: Final = ("asha", "mo_asha")
"""Schedulers that stop trials at rungs."""
POPULATION: Final = ("pbt", "pb2", "mo_pbt")
"""Schedulers whose trials take over one another's weights."""

SearcherName = Literal["random", "known_latency", "tpe", "motpe", "nsga2", "gp"]
_NODE_WAIT: Final = "5m"

OPTUNA: Final = ("tpe", "motpe", "nsga2", "gp")
"""Searchers that are samplers of Optuna's."""


@dataclass(frozen=True, kw_only=True)
class SweepSpec:
    """A sweep: what is searched, on what data, with which hardware, and where it is written.

    What is None is chosen for the hardware and the data found, and printed before the start.

    Raises:
        InputError: if a value is wrong.
    """

    name: tyro.conf.Suppress[str] = "sweep"
    scheduler: SchedulerName = "fifo"
    """What decides which trials go on: mo_asha and mo_pbt by all objectives, the others by the
    first one."""

    own_space: tyro.conf.Suppress[tyro.conf.Fixed[Mapping[str, Domain | Switch]]] = field(
        default_factory=dict
    )
    """Domains of an entry script's own; they replace those of the groups."""

    dataset: str = "auto"
    """auto | cifar10 | cifar100 | digits | parquet:DIR | folder:DIR | docstrings | text:PATH. auto
    takes CIFAR-10 from --data-dir, else its download, else scikit-learn's handwritten digits, and
    says which."""
    data_dir: str = "data"
    """Folder where CIFAR-10 lies or is downloaded to."""
    thesaurus: str | None = None
    """Texts: a file of synonyms, with lines of word<TAB>synonym, synonym ..., or a MyThes .dat as
    LibreOffice's; None: words are not replaced."""
    limit_train: int | None = None
    """Training samples to use [samples]; None: all, or fewer on a CPU."""

    trials: int | None = None
    """Trials of the sweep; PBT's population."""
    epochs: int | None = None
    """Epochs of a full training [epochs]."""
    space: tuple[str, ...] | None = None
    """Groups of hyperparameters to search: augmentation architecture optimizer regularisation
    hardware. None: a small space for small models."""
    searcher: SearcherName | None = None
    """What chooses the configs. random: drawn before the start. known_latency: what is expected to
    improve the front most for its cost, out of many that were drawn. tpe, motpe (several
    objectives), nsga2, gp: Optuna's. None: known_latency under MO-ASHA where one or two objectives
    are known before training, else random."""
    sampler: SamplerName = "random"
    """How configs are drawn from the space."""
    fix: tuple[str, ...] = ()
    """Hyperparameters that all trials share, as name=value: optimizer=adamw dropout=0.1"""
    models: tuple[str, ...] | None = None
    """Architectures to search: resnet8 resnet14 resnet20 ... or torchvision:NAME"""
    widths: tuple[int, ...] | None = None
    """Widths to search [channels of the first stage]."""
    batch_size: int | None = None
    """Samples per step over all workers of a trial [samples]."""
    perturbation_epochs: int | None = None
    """PBT, PB2, MO-PBT: epochs between two decisions [epochs]."""
    mutate: tuple[str, ...] | None = None
    """PBT, PB2, MO-PBT: hyperparameters to mutate; None: all that can change in mid-training."""
    reduction_factor: int = 3
    """ASHA, MO-ASHA, HyperBand: one in this many trials goes on at each rung."""
    grace_epochs: int = 1
    """ASHA, MO-ASHA, median: epochs before a trial may be stopped [epochs]."""
    halving_order: Literal["peer", "epsnet", "crowding"] | None = None
    """MO-ASHA: who of a rung comes first. None: peer where two objectives steer and one of them is
    known before training, else epsnet."""
    halving_variant: Literal["stopping", "promotion"] = "stopping"
    """MO-ASHA: stop trials at a rung, or pause them there until they are among the best."""
    pbt_quorum: float | None = None
    """MO-PBT: members wait for this part of the population [0 to 1]. None: they don't wait."""
    seed: int = 0
    """Of the configs, initial weights, data order and split."""

    objectives: tuple[str, ...] | None = None
    """column:max or column:min, the first steers the scheduler. None: val_accuracy:max
    latency_ms:min, and cost_usd:min with a price or gang_seconds:min without."""
    price_usd_per_hour: float | None = None
    """Price of one worker, that is one GPU or one CPU worker [USD per hour]; beats all prices."""
    instance: str | None = None
    """Type of the nodes that hold workers, such as g6.12xlarge: whole nodes are paid for."""
    prices: str | None = None
    """TOML file of prices by type; its entries replace those that come with paretune."""
    spot: bool = False
    """Take spot prices from the file."""
    carbon_kg_per_kwh: float | None = None
    """Carbon of the electricity, for what NVML measures [kg CO2-equivalent per kWh]."""

    budget_usd: float | None = None
    """What the gangs may cost, from their start to their end [USD]."""
    budget_gpu_hours: float | None = None
    """For how long the gangs' GPUs may be held, all together, used or not [GPU-hours]; where CPUs
    train, their workers [worker-hours]."""
    time_limit: str | None = None
    """When the gangs shall have ended, from the start of the command: seconds, or 90m, 2h."""
    dry_run: bool = False
    """Show the plan and a forecast, and train nothing."""

    runtime: str = "eager"
    """What serves the model, and so what latency is measured in: eager compiled aot_inductor
    onnxruntime openvino tensorrt"""
    precision: str = "fp32"
    """Arithmetic of the model that is served: fp32 bf16 fp16 int8, as the runtime offers; --fix
    precision=bf16 sets that of training."""
    fallback_runtime: str | None = None
    """What serves models that --runtime can't run; None: they are refused."""
    latency_slo_ms: float | None = None
    """Refuse architectures that are slower than this, before training [ms]."""
    latency_percentile: Literal[50, 95, 99] | None = None
    """What is held against the SLO; None: latency_ms, the shortest call as on a quiet host."""
    latency_batch_size: int = 1
    """Samples per call of the model that is served [samples]."""
    latency_threads: int = 1
    """Threads that a call may use."""
    latency_device: str = "cpu"
    """What serves: cpu, cuda, or a machine whose figures were imported."""
    latency_cache: str | None = None
    """File that keeps latencies for other sweeps; None: paretune/latency.parquet in the user's
    cache folder (~/.cache)."""
    serving_price_usd_per_hour: float | None = None
    """Price of the host that serves, with --latency-threads [USD per hour]."""

    finalists: int = 3
    """Trials of the front, then of the next ranks, that are examined on the test part after the
    search."""
    seeds: int = 0
    """Further trainings of each finalist with other seeds, after the search, as far as the budget
    is left: how much of its figures is luck."""
    robustness_samples: int = 100
    """Test images on which finalists meet noise, blur, attacks [samples]; 0: none."""
    finalist_latency_seconds: float = 60.0
    """Time to measure the latency of a finalist's trained weights, at most [s]; 0: not measured."""
    compress_fraction: float | None = None
    """Also prune each finalist by this part of its channels, train what is left for a quarter of
    the epochs, and measure that beside it; None: not."""
    attribution_samples: int = 4
    """Test samples of which attribution maps are made for finalists [samples]; 0: none."""

    gangs: int | None = None
    """Gangs: trials that train at the same time."""
    workers_per_trial: int | None = None
    """DDP workers per gang."""
    gpus_per_worker: float | None = None
    """GPUs of one worker: 0 trains on the CPU."""
    address: str | None = None
    """Address of a running Ray cluster (or auto); None starts Ray on this machine."""
    cluster_file: str | None = None
    """File that the cluster was started with by `ray up`: --gangs may ask for nodes that its
    autoscaler has yet to bring up; None: with auto, that which `ray up` left on this machine."""

    node_types: tuple[str, ...] | None = None
    """Types of nodes of the cluster file, in the order in which gangs ask for them: for the next
    where no node of a type comes within --node-wait. None: whatever Ray chooses."""
    node_wait: str | None = None
    """How long nodes of a type are waited for: seconds, or 90s, 5m. None: 5m."""

    out: str | None = None
    """Run folder; None: runs/NAME-DATE-TIME."""
    storage: str | None = None
    """Folder or URI that every node reaches (s3://...): in a folder of it named like --out lie the
    checkpoints, and what another machine needs to go on; None: inside --out."""
    overwrite: bool = False
    """Delete what lies in --out."""
    resume: str | None = None
    """Run folder of a sweep that was interrupted or killed, or where it lies in its --storage
    (s3://.../NAME): go on with it, with its flags. Budget, gangs, workers and finalists may be
    given anew."""
    extend: str | None = None
    """Run folder of a sweep that has ended: give it more --trials or --epochs, other --objectives
    or another --runtime. Nothing is trained again; what was trained to the end goes on."""
    checkpoint_epochs: int = 1
    """Epochs between two checkpoints of a trial [epochs]."""
    checkpoint_quota_gb: float | None = None
    """What all checkpoints may take [GB, of 10^9 bytes]; over it, those go first that no trial goes
    on from and that are not of the front, the oldest first. None: what there is."""
    track: tyro.conf.UseAppendAction[tuple[TrackerName, ...]] = ()
    """Also show the trials in mlflow (where MLFLOW_TRACKING_URI says) or wandb (offline without an
    account); give it twice for both."""

    def __post_init__(self) -> None:
        for name in ("trials", "epochs", "batch_size", "gangs", "workers_per_trial", "limit_train",
                     "perturbation_epochs", "checkpoint_epochs", "grace_epochs",
                     "latency_batch_size", "latency_threads"):  # fmt: skip
            require(name, getattr(self, name), ">= 1", lambda value: value >= 1)
        for name in ("latency_slo_ms", "price_usd_per_hour", "serving_price_usd_per_hour",
                     "carbon_kg_per_kwh", "budget_usd", "budget_gpu_hours",
                     "checkpoint_quota_gb"):  # fmt: skip
            require(name, getattr(self, name), "> 0", lambda value: 0 < value < math.inf)
        if self.time_limit is not None:
            _seconds(self.time_limit)
        require("gpus_per_worker", self.gpus_per_worker, ">= 0", lambda value: value >= 0)
        for name in ("finalists", "seeds", "robustness_samples", "attribution_samples",
                     "finalist_latency_seconds"):  # fmt: skip
            require(name, getattr(self, name), ">= 0", lambda value: value >= 0)
        require("compress_fraction", self.compress_fraction, "> 0 and < 1", lambda f: 0 < f < 1)
        require("pbt_quorum", self.pbt_quorum, "> 0 and <= 1", lambda part: 0 < part <= 1)
        require("seed", self.seed, ">= 0", lambda value: value >= 0)
        require("reduction_factor", self.reduction_factor, ">= 2", lambda value: value >= 2)
        for name in ("models", "widths", "objectives", "space", "node_types"):
            require(name, getattr(self, name), "at least one value", len)
        self._check_storage()
        if self.cluster_file is not None and self.address is None:
            raise InputError(
                f"--cluster-file must be left out without --address, got {self.cluster_file}; add "
                "--address auto"
            )
        self._check_node_types()
        self._check_scheduler()
        self._check_compression()
        if self.seeds and not self.finalists:
            raise InputError(
                f"--seeds must be left out without finalists, got {self.seeds} with --finalists 0; "
                "raise --finalists"
            )
        self._check_objectives(self.objectives or ())

    def _check_node_types(self) -> None:
        if self.node_types is not None and self.address is None:
            raise InputError(
                f"--node-types must be left out without --address, got {' '.join(self.node_types)};"
                " add --address auto"
            )
        if self.node_wait is not None and self.node_types is None:
            raise InputError(
                f"--node-wait must come with --node-types, got {self.node_wait}; add it"
            )
        _seconds(self.node_wait or _NODE_WAIT, "--node-wait")

    def _check_storage(self) -> None:
        """Check that no secret is in the URI: it is written to the run folder, and printed."""
        if self.storage is None:
            return
        if has_password(self.storage):
            raise InputError(
                "--storage must be a URI without credentials, got one with them; set them in the "
                "environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)"
            )
        if "?" in self.storage:
            raise InputError(
                "--storage must be a folder or URI without a query, got "
                f"{self.storage.partition('?')[0]}?...; set endpoints in the environment "
                "(AWS_ENDPOINT_URL)"
            )

    def _check_scheduler(self) -> None:
        """Check that flags of one scheduler aren't given to another."""
        for flag, value, default, scheduler in (
            ("halving-order", self.halving_order, None, "mo_asha"),
            ("halving-variant", self.halving_variant, "stopping", "mo_asha"),
            ("pbt-quorum", self.pbt_quorum, None, "mo_pbt"),
        ):
            if value != default and self.scheduler != scheduler:
                raise InputError(
                    f"--{flag} must be left out unless the scheduler is {scheduler}, got {value} "
                    f"with {self.scheduler}; add --scheduler {scheduler}"
                )
        self._check_searcher()

    def _check_searcher(self) -> None:
        """Check that the searcher fits the scheduler and the sampler."""
        if self.searcher in (None, "random"):
            return
        if self.scheduler in POPULATION:
            raise InputError(
                f"--searcher must be random with {self.scheduler}, whose members inherit weights, "
                f"so that what one reaches says little of its config, got {self.searcher}; leave "
                "it out"
            )
        require_optuna(self.searcher)
        if self.searcher in OPTUNA and self.sampler != "random":
            raise InputError(
                f"--sampler must be left out with {self.searcher}, which draws from the space "
                f"itself, got {self.sampler}; leave it out or choose --searcher known_latency"
            )

    def _check_compression(self) -> None:
        """Check that finalists which shall be pruned are measured at all."""
        is_measured = self.finalists and self.finalist_latency_seconds
        if self.compress_fraction is not None and not is_measured:
            raise InputError(
                "--compress-fraction must be left out where no finalist is measured, got "
                f"{self.compress_fraction:g} with --finalists {self.finalists} and "
                f"--finalist-latency-seconds {self.finalist_latency_seconds:g}; raise those"
            )

    def _check_objectives(self, objectives: tuple[str, ...]) -> None:
        for index, text in enumerate(objectives):
            try:
                objective = Objective.parse(text)
            except ValueError as error:
                raise InputError(f"--{error}") from None
            decides = self.scheduler if self.scheduler != "fifo" else self.searcher or "random"
            if index == 0 and decides != "random" and objective.column not in STEERING_COLUMNS:
                raise InputError(
                    f"--objectives must begin with what {decides} can steer by, got {text}; "
                    f"begin with one of {', '.join(STEERING_COLUMNS)}"
                )
            if objective.column in (Objective.parse(other).column for other in objectives[:index]):
                raise InputError(
                    f"--objectives must name a column once, got {objective.column} again; drop one"
                )
            is_serving_cost = objective.column == "serving_usd_per_million"
            if is_serving_cost and self.serving_price_usd_per_hour is None:
                raise InputError(
                    "--serving-price-usd-per-hour must be given for the objective "
                    "serving_usd_per_million, got none; give a price or use latency_ms:min"
                )

    @property
    def asks_for_price(self) -> bool:
        """Whether the price of a gang must be found: nobody else is shown dollars."""
        given = (self.price_usd_per_hour, self.instance, self.prices, self.budget_usd)
        columns = {objective.partition(":")[0] for objective in self.objectives or ()}
        in_usd = columns & {"cost_usd", "lineage_cost_usd"}
        return self.spot or bool(in_usd) or any(value is not None for value in given)

    @property
    def has_budget(self) -> bool:
        """Whether there is a limit to what is held."""
        limits = (self.budget_usd, self.budget_gpu_hours, self.time_limit)
        return any(limit is not None for limit in limits)

    @property
    def time_limit_s(self) -> float | None:
        """The time limit in seconds."""
        return None if self.time_limit is None else _seconds(self.time_limit)

    @property
    def node_wait_s(self) -> float:
        """How long nodes of a type are waited for, in seconds."""
        return _seconds(self.node_wait or _NODE_WAIT, "--node-wait")

    def resolved_objectives(self) -> tuple[Objective, ...]:
        """Return the objectives, the defaults filled in."""
        cost = "cost_usd:min" if self.asks_for_price else "gang_seconds:min"
        texts = self.objectives or ("val_accuracy:max", "latency_ms:min", cost)
        return tuple(Objective.parse(text) for text in texts)

    def to_dict(self) -> dict[str, Any]:
        """Return every field by name, ready for JSON."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        own = {name: describe_domain(entry) for name, entry in self.own_space.items()}
        return {**values, "own_space": own}


def require_optuna(searcher: str | None) -> None:
    """Check that a searcher which needs Optuna has it.

    Raises:
        InputError: if it hasn't.
    """
    if searcher in OPTUNA and importlib.util.find_spec("optuna") is None:
        raise InputError(
            f"--searcher must be random or known_latency without optuna, got {searcher}; "
            "pip install 'paretune[optuna]'"
        )


def require(name: str, value: Any, rule: str, holds: Callable[[Any], Any]) -> None:
    """Check the value of a flag, unless it is None.

    Raises:
        InputError: if it doesn't hold.
    """
    if value is not None and not holds(value):
        flag = "--" + name.replace("_", "-")
        raise InputError(f"{flag} must be {rule}, got {value}; give another value")


def _seconds(text: str, flag: str = "--time-limit") -> float:
    """Return seconds from `90`, `90s`, `1.5m` or `2h`.

    Raises:
        InputError: if it is no positive time.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    seconds = float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]] if found else 0.0
    if seconds <= 0:
        raise InputError(
            f"{flag} must be a time > 0 in seconds or with s, m or h, got {text}; write 90m"
        )
    return seconds
