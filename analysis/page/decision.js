"use strict";
// The rule of analysis/decision.py once more, so that limits can be moved here.

function asLoss(scale, value) {
  return scale.direction === "max" ? -value : value;
}

function leftTrials(data) {
  const { limited, objection } = data.trials;
  const left = [];
  for (let row = 0; row < limited.length; row++) {
    if (objection[row] !== null) continue;
    const met = data.bounds.every((bound, index) => {
      if (bound.value === null) return true;
      const value = limited[row][index];
      return value !== null && asLoss(bound, value) <= asLoss(bound, bound.value);
    });
    if (met) left.push(row);
  }
  return left;
}

function dominates(a, b) {
  let isBetter = false;
  for (let i = 0; i < a.length; i++) {
    if (a[i] > b[i]) return false;
    if (a[i] < b[i]) isBetter = true;
  }
  return isBetter;
}

function frontOf(rows, losses) {
  // What is sorted so is never dominated by one that comes later.
  const order = [...rows].sort((a, b) => {
    for (let i = 0; i < losses[a].length; i++) {
      if (losses[a][i] !== losses[b][i]) return losses[a][i] - losses[b][i];
    }
    return a - b;
  });
  const front = [];
  for (const row of order) {
    if (!front.some((member) => dominates(losses[member], losses[row]))) front.push(row);
  }
  return front.sort((a, b) => a - b);
}

function idealDistances(front, losses) {
  const count = losses[front[0]].length;
  const low = Array(count).fill(Infinity);
  const high = Array(count).fill(-Infinity);
  for (const row of front) {
    losses[row].forEach((value, i) => {
      low[i] = Math.min(low[i], value);
      high[i] = Math.max(high[i], value);
    });
  }
  return front.map((row) =>
    Math.sqrt(
      losses[row].reduce((sum, value, i) => {
        const scaled = (value - low[i]) / (high[i] > low[i] ? high[i] - low[i] : 1);
        return sum + scaled * scaled;
      }, 0),
    ),
  );
}

function decide(data) {
  const left = leftTrials(data);
  if (!left.length) return { pick: null, runnersUp: [], front: [], left };
  const front = frontOf(left, data.losses);
  const distances = idealDistances(front, data.losses);
  const order = front.map((_, i) => i).sort((a, b) => distances[a] - distances[b] || a - b);
  const sorted = order.map((i) => front[i]);
  return { pick: sorted[0], runnersUp: sorted.slice(1), front, left };
}

function listed(parts) {
  return parts.length < 2
    ? parts.join("")
    : `${parts.slice(0, -1).join(", ")} and ${parts[parts.length - 1]}`;
}

function whyText(data, decision) {
  const { values, id } = data.trials;
  const number = (count) => count.toLocaleString("en-US");
  const left = decision.left.length;
  const which = left === id.length ? "ranked" : "left by the limits";
  const words = listed(data.objectives.map((objective) => lower(objective.words)));
  const members = [decision.pick, ...decision.runnersUp];
  if (members.length === 1 || data.objectives.length === 1) {
    return `The best in ${words} of the ${number(left)} trials ${which}.`;
  }
  const givenUp = [];
  data.objectives.forEach((objective, i) => {
    const best = members.reduce((a, b) => (data.losses[b][i] < data.losses[a][i] ? b : a));
    const far = Math.abs(values[decision.pick][i] - values[best][i]);
    if (far === 0) return;
    givenUp.push(
      `${gap(objective, far).slice(1)} of ${lower(objective.words)} against ${id[best]}`,
    );
  });
  const text =
    `The best balance of ${words} among the ${number(members.length)} trials that nothing ` +
    `dominates, of ${number(left)} ${which}.`;
  return givenUp.length ? `${text} It gives up ${listed(givenUp)}.` : text;
}

function tiles(data, row) {
  return data.bounds.flatMap((bound, index) => {
    const value = data.trials.limited[row][index];
    if (value === null) return [];
    const tile = element("div", { class: "tile" });
    for (const [kind, text] of [
      ["name", lower(bound.words)],
      ["figure", formatValue(bound, value)],
      ["unit", unitOf(bound)],
      ["margin", margin(bound, value)],
    ])
      tile.append(element("span", { class: kind }, text));
    return [tile];
  });
}

function showDecision(data, decision) {
  const { id, values } = data.trials;
  const isNone = decision.pick === null;
  byId("pick-values").hidden = isNone;
  byId("pick-more").hidden = isNone;
  byId("runners-heading").hidden = decision.runnersUp.length === 0;
  if (isNone) {
    byId("pick").textContent = "none";
    byId("pick-why").textContent =
      "No trial meets all limits without something found against it after the search: move a " +
      "limit back.";
    byId("runners").replaceChildren();
    return;
  }
  const pick = decision.pick;
  const detail = data.details[pick];
  byId("pick").textContent = id[pick];
  byId("pick-why").textContent = whyText(data, decision);
  byId("pick-values").replaceChildren(...tiles(data, pick));
  byId("pick-more").querySelector("code").textContent = detail
    ? detail.command || "no command recorded"
    : "its command stands in report/front.csv";
  const notes = detail ? detail.notes : [];
  byId("pick-notes").replaceChildren(
    ...notes.map(([tone, text]) => element("li", { class: tone }, text)),
  );
  byId("runners").replaceChildren(
    ...decision.runnersUp.slice(0, 5).map((row) => {
      const gaps = data.objectives.map((objective, i) => {
        const far = gap(objective, values[row][i] - values[pick][i]);
        return `${lower(objective.words)} ${withUnit(objective, values[row][i])} (${far})`;
      });
      const sure = data.details[row] ? data.details[row].sure : "";
      const text = `: ${gaps.join(", ")}${sure ? `; ${sure}` : ""}`;
      return element("li", {}, element("b", {}, id[row]), text);
    }),
  );
}
