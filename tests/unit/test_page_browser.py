"""The page in a real browser, at the widths of a phone and of a desk (needs Chromium)."""

import re
import shutil
import subprocess

import pytest
from fake_run import (
    fake_finalist,
    fake_image,
    fake_seeds,
    fake_serving,
    fake_trial,
    write_run,
)

from analysis import report

NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs Chromium")

EVIL = "</script><img src=x onerror=document.title='owned'>"
EVIL_NAME = "<img src=x onerror=document.title='owned'>"
LINEAGE = [
    {"from_epoch": 0, "parent_trial_id": None, "config": '{"learning_rate": 0.1}'},
    {"from_epoch": 2, "parent_trial_id": "t0", "config": '{"learning_rate": 0.2}'},
]
# A person who moves the latency's limit to its tightest, then touches the first point of the front.
PERSON = """
<script>
const slider = document.querySelector('input[data-column="latency_p50_ms"]');
slider.value = slider.max;
slider.dispatchEvent(new Event("input"));
document.body.dataset.picked = document.getElementById("pick").textContent;
slider.value = 0;
slider.dispatchEvent(new Event("input"));
document.body.dataset.hash = location.hash;
const circle = document.querySelector("#front .member").getBoundingClientRect();
const at = { clientX: circle.x + 5, clientY: circle.y + 5, bubbles: true };
document.querySelector("#front svg").dispatchEvent(new MouseEvent("click", at));
document.querySelector("#front svg").dispatchEvent(new PointerEvent("pointermove", at));
const { scrollWidth, clientWidth } = document.documentElement;
document.body.dataset.overflow = scrollWidth - clientWidth;
</script>
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    trials = [
        fake_finalist(
            f"t{i}", val_accuracy=0.5 + 0.1 * i, latency_p50_ms=1.0 + i * i,
            config={"width": 8 + i, "note": EVIL},
            **({"lineage": LINEAGE} if i == 2 else {}),
        )
        for i in range(4)
    ] + [fake_trial(EVIL_NAME, val_accuracy=0.4, latency_p50_ms=9.0)]  # fmt: skip
    results = [
        {"trial_id": trial["trial_id"], "epoch": epoch, "val_accuracy": 0.1 * epoch,
         "parent_trial_id": "t0" if trial["trial_id"] == "t2" and epoch == 3 else None}
        for trial in trials for epoch in (1, 2, 3)
    ]  # fmt: skip
    folder = write_run(
        tmp_path_factory.mktemp("page") / "run",
        trials,
        results=results,
        attributions=[fake_image("t1")],
        seeds=[*fake_seeds("t1", [0.57, 0.59]), *fake_seeds("t2", [0.66, 0.67])],
        sweep={"serving": fake_serving(slo_ms=6.0, percentile=50)},
    )
    assert report.main([str(folder)]) == 0
    return folder / "report" / "report.html"


@pytest.fixture
def visit(tmp_path):
    def visit(path, width, hash_=""):
        """Return the page as it stands once its scripts have run, and what it complained of."""
        done = subprocess.run(
            [
                BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
                f"--user-data-dir={tmp_path / 'browser'}", f"--window-size={width},900",
                "--virtual-time-budget=2000", "--dump-dom", f"{path.as_uri()}{hash_}",
            ],
            capture_output=True, text=True, check=True, timeout=120,
        )  # fmt: skip
        complaints = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        return done.stdout, complaints

    return visit


def pick_of(dom, part="pick"):
    return re.search(rf'id="{part}"[^>]*>([^<]*)<', dom)[1]


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_works_without_a_complaint(page, visit, width):
    written = page.read_text()
    dom, complaints = visit(page, width)
    assert complaints == []
    # The scripts have decided again, and as the page was written: t3 is over the SLO.
    assert pick_of(dom) == pick_of(written) == "t1"
    assert pick_of(dom, "pick-why") == pick_of(written, "pick-why")
    decision = [text.split('id="tradeoff"')[0].split('id="decision"')[1] for text in (dom, written)]
    assert decision[0].replace('hidden=""', "hidden") == decision[1]
    for place in ("front", "parallel", "curves", "spent", "lineage", "schedules"):
        assert re.search(rf'id="{place}"[^>]*>.*?<svg', dom), place
    assert dom.count('class="member"') == 3
    assert dom.count('class="whisker"') == 4
    parallel = dom.split('id="parallel"')[1].split("</svg>")[0]
    assert re.findall(r'class="title halo"[^>]*>([^<]*)<', parallel) == [
        "width", "Validation accuracy", "Median latency (log scale)",
    ]  # fmt: skip
    assert parallel.count('class="curve') == 5
    assert "owned" not in re.search("<title>(.*?)</title>", dom)[1]


def test_limits_in_the_address_move_the_recommendation(page, visit):
    dom, complaints = visit(page, 390, "#val_accuracy=0.65")
    assert complaints == []
    assert pick_of(dom) == "t2"
    assert "5.00 points over the limit of 0.6500" in dom
    assert "runs/fake --trial t2" in dom.split('id="tradeoff"')[0]
    dom, complaints = visit(page, 390, "#latency_p50_ms=0.5")
    assert (pick_of(dom), complaints) == ("none", [])
    assert "No trial meets all limits without something found against it" in dom


@pytest.mark.parametrize("width", [390, 1280])
def test_a_person_moves_a_slider_and_touches_a_point(page, visit, width, tmp_path):
    # The policy would refuse this script, as it should.
    text = re.sub('<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text())
    copy = tmp_path / "page.html"
    copy.write_text(text.replace("</body>", f"{PERSON}</body>"))
    dom, complaints = visit(copy, width)
    assert complaints == []
    assert 'data-picked="t0"' in dom
    assert 'data-hash="#latency_p50_ms="' in dom
    assert re.search(r'id="trial" class="trial"><h3>t3: rank 0, completed, epoch 3', dom)
    assert re.search(r'id="tip"[^>]*>t3 \(rank 0, epoch 3\)', dom)
    assert 'data-overflow="0"' in dom  # nothing stands out to the side


def test_one_objective_and_an_slo_that_nothing_meets(tmp_path, visit):
    folder = write_run(
        tmp_path / "run",
        [fake_trial(f"t{i}", val_accuracy=0.5 + i / 10, latency_ms=2.0 + i) for i in range(3)],
        sweep={"objectives": ["val_accuracy:max"], "serving": fake_serving(slo_ms=1.0)},
    )
    assert report.main([str(folder)]) == 0
    path = folder / "report" / "report.html"
    dom, complaints = visit(path, 390)
    assert (pick_of(dom), pick_of(path.read_text()), complaints) == ("none", "none", [])
    assert dom.count('class="member"') == 0
    dom, complaints = visit(path, 390, "#latency_ms=3")
    assert (pick_of(dom), complaints) == ("t1", [])
    assert "at the limit of 3 ms" in dom
