// What the book's sliders share. Each page that has one loads this file before its own script.
"use strict";

const slider = {
  LOG_2PI: Math.log(2 * Math.PI),

  logNormal: (z, mu, sigma) =>
    -0.5 * ((z - mu) / sigma) ** 2 - Math.log(sigma) - 0.5 * slider.LOG_2PI,

  // A number for the eye, with a minus sign in place of the hyphen; never "-0.00".
  text: (value, digits = 2) =>
    value.toFixed(digits).replace(/^-(?=[0.]*$)/, "").replace("-", "\u2212"),

  // The markup of a labelled slider with its value beside it. Its name is the label alone:
  // a value within the name would be read out twice.
  range: (name, label, { min, max, step, value }) => `
    <label>${label} <input type="range" name="${name}" min="${min}" max="${max}" step="${step}"
      value="${value}" aria-label="${label}"> <output name="${name}"></output></label>`,

  // The values of all sliders in `root` by name; shows each beside its slider.
  read(root) {
    const inputs = [...root.querySelectorAll("input[type=range]")];
    return Object.fromEntries(inputs.map(input => {
      root.querySelector(`output[name=${input.name}]`).value = slider.text(Number(input.value));
      return [input.name, Number(input.value)];
    }));
  },

  // The points of a polyline: f at each x, in the coordinates of a drawing.
  points: (xs, f, toX, toY) =>
    xs.map(x => `${toX(x).toFixed(1)},${toY(f(x)).toFixed(1)}`).join(" "),

  // A horizontal axis: its line at height y, and its numbers at height `below`.
  axis(numbers, toX, width, y, below) {
    const inside = x => Math.min(Math.max(x, 14), width - 14);
    return `<line class="axis" x1="0" x2="${width}" y1="${y}" y2="${y}"/>`
      + numbers.map(x => `<text x="${inside(toX(x))}" y="${below}" text-anchor="middle">${
        slider.text(x, 0)}</text>`).join("");
  },

  // A table of numbers: the heads of its columns, and for each row its class and its name.
  table: (heads, rows) => `<table aria-live="polite">
    <thead><tr><td></td>${heads.map(head => `<th scope="col">${head}</th>`).join("")}</tr></thead>
    <tbody>${Object.entries(rows).map(([name, label]) => `<tr class="${name}">
      <th scope="row"><span class="${name}">${label}</span></th>${
        "<td></td>".repeat(heads.length)}</tr>`).join("")}</tbody></table>`,

  // Puts numbers into a row of such a table.
  fill: (root, row, values) => root.querySelectorAll(`tr.${row} > td`).forEach((cell, i) => {
    cell.textContent = slider.text(values[i]);
  }),

  // Every element of this class becomes a slider.
  mountAll: (selector, mount) => document.querySelectorAll(selector).forEach(root => {
    mount(root);
  }),
};
