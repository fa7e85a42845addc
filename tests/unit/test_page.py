import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest
from fake_run import (
    fake_finalist,
    fake_image,
    fake_latency,
    fake_robustness,
    fake_seeds,
    fake_serving,
    fake_trial,
    write_run,
)

from analysis import report
from analysis.load import load_run
from analysis.page.document import MAX_PICTURE_BYTES, render_page, tell_story
from analysis.page.markup import Markup, command, json_script, table, tag
from analysis.ranking import rank_trials

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\u2028'\"&"
EVIL_NAME = '<img src=x onerror=alert(1)>"&'  # one that is a path is refused when it is read
VOID = {"meta", "img", "input"}


class Outline(HTMLParser):
    """What a browser would see: tags with their attributes, and text by the tag it is in."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text, self.open = [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append((self.open[-1] if self.open else "", data))

    @property
    def ids(self):
        return [attrs["id"] for _, attrs in self.tags if "id" in attrs]

    def words(self):
        return " ".join(
            " ".join(text for tag, text in self.text if tag not in ("script", "style")).split()
        )

    def data(self):
        (text,) = [text for tag, text in self.text if tag == "script" and text.startswith("{")]
        return json.loads(text)


def write(tmp_path, trials, **files):
    """Return the outline of the page that a report writes."""
    folder = write_run(tmp_path / "run", trials, **files)
    code = report.main([str(folder)])
    page = (folder / "report" / "report.html").read_text(encoding="utf-8")
    assert len(page) < 5_000_000
    outline = Outline(page)
    assert not outline.open
    assert len(set(outline.ids)) == len(outline.ids)
    return code, outline


def front(count=3):
    return [
        fake_trial(f"t{i}", val_accuracy=0.5 + 0.1 * i, latency_p50_ms=1.0 + i * i,
                   config={"width": 8 + i, "learning_rate": 0.1})
        for i in range(count)
    ]  # fmt: skip


def test_the_decision_comes_first_with_its_command(tmp_path):
    code, outline = write(tmp_path, front())
    assert code == 0
    words = outline.words()
    assert words.index("Recommended model t1") < words.index("The front")
    assert "python -m sweeps.reproduce runs/fake --trial t1" in words
    assert "The best balance of validation accuracy and median latency among the 3 trials" in words
    assert (
        "It gives up 10.00 points of validation accuracy against t2 and 1 ms of median latency "
        "against t0."
    ) in words
    assert "t0 : validation accuracy 0.5000 (-10.00 points), median latency 1 ms (-1 ms)" in words


def test_scripts_get_what_they_choose_from(tmp_path):
    trials = [*front(), fake_trial("broken", status="failed", val_accuracy=None)]
    data = write(tmp_path, trials)[1].data()
    assert data["trials"]["id"] == ["t2", "t1", "t0"]
    assert data["trials"]["values"][0] == [pytest.approx(0.7), 5.0]
    assert data["details"][0]["config"] == {"width": "10"}
    assert data["fixed"] == {"learning_rate": "0.1"}
    assert data["details"][0]["command"].endswith("--trial t2")
    # that has reported, but is not ranked
    assert [line["trial"] for line in data["curves"]["lines"]] == [0, 1, 2, -1]
    assert data["spent"]["unit"] == "reports"


def test_nothing_of_a_run_folder_is_code(tmp_path):
    trials = [
        fake_finalist(
            f"{EVIL_NAME}{i}", val_accuracy=0.5 + i / 10, config={EVIL: EVIL}, reproduce=EVIL,
            checkpoint=EVIL, lineage=[{"from_epoch": 0, "parent_trial_id": None, "config": "{}"}],
        )
        for i in range(2)
    ] + [fake_trial("bad", status="failed", reason=EVIL)]  # fmt: skip
    sweep = {
        "name": EVIL, "commit": EVIL, "versions": {EVIL: EVIL}, "command": EVIL, "status": EVIL,
        "dataset": {"name": EVIL, "note": EVIL}, "serving": fake_serving(runtime=EVIL),
    }  # fmt: skip
    robustness = [{**row, "name": EVIL} for row in fake_robustness(f"{EVIL_NAME}0", ["jpeg"])]
    attributions = [fake_image(f"{EVIL_NAME}0", label=EVIL, predicted=EVIL)]
    _, outline = write(
        tmp_path, trials, sweep=sweep, robustness=robustness, attributions=attributions
    )
    assert [tag for tag, _ in outline.tags].count("script") == 2
    assert not [attrs for _, attrs in outline.tags if any(name.startswith("on") for name in attrs)]
    for tag_name, attrs in outline.tags:
        if tag_name == "img":
            assert attrs["src"].startswith("data:image/png;base64,")
    assert outline.data()["trials"]["id"] == [f"{EVIL_NAME}1", f"{EVIL_NAME}0"]
    assert sorted(path.name for path in (tmp_path / "run" / "report").iterdir()) == [
        "attributions.png", "finalists.png", "front.csv", "front.png", "report.html",
    ]  # fmt: skip


def test_text_that_cannot_be_encoded_does_no_harm(tmp_path):
    config = '{"name": "\\ud800"}'  # JSON may hold half a character
    _, outline = write(tmp_path, [fake_trial("a", config=config)])
    assert outline.data()["fixed"] == {"name": "\ud800"}


def test_the_page_fetches_nothing_and_runs_its_own_script_only(tmp_path):
    _, outline = write(tmp_path, front())
    (policy,) = [a["content"] for t, a in outline.tags if t == "meta" and "http-equiv" in a]
    (script,) = [text for tag_name, text in outline.text
                 if tag_name == "script" and not text.startswith("{")]  # fmt: skip
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.startswith("default-src 'none';")
    assert f"script-src 'sha256-{digest}'" in policy
    for _, attrs in outline.tags:
        assert not {"href", "srcset", "action"} & set(attrs)
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", script)


@pytest.mark.parametrize(
    ("trials", "code", "words"),
    [
        ([], 1, "No model can be recommended The run has no trials yet."),
        (
            [fake_trial("a", status="failed", reason="out of memory")],
            1,
            "None of the 1 trials can be ranked (1 failed); the reasons are below.",
        ),
        ([fake_trial("a", val_accuracy=None)], 1, "val_accuracy is missing"),
        (front(1), 0, "Only one trial is ranked: there was nothing to choose from."),
        ([*front(1), fake_trial("d", val_accuracy=0.1, latency_p50_ms=9.0)], 0,
         "The best in validation accuracy and median latency of the 2 trials ranked."),
    ],
)  # fmt: skip
def test_little_to_tell_is_a_sensible_page(tmp_path, trials, code, words):
    found, outline = write(tmp_path, trials)
    assert found == code
    assert words in outline.words()
    assert "Provenance" in outline.words()


def test_an_unfinished_run_says_so(tmp_path):
    trials = [fake_trial("a", status="running"), fake_trial("b", status="pending", epoch=0)]
    _, outline = write(tmp_path, trials, sweep={"status": "running", "ended_unix_s": None})
    assert "had not finished when this was read (status: running)" in outline.words()


def test_an_older_schema_is_read_and_a_newer_one_is_one_line(tmp_path, capsys):
    _, outline = write(tmp_path, front(), sweep={"schema_version": 1})
    assert "schema 1" in outline.words()
    folder = write_run(tmp_path / "new", front(), sweep={"schema_version": 99})
    assert report.main([str(folder)]) == 2
    assert "schema_version" in capsys.readouterr().err


def test_an_objective_without_data_is_one_clear_page(tmp_path):
    code, outline = write(tmp_path, front(), sweep={"objectives": ["cost_usd:min"]})
    assert code == 1
    assert "cost_usd is missing" in outline.words()


def test_the_slo_is_told_with_its_margin(tmp_path):
    latency = [fake_latency(2.0, trial_id="t1")]
    serving = fake_serving(slo_ms=4.0, percentile=50)
    _, outline = write(tmp_path, front(), latency=latency, sweep={"serving": serving})
    assert "50.0 % under the SLO of 4 ms" in outline.words()
    assert "meets the SLO" in outline.words()
    bounds = {bound["column"]: bound for bound in outline.data()["bounds"]}
    assert bounds["latency_p50_ms"]["value"] == 4.0
    assert bounds["latency_p50_ms"]["is_slo"]


def test_finalists_robustness_and_pictures_are_shown(tmp_path):
    trials = [fake_finalist("a", val_accuracy=0.9, test_accuracy=0.8766), fake_trial("b")]
    _, outline = write(
        tmp_path,
        trials,
        robustness=fake_robustness("a", ["jpeg", "fgsm"]),
        attributions=[fake_image("a")],
    )
    words = outline.words()
    assert "a 0.9000 0.8766 -2.34 0.7700 0.0400" in words
    assert "jpeg (corruption) 0.5000 fgsm (attack) 0.5500" in words
    assert "What the finalists look at" in words


def test_further_seeds_are_told(tmp_path):
    seeds = [*fake_seeds("t1", [0.58, 0.60]), *fake_seeds("t0", [0.48, 0.49])]
    _, outline = write(tmp_path, front(), seeds=seeds)
    words = outline.words()
    assert "How sure the front is" in words
    assert "t1 2 0.6000 +1.00 points 0.5900 [" in words
    assert "Hypervolume of the finalists' true front: " in words
    assert "In all that it is among with 95 %: t1, t0." in words
    assert "(-1 ms); on the true front with probability > 99 %, its knee with" in words
    data = outline.data()
    assert [data["trials"]["id"][one["row"]] for one in data["intervals"]] == ["t1", "t0"]
    value, low, high = data["intervals"][0]["ends"][0]
    assert low < value < high
    assert value == pytest.approx(0.59)


def test_without_further_seeds_nothing_is_said_of_them(tmp_path):
    _, outline = write(tmp_path, front())
    assert "How sure the front is" not in outline.words()
    assert outline.data()["intervals"] == []


def test_lineage_and_schedules_of_exploits(tmp_path):
    lineage = [
        {"from_epoch": 0, "parent_trial_id": None, "config": '{"learning_rate": 0.1, "width": 8}'},
        {"from_epoch": 2, "parent_trial_id": "t0", "config": '{"learning_rate": 0.2, "width": 8}'},
    ]
    trials = front()
    trials[2]["lineage"] = lineage
    results = [
        {"trial_id": "t2", "epoch": epoch, "val_accuracy": 0.5,
         "parent_trial_id": "t0" if epoch == 3 else None}
        for epoch in (1, 2, 3)
    ]  # fmt: skip
    data = write(tmp_path, trials, results=results)[1].data()
    assert data["lineage"][0] == {"id": "t2", "parts": [[0, 2, None], [2, 3, "t0"]]}
    assert data["schedules"]["keys"] == ["learning_rate"]
    assert data["schedules"]["lines"][0] == {"id": "t2", "x": [1, 2, 3], "ys": [[0.1, 0.1, 0.2]]}


def test_pictures_that_are_too_large_are_left_out_and_named(tmp_path):
    run = load_run(write_run(tmp_path / "run", front()))
    story = tell_story(run, {"run": run}, rank_trials(run), ())
    words = Outline(render_page(story, {"A picture": b"x" * (MAX_PICTURE_BYTES + 1)})).words()
    assert "Too large for this page: A picture; see report/." in words


def test_many_trials_stay_within_the_size(tmp_path):
    trials = [
        fake_trial(f"trial_{i:05}", val_accuracy=i / 2000, latency_p50_ms=1 + i % 977,
                   config={f"key_{k}": i * k for k in range(3)}, epoch=1)
        for i in range(1000)
    ]  # fmt: skip
    _, outline = write(tmp_path, trials)
    data = outline.data()
    assert len(data["trials"]["id"]) == 1000
    assert len(data["details"]) == 300


def test_markup_escapes_all_but_markup():
    assert tag("p", "<b>", Markup("<i>x</i>")) == "<p>&lt;b&gt;<i>x</i></p>"
    assert tag("p", title='"<') == '<p title="&quot;&lt;"></p>'
    assert tag("input", hidden=True, id=None, checked=False) == "<input hidden>"
    assert "<td>&amp;</td>" in table(["a"], [["&"]])
    assert "<code>&lt;&gt;</code>" in command("<>")
    script = json_script({"a": "</script><!--\u2029"}, "data")
    assert script.count("<") == 2
    assert json.loads(script.split(">", 1)[1].rsplit("<", 1)[0]) == {"a": "</script><!--\u2029"}
