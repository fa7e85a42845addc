"use strict";
// Charts in SVG, drawn to the width that there is.

const SVG = "http://www.w3.org/2000/svg";
const FRAME = { left: 58, right: 14, top: 14, bottom: 44 };

function svg(name, attributes, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function isWide(scale, values) {
  const low = Math.min(...values);
  return scale.unit !== "fraction" && low > 0 && Math.max(...values) / low >= 10;
}

function span(values) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (value === null || !Number.isFinite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

// An axis: from a value to pixels and back to ticks.
function makeAxis(values, from, to, { isLog = false, pad = 0.06, pixels = 75 } = {}) {
  let [low, high] = span(values);
  if (!Number.isFinite(low)) [low, high] = [0, 1];
  isLog = isLog && low > 0 && high / low >= 10;
  const turn = isLog ? Math.log10 : (value) => value;
  let [a, b] = [turn(low), turn(high)];
  const room = pad * (b - a) || (pad ? Math.abs(0.1 * a) || 1 : 0.5);
  a -= room;
  b += room;
  const at = (value) => from + ((turn(value) - a) / (b - a)) * (to - from);
  return { at, ticks: ticksOf(a, b, isLog, Math.abs(to - from) / pixels), isLog };
}

function ticksOf(a, b, isLog, room) {
  const most = Math.max(2, Math.floor(room));
  if (isLog) {
    const found = [];
    for (const parts of [[1], [1, 3], [1, 2, 5]]) {
      const these = [];
      for (let e = Math.floor(a); e <= Math.ceil(b); e++) {
        for (const part of parts) {
          const tick = part * 10 ** e;
          if (Math.log10(tick) >= a && Math.log10(tick) <= b)
            these.push(Number(tick.toPrecision(3)));
        }
      }
      if (these.length <= most + 2 || !found.length) found.splice(0, found.length, ...these);
    }
    const every = Math.ceil(found.length / (most + 2));
    return found.filter((_, i) => i % every === 0);
  }
  const rough = (b - a) / most;
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((n) => n * size).find((n) => n >= rough);
  const ticks = [];
  for (let i = Math.ceil(a / step); i * step <= b; i++)
    ticks.push(Number((i * step).toPrecision(12)));
  return ticks;
}

function tickText(scale, value) {
  if (scale.unit === "bytes") return formatBytes(value);
  if (Math.abs(value) >= 1e6 || (value !== 0 && Math.abs(value) < 1e-4)) return four(value);
  return Math.abs(value) >= 1000
    ? value.toLocaleString("en-US")
    : String(Number(value.toPrecision(6)));
}

function axisTitle(scale, isLog) {
  const better = { max: "higher is better", min: "lower is better" }[scale.better];
  const notes = [scale.unit, isLog ? "log scale" : "", better].filter(Boolean).join(", ");
  return notes ? `${scale.words} (${notes})` : scale.words;
}

// Begin a chart: an empty SVG with a frame, grid and titles.
function beginChart(place, height, xValues, yValues, xScale, yScale, options = {}) {
  const box = byId(place);
  const width = Math.max(260, box.clientWidth);
  const frame = { ...FRAME, ...options.frame };
  const x = makeAxis(xValues, frame.left, width - frame.right, {
    isLog: options.xLog,
    pad: options.xPad,
  });
  const y = makeAxis(yValues, height - frame.bottom, frame.top, {
    isLog: options.yLog,
    pixels: 48,
  });
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img" });
  const put = (name, attributes, text) => root.append(svg(name, attributes, text ?? ""));
  const bottom = height - frame.bottom;
  const xTicks = options.isCount ? x.ticks.filter(Number.isInteger) : x.ticks;
  for (const tick of xTicks) {
    put("line", { class: "grid", x1: x.at(tick), x2: x.at(tick), y1: frame.top, y2: bottom });
    put("text", { x: x.at(tick), y: bottom + 17, "text-anchor": "middle" }, tickText(xScale, tick));
  }
  for (const tick of options.yTicks === false ? [] : y.ticks) {
    put("line", {
      class: "grid",
      x1: frame.left,
      x2: width - frame.right,
      y1: y.at(tick),
      y2: y.at(tick),
    });
    put(
      "text",
      { x: frame.left - 7, y: y.at(tick) + 4, "text-anchor": "end" },
      tickText(yScale, tick),
    );
  }
  put("line", { class: "axis", x1: frame.left, x2: width - frame.right, y1: bottom, y2: bottom });
  put("line", { class: "axis", x1: frame.left, x2: frame.left, y1: frame.top, y2: bottom });
  put(
    "text",
    {
      class: "title",
      x: (frame.left + width - frame.right) / 2,
      y: height - 8,
      "text-anchor": "middle",
    },
    axisTitle(xScale, x.isLog),
  );
  const title = element("p", { class: "quiet" }, axisTitle(yScale, y.isLog));
  box.replaceChildren(...(options.yTicks === false ? [] : [title]), root);
  return { root, x, y, width, height, frame, box };
}

// The points of a line as a path; it breaks where a value is missing.
function pathOf(chart, xs, ys, isStep = false) {
  let path = "";
  let before = null;
  xs.forEach((value, i) => {
    if (ys[i] === null || ys[i] === undefined) {
      before = null;
      return;
    }
    const [px, py] = [chart.x.at(value).toFixed(1), chart.y.at(ys[i]).toFixed(1)];
    if (before === null) path += `M${px} ${py}`;
    else if (isStep) path += `H${px}V${py}`;
    else path += `L${px} ${py}`;
    before = py;
  });
  return path.replace(/M([^MLHV]+)(?=M|$)/g, "M$1h0.01"); // a single point is a dot
}

// Lines with a name each, and what is nearest to the pointer told.
function drawLines(place, lines, which, xScale, yScale, options = {}) {
  const told = lines.filter((line) => line.ys[which].some((value) => value !== null));
  if (!told.length) {
    byId(place).replaceChildren(element("p", { class: "quiet" }, "No data."));
    return;
  }
  const ys = told.flatMap((line) => line.ys[which]).filter((value) => value !== null);
  const xs = told.flatMap((line) => line.x);
  const yLog = options.yLog ?? (isWide(yScale, ys) && !/loss/.test(yScale.column || ""));
  const chart = beginChart(place, 300, xs, ys, xScale, yScale, {
    yLog,
    xPad: 0.02,
    isCount: options.isCount,
  });
  for (const line of told) {
    const kind = options.classOf ? options.classOf(line) : `series s${told.indexOf(line) % 6}`;
    const path = pathOf(chart, line.x, line.ys[which], options.isStep);
    chart.root.append(svg("path", { class: kind, d: path, "stroke-linecap": "round" }));
  }
  const points = told.flatMap((line) =>
    line.x.flatMap((value, i) =>
      line.ys[which][i] === null
        ? []
        : [[chart.x.at(value), chart.y.at(line.ys[which][i]), line, i]],
    ),
  );
  onNearest(
    chart,
    points,
    ([, , line, i]) => {
      const across = `${lower(xScale.words)} ${tickText(xScale, line.x[i])}`;
      return `${line.id}\n${across}\n${lower(yScale.words)} ${formatValue(yScale, line.ys[which][i])}`;
    },
    options.onClick && (([, , line]) => options.onClick(line)),
  );
  if (options.hasKey && told.length > 1) chart.box.append(lineKeys(told));
}

function lineKeys(lines) {
  const keys = element("div");
  lines.forEach((line, i) => {
    const mark = svg(
      "svg",
      {},
      svg("line", { class: `series s${i % 6}`, x1: 0, x2: 22, y1: 5, y2: 5 }),
    );
    keys.append(element("span", { class: "key" }, mark, line.id));
  });
  return keys;
}

function onNearest(chart, points, describe, onClick) {
  const nearest = (event) => {
    const box = chart.root.getBoundingClientRect();
    const [px, py] = [event.clientX - box.left, event.clientY - box.top];
    let best = null;
    let least = 40 * 40;
    for (const point of points) {
      const distance = (point[0] - px) ** 2 + (point[1] - py) ** 2;
      if (distance < least) [best, least] = [point, distance];
    }
    return best;
  };
  const tip = byId("tip");
  chart.root.addEventListener("pointermove", (event) => {
    const point = nearest(event);
    tip.hidden = point === null;
    if (point === null) return;
    tip.textContent = describe(point);
    const left = Math.min(
      event.pageX + 14,
      document.documentElement.clientWidth - tip.offsetWidth - 8,
    );
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${event.pageY + 16}px`;
  });
  chart.root.addEventListener("pointerleave", () => (tip.hidden = true));
  if (!onClick) return;
  chart.root.style.cursor = "pointer";
  chart.root.addEventListener("click", (event) => {
    const point = nearest(event);
    if (point) onClick(point);
  });
}
