"use strict";
// Configs and objectives side by side. The axes lie, one below the other, so that their names have
// room on a phone, too; a line goes down through them.

const ROW_HEIGHT = 52;
const TOP = 26;

function parallelAxes(data) {
  const rows = data.details.map((_, row) => row);
  const found = new Set(data.details.flatMap((detail) => Object.keys(detail.config)));
  found.delete("seed"); // of no consequence, or of none that a line could show
  const keys = [...found];
  const axes = keys.map((key) => configAxis(key, data.details, rows));
  data.objectives.forEach((objective, i) => {
    const values = rows.map((row) => data.trials.values[row][i]);
    axes.push(numberAxis(objective, values, rows));
  });
  return axes.filter(Boolean);
}

function numberAxis(scale, values, rows) {
  const isLog = isWide(
    scale,
    values.filter((value) => value !== null),
  );
  const [low, high] = span(values);
  const turn = isLog ? Math.log10 : (value) => value;
  const width = turn(high) - turn(low) || 1;
  const isFlat = high === low;
  return {
    words: isLog ? `${scale.words} (log scale)` : scale.words,
    ends: isFlat ? [withUnit(scale, low), ""] : [withUnit(scale, low), withUnit(scale, high)],
    at: rows.map((_, i) =>
      values[i] === null ? null : isFlat ? 0.5 : (turn(values[i]) - turn(low)) / width,
    ),
  };
}

function configAxis(key, details, rows) {
  const texts = rows.map((row) => details[row].config[key]);
  const known = [...new Set(texts.filter((text) => text !== undefined))];
  if (known.length < 2) return null;
  const isNumber = known.every((text) => text.trim() !== "" && Number.isFinite(Number(text)));
  if (isNumber) {
    const values = texts.map((text) => (text === undefined ? null : Number(text)));
    return numberAxis({ words: key, unit: "" }, values, rows);
  }
  known.sort();
  const ends = known.length === 2 ? known : [`${known[0]} …`, known[known.length - 1]];
  return {
    words: key,
    ends,
    at: texts.map((text) => (text === undefined ? null : known.indexOf(text) / (known.length - 1))),
  };
}

function drawParallel(data, state) {
  const box = byId("parallel");
  const axes = parallelAxes(data);
  const width = Math.max(260, box.clientWidth);
  const [left, right] = [8, width - 8];
  const height = TOP + ROW_HEIGHT * (axes.length - 1) + 8;
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img" });
  const down = (index) => TOP + ROW_HEIGHT * index;
  const across = (place) => left + 4 + place * (right - left - 8);
  const front = new Set(state.decision.front);
  const strength = (row) => {
    if (row === state.looked) return 3;
    if (row === state.decision.pick) return 2;
    return front.has(row) ? 1 : 0;
  };
  const kinds = ["curve", "curve member-line", "curve pick-line", "curve looked-line"];
  const points = [];
  const rows = data.details.map((_, row) => row).sort((a, b) => strength(a) - strength(b));
  for (const row of rows) {
    let path = "";
    axes.forEach((axis, index) => {
      if (axis.at[row] === null) return; // it has no such hyperparameter: the line goes past
      const [px, py] = [across(axis.at[row]), down(index)];
      path += `${path ? "L" : "M"}${px.toFixed(1)} ${py}`;
      points.push([px, py, row]);
    });
    root.append(svg("path", { class: kinds[strength(row)], d: path }));
  }
  axes.forEach((axis, index) => {
    const y = down(index);
    root.append(svg("line", { class: "axis", x1: left, x2: right, y1: y, y2: y }));
    const text = (x, anchor, words, kind) =>
      root.append(svg("text", { class: kind, x, y: y - 6, "text-anchor": anchor }, words));
    text(width / 2, "middle", shortened(axis.words, 26), "title halo");
    text(left, "start", shortened(axis.ends[0], 12), "halo");
    text(right, "end", shortened(axis.ends[1], 12), "halo");
  });
  box.replaceChildren(root);
  points.reverse(); // of equally near ones, the line on top
  onNearest(
    { root },
    points,
    ([, , row]) => describeTrial(data, row),
    ([, , row]) => state.look(row),
  );
  const count = data.trials.id.length;
  if (count <= rows.length) return;
  const note = `Shown: the best ranked ${rows.length} of ${count.toLocaleString("en-US")}.`;
  box.append(element("p", { class: "quiet" }, note));
}

function shortened(text, most) {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}
