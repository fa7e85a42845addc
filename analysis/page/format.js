"use strict";
// Figures as the text report writes them, and elements whose content is always text.

function four(value) {
  // %.4g
  if (value === 0) return "0";
  const short = Number(value.toPrecision(4));
  const size = Math.floor(Math.log10(Math.abs(short)));
  if (size >= -4 && size < 4) return String(short);
  return short.toExponential().replace(/e([+-])(\d)$/, "e$10$2");
}

function formatBytes(value) {
  for (const prefix of ["", "k", "M", "G"]) {
    if (Math.abs(value) < 999.95) return `${four(value)} ${prefix}B`;
    value /= 1000;
  }
  return `${four(value)} TB`;
}

function formatValue(scale, value) {
  if (value === null || value === undefined) return "-";
  if (scale.unit === "fraction") return value.toFixed(4);
  if (scale.unit === "bytes") return formatBytes(value);
  if (Math.abs(value) >= 1e15) return four(value);
  if (Math.abs(value) >= 1000 || Number.isInteger(value)) {
    return Math.round(value).toLocaleString("en-US");
  }
  return four(value);
}

function unitOf(scale) {
  return scale.unit === "fraction" || scale.unit === "bytes" ? "" : scale.unit;
}

function withUnit(scale, value) {
  return `${formatValue(scale, value)} ${unitOf(scale)}`.trim();
}

function lower(words) {
  return /^[A-Z][a-z]/.test(words) ? words[0].toLowerCase() + words.slice(1) : words;
}

function gap(scale, value) {
  const sign = value < 0 ? "-" : "+";
  if (scale.unit === "fraction") return `${sign}${Math.abs(100 * value).toFixed(2)} points`;
  return sign + withUnit(scale, Math.abs(value));
}

function margin(bound, value) {
  if (bound.value === null || value === null) return "";
  const isSlo = bound.is_slo && [undefined, bound.value].includes(bound.first);
  const name = `the ${isSlo ? "SLO" : "limit"} of ${withUnit(bound, bound.value)}`;
  const distance = Math.abs(value - bound.value);
  if (distance === 0) return `at ${name}`;
  let amount = four(distance);
  if (bound.unit === "fraction") amount = `${(100 * distance).toFixed(2)} points`;
  else if (bound.value) amount = `${((100 * distance) / Math.abs(bound.value)).toFixed(1)} %`;
  return `${amount} ${value < bound.value ? "under" : "over"} ${name}`;
}

function element(name, properties, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties || {})) {
    if (key === "class") made.className = value;
    else if (key in made && key !== "list") made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function byId(id) {
  return document.getElementById(id);
}

function chooser(place, words, options, onChange) {
  const select = element("select");
  options.forEach((text, index) => select.append(element("option", { value: index }, text)));
  select.addEventListener("change", () => onChange(Number(select.value)));
  byId(place).append(element("label", {}, words, select));
  return select;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest(".copy");
  if (!button) return;
  const code = button.parentElement.querySelector("code");
  const done = () => {
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  };
  const select = () => {
    // Pages opened from a file may not have the clipboard.
    getSelection().selectAllChildren(code);
    if (document.execCommand("copy")) done();
  };
  if (navigator.clipboard) navigator.clipboard.writeText(code.textContent).then(done, select);
  else select();
});
