"use strict";
// The front, the limits on it, and the trial that is looked at.

function drawFront(data, state) {
  const { values, id } = data.trials;
  const [xi, yi] = state.axes;
  const [xs, ys] = [xi, yi].map((i) => ({
    ...data.objectives[i],
    better: data.objectives[i].direction,
  }));
  const isStrip = data.objectives.length === 1;
  const across = (row) => (isStrip ? row + 1 : values[row][xi]);
  const rows = values.map((_, row) => row);
  const xScale = isStrip ? { words: "Place among the ranked trials", unit: "" } : xs;
  const xv = rows.map(across);
  const yv = values.map((row) => row[yi]);
  const whiskers = isStrip ? [] : data.intervals;
  const chart = beginChart(
    "front",
    Math.min(460, Math.max(320, innerWidth * 0.8)),
    [...xv, ...whiskers.flatMap(({ ends }) => ends[xi])],
    [...yv, ...whiskers.flatMap(({ ends }) => ends[yi])],
    xScale,
    ys,
    {
      xLog: !isStrip && isWide(xs, span(xv)),
      yLog: isWide(ys, span(yv)),
    },
  );
  const left = new Set(state.decision.left);
  const front = new Set(state.decision.front);
  const place = (row) => [chart.x.at(across(row)), chart.y.at(values[row][yi])];
  const dot = ([px, py]) => `M${px.toFixed(1)} ${py.toFixed(1)}h0.01`;
  const dots = (chosen) => chosen.map((row) => dot(place(row))).join("");
  const size = rows.length > 2000 ? 4 : 7;
  const dust = (chosen, kind) =>
    chart.root.append(svg("path", { class: kind, d: dots(chosen), "stroke-width": size }));
  dust(
    rows.filter((row) => !left.has(row)),
    "dust out",
  );
  dust(
    rows.filter((row) => left.has(row) && !front.has(row)),
    "dust",
  );
  if (!isStrip) drawBounds(chart, data, xi, yi);
  if (!isStrip) drawStep(chart, data, state.decision.front, xi, yi);
  drawWhiskers(chart, whiskers, place, xi, yi);
  for (const row of state.decision.front) {
    const [cx, cy] = place(row);
    chart.root.append(svg("circle", { class: "member", cx, cy, r: 5 }));
  }
  const ring = (row, kind, r) => {
    if (row === null) return;
    const [cx, cy] = place(row);
    chart.root.append(svg("circle", { class: kind, cx, cy, r }));
  };
  ring(state.decision.pick, "ring", 10);
  ring(state.looked, "looked", 13);
  if (state.decision.pick !== null)
    labelPick(chart, id[state.decision.pick], place(state.decision.pick));
  const points = rows.map((row) => [...place(row), row]);
  const near = [...points].sort((a, b) => Number(front.has(b[2])) - Number(front.has(a[2])));
  onNearest(
    chart,
    near,
    ([, , row]) => describeTrial(data, row),
    ([, , row]) => state.look(row),
  );
}

function labelPick(chart, text, [px, py]) {
  const isRight = px > chart.width / 2;
  const y = py < chart.frame.top + 24 ? py + 26 : py - 14;
  const anchor = isRight ? "end" : "start";
  chart.root.append(
    svg("text", { class: "pick-name", x: px + (isRight ? -8 : 8), y, "text-anchor": anchor }, text),
  );
}

// Finalists' means over further seeds with 95 % intervals, and a thread to the figure each had.
function drawWhiskers(chart, whiskers, place, xi, yi) {
  for (const { row, ends } of whiskers) {
    const [[x, x1, x2], [y, y1, y2]] = [ends[xi].map(chart.x.at), ends[yi].map(chart.y.at)];
    const [px, py] = place(row);
    const line = (kind, from, to) =>
      chart.root.append(svg("path", { class: kind, d: `M${from.join(" ")}L${to.join(" ")}` }));
    line("thread", [px, py], [x, y]);
    line("whisker", [x1, y], [x2, y]);
    line("whisker", [x, y1], [x, y2]);
  }
}

function drawBounds(chart, data, xi, yi) {
  data.bounds.forEach((bound) => {
    if (bound.value === null) return;
    const { frame, width, height } = chart;
    if (bound.column === data.objectives[xi].column) {
      const px = chart.x.at(bound.value);
      if (px > frame.left && px < width - frame.right) {
        chart.root.append(
          svg("line", { class: "bound", x1: px, x2: px, y1: frame.top, y2: height - frame.bottom }),
        );
      }
    }
    if (bound.column === data.objectives[yi].column) {
      const py = chart.y.at(bound.value);
      if (py > frame.top && py < height - frame.bottom) {
        chart.root.append(
          svg("line", { class: "bound", x1: frame.left, x2: width - frame.right, y1: py, y2: py }),
        );
      }
    }
  });
}

function drawStep(chart, data, front, xi, yi) {
  // Joins the members that nothing beats in the two objectives shown.
  const pairs = front.map((row) => [data.losses[row][xi], data.losses[row][yi]]);
  const best = frontOf(
    pairs.map((_, i) => i),
    pairs,
  ).sort((a, b) => pairs[a][0] - pairs[b][0] || pairs[a][1] - pairs[b][1]);
  let path = "";
  for (const i of best) {
    const row = front[i];
    const [px, py] = [
      chart.x.at(data.trials.values[row][xi]),
      chart.y.at(data.trials.values[row][yi]),
    ];
    path += path ? `H${px.toFixed(1)}V${py.toFixed(1)}` : `M${px.toFixed(1)} ${py.toFixed(1)}`;
  }
  if (path) chart.root.append(svg("path", { class: "step", d: path }));
}

function describeTrial(data, row) {
  const { id, rank, values, epoch, objection } = data.trials;
  const lines = [`${id[row]} (rank ${rank[row]}, epoch ${epoch[row]})`];
  data.objectives.forEach((o, i) =>
    lines.push(`${lower(o.words)}: ${withUnit(o, values[row][i])}`),
  );
  if (objection[row]) lines.push(`against it: ${objection[row]}`);
  const detail = data.details[row];
  const config = detail ? Object.entries(detail.config).slice(0, 12) : [];
  config.forEach(([key, value]) => lines.push(`${key}: ${value}`));
  return lines.join("\n");
}

function showTrial(data, row) {
  const box = byId("trial");
  box.hidden = false;
  const { id, rank, epoch, status, values } = data.trials;
  const detail = data.details[row];
  const rows = data.objectives.map((o, i) => [lower(o.words), withUnit(o, values[row][i])]);
  if (detail) rows.push(...Object.entries(detail.config));
  if (detail && detail.checkpoint) rows.push(["checkpoint", detail.checkpoint]);
  const text = detail
    ? detail.command || "no command recorded"
    : "config and command stand in report/front.csv";
  const button = element("button", { class: "copy", type: "button" }, "Copy");
  box.replaceChildren(
    element("h3", {}, `${id[row]}: rank ${rank[row]}, ${status[row]}, epoch ${epoch[row]}`),
    element("div", { class: "command" }, element("code", {}, text), button),
    factTable(rows),
  );
  const fixed = Object.entries(data.fixed);
  if (!fixed.length) return;
  const same = element(
    "details",
    {},
    element("summary", {}, "The same in all trials"),
    factTable(fixed),
  );
  box.append(same);
}

function factTable(rows) {
  const cells = rows.map(([key, value]) =>
    element("tr", {}, element("th", {}, key), element("td", {}, value)),
  );
  const table = element("table", {}, element("tbody", {}, ...cells));
  return element("div", { class: "wide facts" }, table);
}

// Sliders: from the loosest limit, which is none, to the tightest that leaves a trial.
function makeLimits(data, onMove) {
  data.bounds.forEach((bound, index) => {
    const values = data.trials.limited.map((row) => row[index]).filter((value) => value !== null);
    const steps = [...new Set(values)].sort((a, b) => asLoss(bound, b) - asLoss(bound, a));
    if (steps.length < 2 && bound.value === null) return;
    const stops =
      steps.length > 200
        ? Array.from({ length: 201 }, (_, i) => steps[Math.round((i * (steps.length - 1)) / 200)])
        : steps;
    if (bound.value !== null && !stops.includes(bound.value)) {
      stops.push(bound.value);
      stops.sort((a, b) => asLoss(bound, b) - asLoss(bound, a));
    }
    const id = `limit-${index}`;
    const slider = element("input", { type: "range", id, min: 0, max: stops.length, step: 1 });
    slider.dataset.column = bound.column;
    const output = element("output");
    const show = () => {
      const sign = bound.direction === "max" ? "at least" : "at most";
      output.textContent = bound.value === null ? "any" : `${sign} ${withUnit(bound, bound.value)}`;
    };
    // Stop 0 is no limit.
    const place = () =>
      (slider.value = bound.value === null ? 0 : 1 + nearestStop(stops, bound.value));
    slider.addEventListener("input", () => {
      bound.value = Number(slider.value) === 0 ? null : stops[Number(slider.value) - 1];
      show();
      onMove();
    });
    bound.refresh = () => {
      place();
      show();
    };
    bound.refresh();
    const label = element(
      "label",
      { htmlFor: id },
      `${bound.words}${bound.is_slo ? " (SLO)" : ""}`,
      output,
    );
    byId("limits").append(element("div", { class: "limit" }, label, slider));
  });
}

function nearestStop(stops, value) {
  let best = 0;
  stops.forEach((stop, i) => {
    if (Math.abs(stop - value) < Math.abs(stops[best] - value)) best = i;
  });
  return best;
}
