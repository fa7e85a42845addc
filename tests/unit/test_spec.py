import dataclasses
import json

import pytest

from sweeps.flags import parse_spec
from sweeps.spec import SweepSpec
from trainables.errors import InputError

DEFAULT = SweepSpec(name="pbt_cifar", scheduler="pbt")

FLAGS = {
    "dataset": ("digits", "digits"),
    "data_dir": ("/data", "/data"),
    "limit_train": ("400", 400),
    "trials": ("8", 8),
    "epochs": ("5", 5),
    "models": ("resnet8 resnet20", ("resnet8", "resnet20")),
    "widths": ("8 16", (8, 16)),
    "batch_size": ("64", 64),
    "runtime": ("openvino", "openvino"),
    "precision": ("int8", "int8"),
    "fallback_runtime": ("eager", "eager"),
    "latency_percentile": ("99", 99),
    "latency_batch_size": ("8", 8),
    "latency_threads": ("2", 2),
    "latency_device": ("pi5", "pi5"),
    "latency_cache": ("figures.parquet", "figures.parquet"),
    "serving_price_usd_per_hour": ("0.2", 0.2),
    "finalist_latency_seconds": ("20", 20.0),
    "perturbation_epochs": ("2", 2),
    "mutate": ("learning_rate momentum", ("learning_rate", "momentum")),
    "reduction_factor": ("4", 4),
    "grace_epochs": ("2", 2),
    "seed": ("7", 7),
    "objectives": ("val_loss:min epoch:max", ("val_loss:min", "epoch:max")),
    "latency_slo_ms": ("1.5", 1.5),
    "price_usd_per_hour": ("0.4", 0.4),
    "gangs": ("2", 2),
    "workers_per_trial": ("1", 1),
    "gpus_per_worker": ("0.5", 0.5),
    "address": ("auto", "auto"),
    "out": ("runs/x", "runs/x"),
    "storage": ("s3://bucket/x", "s3://bucket/x"),
    "overwrite": ("", True),
    "checkpoint_epochs": ("2", 2),
    "checkpoint_quota_gb": ("0.5", 0.5),
    "space": ("augmentation optimizer", ("augmentation", "optimizer")),
    "searcher": ("random", "random"),
    "sampler": ("grid", "grid"),
    "fix": ("optimizer=adamw dropout=0.1", ("optimizer=adamw", "dropout=0.1")),
    "thesaurus": ("words.txt", "words.txt"),
    "finalists": ("5", 5),
    "seeds": ("3", 3),
    "robustness_samples": ("0", 0),
    "attribution_samples": ("8", 8),
    "compress_fraction": ("0.5", 0.5),
    "instance": ("g6.xlarge", "g6.xlarge"),
    "prices": ("mine.toml", "mine.toml"),
    "spot": ("", True),
    "carbon_kg_per_kwh": ("0.4", 0.4),
    "budget_usd": ("5", 5.0),
    "budget_gpu_hours": ("1.5", 1.5),
    "time_limit": ("90m", "90m"),
    "dry_run": ("", True),
    "track": ("mlflow --track wandb", ("mlflow", "wandb")),
}


def parse(*arguments: str) -> SweepSpec:
    return parse_spec(DEFAULT, list(arguments))


def refusal(*arguments: str) -> str:
    with pytest.raises(InputError) as caught:
        parse(*arguments)
    return str(caught.value)


def test_no_flags_give_the_scripts_own_defaults():
    assert parse() == DEFAULT


@pytest.mark.parametrize("name", FLAGS)
def test_each_field_is_a_flag(name):
    text, value = FLAGS[name]
    spec = parse("--" + name.replace("_", "-"), *text.split())
    assert spec == dataclasses.replace(DEFAULT, **{name: value})


OF_ONE_SCHEDULER = {
    "halving_order": ("mo_asha", "crowding", "crowding"),
    "halving_variant": ("mo_asha", "promotion", "promotion"),
    "pbt_quorum": ("mo_pbt", "0.5", 0.5),
}


@pytest.mark.parametrize("name", OF_ONE_SCHEDULER)
def test_a_flag_of_one_scheduler_needs_it(name):
    scheduler, text, value = OF_ONE_SCHEDULER[name]
    flag = "--" + name.replace("_", "-")
    spec = parse("--scheduler", scheduler, flag, text)
    assert spec == dataclasses.replace(DEFAULT, **{"scheduler": scheduler, name: value})
    assert f"{flag} must be left out unless the scheduler is {scheduler}" in refusal(flag, text)


def test_further_seeds_need_finalists():
    assert refusal("--seeds", "2", "--finalists", "0") == (
        "--seeds must be left out without finalists, got 2 with --finalists 0; raise --finalists"
    )


def test_a_cluster_file_needs_a_cluster():
    spec = parse("--address", "auto", "--cluster-file", "cluster.yaml")
    assert (spec.address, spec.cluster_file) == ("auto", "cluster.yaml")
    assert "--cluster-file must be left out without --address" in refusal("--cluster-file", "c")


def test_types_of_nodes_need_a_cluster_and_a_wait_needs_types():
    spec = parse("--address", "auto", "--node-types", "spot", "sure", "--node-wait", "90s")
    assert (spec.node_types, spec.node_wait_s) == (("spot", "sure"), 90.0)
    assert parse("--address", "auto", "--node-types", "spot").node_wait_s == 300.0
    assert "--node-types must be left out without --address" in refusal("--node-types", "spot")
    message = refusal("--address", "auto", "--node-wait", "5m")
    assert message.startswith("--node-wait must come with --node-types, got 5m")
    message = refusal("--address", "auto", "--node-types", "spot", "--node-wait", "soon")
    assert message.startswith("--node-wait must be a time > 0")


def test_all_fields_but_the_name_are_flags():
    fields = {field.name for field in dataclasses.fields(SweepSpec)}
    others = {"name", "own_space", "scheduler", "cluster_file", "node_types", "node_wait",
              "resume", "extend"}  # fmt: skip
    assert fields - set(FLAGS) - set(OF_ONE_SCHEDULER) == others
    assert parse("--scheduler", "asha").scheduler == "asha"
    assert "--scheduler" in refusal("--scheduler", "bandit")


@pytest.mark.parametrize("scheduler", ["pbt", "pb2", "mo_pbt"])
def test_members_that_inherit_weights_teach_a_searcher_nothing(scheduler):
    message = refusal("--scheduler", scheduler, "--searcher", "known_latency")
    assert message.startswith(f"--searcher must be random with {scheduler}, whose members inherit")


def test_optunas_samplers_draw_from_the_space_themselves():
    message = refusal("--scheduler", "asha", "--searcher", "tpe", "--sampler", "grid")
    assert message.startswith("--sampler must be left out with tpe")
    flags = ("--scheduler", "asha", "--searcher", "known_latency", "--sampler", "grid")
    assert parse(*flags).sampler == "grid"


def test_a_searcher_needs_an_objective_that_epochs_report():
    flags = ("--searcher", "tpe", "--objectives", "cost_usd:min")
    assert "--objectives must begin with what tpe can steer by" in refusal(
        "--scheduler", "fifo", *flags
    )


def test_without_optuna_its_samplers_are_refused(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    message = refusal("--scheduler", "asha", "--searcher", "gp")
    assert message.startswith("--searcher must be random or known_latency without optuna, got gp")
    assert "pip install 'paretune[optuna]'" in message


def test_a_spec_survives_json():
    spec = dataclasses.replace(DEFAULT, **{name: value for name, (_, value) in FLAGS.items()})
    restored = json.loads(json.dumps(spec.to_dict()))
    lists = {name: tuple(value) for name, value in restored.items() if isinstance(value, list)}
    assert SweepSpec(**{**restored, **lists}) == spec


def test_help_exits_with_zero_and_names_every_flag(capsys):
    with pytest.raises(SystemExit) as caught:
        parse("--help")
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    for name in FLAGS:
        assert "--" + name.replace("_", "-") in shown


WRONG = [
    *((name, "0", "must be >= 1, got 0") for name in (
        "trials", "epochs", "batch_size", "gangs", "workers_per_trial", "limit_train",
        "perturbation_epochs", "checkpoint_epochs", "grace_epochs",
    )),
    *((name, value, f"must be > 0, got {got}") for name in (
        "latency_slo_ms", "price_usd_per_hour",
    ) for value, got in (("0", "0.0"), ("-1", "-1.0"), ("nan", "nan"))),
    ("gpus_per_worker", "-1", "must be >= 0, got -1.0"),
    ("gpus_per_worker", "nan", "must be >= 0, got nan"),
    ("compress_fraction", "1", "must be > 0 and < 1, got 1.0"),
    ("compress_fraction", "nan", "must be > 0 and < 1, got nan"),
    ("seed", "-1", "must be >= 0, got -1"),
    ("seeds", "-1", "must be >= 0, got -1"),
    ("reduction_factor", "1", "must be >= 2, got 1"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "message"), WRONG)
def test_a_number_out_of_its_bounds_is_named(name, value, message):
    flag = "--" + name.replace("_", "-")
    assert refusal(flag, value) == f"{flag} {message}; give another value"


@pytest.mark.parametrize("width", ["40", "80", "250"])
@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--nope", "1"], ["--nope"]),
        (["stray"], ["stray"]),
        (["--trials"], ["--trials"]),
        (["--trials", "many"], ["--trials", "many"]),
        (["--gangs", "1.5"], ["--gangs", "1.5"]),
        (["--widths", "8", "wide"], ["--widths", "wide"]),
        (["--latency-percentile", "98"], ["--latency-percentile", "98", "99"]),
        (["--epochs", "0"], ["--epochs must be >= 1, got 0; "]),
        (["--objectives"], ["--objectives must be at least one"]),
        (
            ["--compress-fraction", "0.5", "--finalists", "0"],
            ["--compress-fraction must be left out where no finalist is measured, got 0.5 with"],
        ),
        (["--objectives", "speed:max"], ["--objectives must be", "'speed'; ", "val_accuracy"]),
        (["--objectives", "val_loss"], ["column:max or column:min, got 'val_loss'; "]),
        (["--objectives", "val_loss:down"], ["got 'val_loss:down'; write val_loss:max"]),
        (["--budget-usd", "0"], ["--budget-usd must be > 0, got 0.0; "]),
        (["--budget-gpu-hours", "-1"], ["--budget-gpu-hours must be > 0, got -1.0; "]),
        (["--price-usd-per-hour", "-2"], ["--price-usd-per-hour must be > 0, got -2.0; "]),
        (["--price-usd-per-hour", "inf"], ["--price-usd-per-hour must be > 0, got inf; "]),
        (["--carbon-kg-per-kwh", "-1"], ["--carbon-kg-per-kwh must be > 0, got -1.0; "]),
        (["--time-limit", "90 minutes"], ["--time-limit must be a time", "got 90 minutes; "]),
        (["--time-limit", "0"], ["--time-limit must be a time > 0", "got 0; "]),
    ],
)
def test_what_is_wrong_is_said_in_one_line_of_any_terminal(arguments, parts, width, monkeypatch):
    monkeypatch.setenv("COLUMNS", width)
    message = refusal(*arguments)
    for part in parts:
        assert part in message
    assert "\n" not in message
    assert not set(message) & set("│╭╮╰╯─")
    assert "; " in message or "got none" in message


def test_default_objectives_depend_on_the_price():
    free = [str(objective) for objective in SweepSpec().resolved_objectives()]
    assert free == ["val_accuracy:max", "latency_ms:min", "gang_seconds:min"]
    priced = [str(o) for o in SweepSpec(price_usd_per_hour=1.0).resolved_objectives()]
    assert priced == ["val_accuracy:max", "latency_ms:min", "cost_usd:min"]


@pytest.mark.parametrize(
    "flags",
    [
        {"price_usd_per_hour": 1.0},
        {"instance": "g6.xlarge"},
        {"prices": "mine.toml"},
        {"spot": True},
        {"budget_usd": 5.0},
        {"objectives": ("val_accuracy:max", "cost_usd:min")},
        {"objectives": ("val_accuracy:max", "lineage_cost_usd:min")},
    ],
)
def test_whoever_speaks_of_money_asks_for_a_price(flags):
    assert SweepSpec(**flags).asks_for_price
    free = SweepSpec(budget_gpu_hours=1.0, time_limit="1h", carbon_kg_per_kwh=0.4)
    assert not free.asks_for_price


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("1.5m", 90), ("2h", 7200), (None, None)]
)
def test_a_time_limit_has_its_unit(text, seconds):
    assert SweepSpec(time_limit=text).time_limit_s == seconds
    assert SweepSpec(time_limit=text).has_budget == (text is not None)


def test_given_objectives_are_kept_in_order():
    spec = SweepSpec(objectives=("gang_seconds:min", "val_accuracy:max"))
    assert [o.column for o in spec.resolved_objectives()] == ["gang_seconds", "val_accuracy"]
    priced = SweepSpec(objectives=("cost_usd:min",), price_usd_per_hour=2.0)
    assert priced.resolved_objectives()[0].direction == "min"


@pytest.mark.parametrize("secret", ["s3://KEY:SECRET@bucket/x", "s3://bucket/x?secret_key=SECRET"])
def test_a_storage_with_a_secret_is_refused_and_not_repeated(secret):
    said = refusal("--storage", secret)
    assert "--storage must be" in said
    assert "environment" in said
    assert "SECRET" not in said.replace("AWS_SECRET_ACCESS_KEY", "")
