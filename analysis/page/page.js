"use strict";
// Brings the parts of the page together. Limits stand in the address:
// #latency_ms=5&val_accuracy=0.9

function readLimits(data) {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const bound of data.bounds) {
    const text = given.get(bound.column);
    if (text === null) continue;
    const value = Number(text);
    bound.value = text === "" || !Number.isFinite(value) ? null : value;
    if (bound.refresh) bound.refresh();
  }
}

function writeLimits(data) {
  const given = new URLSearchParams();
  for (const bound of data.bounds) {
    if (bound.value !== bound.first)
      given.set(bound.column, bound.value === null ? "" : String(bound.value));
  }
  const text = given.toString();
  history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
}

function drawCurves(data, state) {
  const { metrics, lines, num_trials: count } = data.curves;
  if (!metrics.length) {
    byId("curves").replaceChildren(element("p", { class: "quiet" }, "No epoch was reported."));
    return;
  }
  const front = new Set(state.decision.front);
  const strength = (line) => {
    if (line.trial >= 0 && line.trial === state.looked) return 3;
    if (line.trial >= 0 && line.trial === state.decision.pick) return 2;
    return front.has(line.trial) ? 1 : 0;
  };
  const kinds = ["curve", "curve member-line", "curve pick-line", "curve looked-line"];
  const ordered = [...lines].sort((a, b) => strength(a) - strength(b));
  drawLines("curves", ordered, state.metric, { words: "Epoch", unit: "" }, metrics[state.metric], {
    classOf: (line) => kinds[strength(line)],
    isCount: true,
    onClick: (line) => line.trial >= 0 && state.look(line.trial),
  });
  const note = "Orange: recommended. Blue: on the front. Touch a line to see its trial.";
  const more =
    count > lines.length
      ? ` Shown: the best ranked ${lines.length} of ${count.toLocaleString("en-US")}.`
      : "";
  byId("curves").append(element("p", { class: "quiet" }, note + more));
}

function drawSpent(data) {
  const box = byId("spent");
  if (!data.spent) {
    box.replaceChildren(
      element(
        "p",
        { class: "quiet" },
        "Not told: a run has no reports, or an objective is known only after training.",
      ),
    );
    return;
  }
  const units = {
    cost_usd: "USD",
    gpu_seconds: "GPU-s",
    gang_seconds: "s of gangs",
    wall_seconds: "s",
    reports: "",
  };
  const words = data.spent.unit === "reports" ? "Reports" : "Spent";
  drawLines(
    "spent",
    data.spent.lines,
    0,
    { words, unit: units[data.spent.unit] },
    { words: "Hypervolume", unit: "", better: "max" },
    {
      isStep: true,
      yLog: false,
      hasKey: true,
    },
  );
  const point = data.objectives.map(
    (o, i) => `${lower(o.words)} ${withUnit(o, data.spent.reference[i])}`,
  );
  box.append(
    element(
      "p",
      { class: "quiet" },
      `Of what would have been returned at that moment; reference point: ${point.join(", ")}.`,
    ),
  );
}

function drawSurfaces(data) {
  if (!data.surfaces.length || !byId("surfaces")) return;
  const [x, y] = data.axes;
  const lines = data.surfaces.map(({ id, points }) => {
    const sorted = [...points].sort(
      (a, b) => asLoss(data.objectives[x], a[x]) - asLoss(data.objectives[x], b[x]),
    );
    return { id: `attained by ${id}`, x: sorted.map((p) => p[x]), ys: [sorted.map((p) => p[y])] };
  });
  const [xs, ys] = [x, y].map((i) => ({
    ...data.objectives[i],
    better: data.objectives[i].direction,
  }));
  drawLines("surfaces", lines, 0, xs, ys, { isStep: true, yLog: false, hasKey: true });
}

function drawLineage(data) {
  const rows = data.lineage;
  const place = new Map(rows.map((row, index) => [row.id, index]));
  const last = Math.max(
    ...rows.map((row) => (row.parts.length ? row.parts[row.parts.length - 1][1] : 0)),
  );
  const room = Math.min(130, 14 + 7 * Math.max(...rows.map((row) => row.id.length)));
  const height = 58 + 18 * rows.length;
  const options = { yTicks: false, xPad: 0.02, isCount: true, frame: { left: room } };
  const epochs = { words: "Epoch of the lineage (orange: weights taken over)", unit: "" };
  const chart = beginChart(
    "lineage",
    height,
    [0, last],
    [0.5 - rows.length, -0.2],
    epochs,
    { words: "", unit: "" },
    options,
  );
  const at = (index) => 22 + 18 * index;
  const points = [];
  rows.forEach((row, index) => {
    const text = row.id.length > 17 ? `…${row.id.slice(-16)}` : row.id;
    chart.root.append(svg("text", { x: room - 7, y: at(index) + 4, "text-anchor": "end" }, text));
    row.parts.forEach(([from, to, donor], i) => {
      const kind = i === row.parts.length - 1 ? "life" : "lost";
      const [x1, x2] = [chart.x.at(from), chart.x.at(to)];
      chart.root.append(svg("line", { class: kind, x1, x2, y1: at(index), y2: at(index) }));
      points.push([
        (x1 + x2) / 2,
        at(index),
        `${row.id}\nepochs ${from + 1} to ${to}${donor ? `\nwith weights of ${donor}` : ""}`,
      ]);
      if (donor !== null && place.has(donor) && donor !== row.id) {
        chart.root.append(
          svg("path", { class: "gift", d: `M${x1} ${at(place.get(donor))}V${at(index)}` }),
        );
      }
    });
  });
  onNearest(chart, points, ([, , text]) => text);
}

function drawBreeding(data, state) {
  const section = byId("breeding");
  section.hidden = !data.lineage.length;
  if (section.hidden) return;
  drawLineage(data);
  if (!data.schedules.keys.length) return;
  const key = data.schedules.keys[state.key];
  const numbers = data.schedules.lines
    .flatMap((line) => line.ys[state.key])
    .filter((v) => v !== null);
  const scale = { words: key, unit: "" };
  drawLines(
    "schedules",
    data.schedules.lines,
    state.key,
    { words: "Epoch of the lineage", unit: "" },
    scale,
    {
      classOf: (line) =>
        line.id === data.trials.id[state.decision.pick] ? "curve pick-line" : "curve member-line",
      isStep: true,
      isCount: true,
      yLog: isWide(scale, span(numbers)),
    },
  );
}

function begin() {
  const source = byId("data");
  if (!source) return;
  const data = JSON.parse(source.textContent);
  data.losses = data.trials.values.map((row) =>
    row.map((value, i) => asLoss(data.objectives[i], value)),
  );
  data.bounds.forEach((bound) => (bound.first = bound.value));
  const state = { axes: data.axes, metric: 0, key: 0, looked: null, decision: null };
  const decideAgain = () => {
    state.decision = decide(data);
    showDecision(data, state.decision);
    drawFront(data, state);
    drawParallel(data, state);
    drawCurves(data, state);
    drawBreeding(data, state);
  };
  state.look = (row) => {
    state.looked = row;
    showTrial(data, row);
    drawFront(data, state);
    drawParallel(data, state);
    drawCurves(data, state);
  };
  makeLimits(data, () => {
    decideAgain();
    writeLimits(data);
  });
  readLimits(data);
  const names = data.objectives.map((objective) => objective.words);
  if (names.length > 2) {
    ["Across", "Up"].forEach((words, which) => {
      const select = chooser("front-axes", words, names, (value) => {
        state.axes[which] = value;
        drawFront(data, state);
      });
      select.value = state.axes[which];
    });
  }
  if (data.curves.metrics.length > 1) {
    chooser(
      "curve-metrics",
      "Of",
      data.curves.metrics.map((m) => m.words),
      (value) => {
        state.metric = value;
        drawCurves(data, state);
      },
    );
  }
  if (data.lineage.length && data.schedules.keys.length) {
    chooser("schedule-keys", "Schedule of", data.schedules.keys, (value) => {
      state.key = value;
      drawBreeding(data, state);
    });
  }
  const drawAll = () => {
    decideAgain();
    drawSpent(data);
    drawSurfaces(data);
  };
  drawAll();
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === width) return; // a phone's address bar changes the height alone
    width = innerWidth;
    drawAll();
  });
  addEventListener("hashchange", () => {
    readLimits(data);
    decideAgain();
  });
}

begin();
