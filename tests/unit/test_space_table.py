from sweeps.domains import Choice, Integer, Switch, Uniform
from sweeps.space_groups import join_spaces
from sweeps.space_table import SpaceEntry, describe_space
from trainables.task import Task
from trainables.trial_config import GROUPS, default_of, rules

IMAGES = Task(kind="image", input_shape=(3, 32, 32), num_classes=10)
COUPLED, DECOUPLED = Uniform(1e-5, 5e-3, is_log=True), Uniform(1e-3, 0.3, is_log=True)
SPACE = {
    "model": Choice(("resnet8", "convmixer", "vit")),
    "heads": Choice((2, 4)),
    "patch_px": Choice((4, 8)),
    "optimizer": Choice(("sgd", "adam", "adamw")),
    "weight_decay": Switch("optimizer", {"sgd": COUPLED, "adam": COUPLED, "adamw": DECOUPLED}),
    "crop_padding_px": Integer(0, 4),
}


def test_each_case_has_an_entry_with_its_condition():
    found = [(entry.name, entry.condition) for entry in describe_space(SPACE, {})]
    assert found == [
        ("model", ""),
        ("heads", "model vit"),
        ("patch_px", "model convmixer, vit"),
        ("optimizer", ""),
        ("weight_decay", "optimizer sgd, adam"),
        ("weight_decay", "optimizer adamw"),
        ("crop_padding_px", ""),
    ]


def test_an_entry_tells_all_there_is():
    entries = {entry.name: entry for entry in describe_space(SPACE, {})}
    assert entries["weight_decay"] == SpaceEntry(
        name="weight_decay",
        group="regularisation",
        type="float",
        choices=(),
        low=1e-3,
        high=0.3,
        scale="log",
        unit="",
        default=5e-4,
        is_mutable=True,
        condition="optimizer adamw",
    )
    assert entries["patch_px"] == SpaceEntry(
        name="patch_px",
        group="architecture",
        type="int",
        choices=(4, 8),
        low=None,
        high=None,
        scale=None,
        unit="px",
        default=4,
        is_mutable=False,
        condition="model convmixer, vit",
    )
    padding = entries["crop_padding_px"]
    assert (padding.low, padding.high, padding.scale, padding.unit) == (0, 4, "linear", "px")


def test_cases_that_cannot_occur_are_left_out():
    space = {name: SPACE[name] for name in ("weight_decay", "heads")}
    fixed = {"model": "vit", "optimizer": "adamw"}
    assert [(entry.name, entry.low, entry.condition) for entry in describe_space(space, fixed)] == [
        ("weight_decay", 1e-3, ""),
        ("heads", None, ""),
    ]
    assert [entry.name for entry in describe_space(space, {})] == ["weight_decay"]


def test_a_field_may_depend_on_several():
    space = {**SPACE, "dropout": Switch("optimizer", dict.fromkeys(("sgd", "adam"), COUPLED))}
    space["optimizer"] = Choice(("sgd", "adam"))
    space["model"] = Choice(("vit", "torchvision:resnet18"))
    space["dropout"] = Switch("optimizer", {"sgd": COUPLED, "adam": DECOUPLED})
    found = [entry.condition for entry in describe_space(space, {}) if entry.name == "dropout"]
    assert found == ["model vit; optimizer sgd", "model vit; optimizer adam"]


def test_every_field_of_the_groups_is_in_the_table():
    space = join_spaces(GROUPS, IMAGES, has_gpus=True)
    entries = describe_space(space, {})
    assert {entry.name for entry in entries} == set(space)
    for entry in entries:
        rule = rules()[entry.name]
        assert (entry.group, entry.unit, entry.is_mutable) == (
            rule.group,
            rule.unit,
            rule.is_mutable,
        )
        assert entry.default == default_of(entry.name)
        assert bool(entry.choices) == (entry.low is None)
