// "Move the noise" in the chapter on gradients: draws of the noise eps on one line, and what
// z = mu + sigma * eps makes of them on another. For f(z) = z^2 it shows how f changes with mu and
// sigma while the noise stays: 2z and 2z * eps. A test compares them with vae_teach.estimators.
"use strict";

const noiseSlider = (() => {
  const { axis, fill, logNormal, points, range, read, table, text } = slider;
  // Twelve draws of a standard normal, to two digits.
  const DRAWS = [1.54, -0.29, -2.18, 0.57, -1.08, -1.4, 0.4, 0.84, -0.72, -0.4, -0.6, 0.18];

  const gradient = (mu, sigma, eps) => {
    const z = mu + sigma * eps;
    return [2 * z, 2 * z * eps];
  };

  // At one value of the noise, on average over the draws, and for the average of z^2 itself, which
  // is mu^2 + sigma^2.
  function compute(mu, sigma, eps) {
    const all = DRAWS.map(draw => gradient(mu, sigma, draw));
    const mean = [0, 1].map(i => all.reduce((sum, pair) => sum + pair[i], 0) / DRAWS.length);
    return { z: mu + sigma * eps, one: gradient(mu, sigma, eps), mean, exact: [2 * mu, 2 * sigma] };
  }

  const NAMES = {
    one: "your sample",
    mean: `mean of the ${DRAWS.length} draws`,
    exact: "exact",
  };
  // Both lines have one scale, so that for mu = 0 and sigma = 1 all arrows stand upright.
  const WIDTH = 600, HEIGHT = 350, SHOWN = 6, NOISE = 65, CODES = 215, SCALE = 100;
  const xs = Array.from({ length: 601 }, (_, i) => -SHOWN + i / 50);
  const toX = x => (x + SHOWN) / (2 * SHOWN) * WIDTH;
  const arrow = name => `<g class="${name}"><line/><path/><circle r="5" cy="${NOISE}"/></g>`;

  function mount(root) {
    root.innerHTML = `
      ${range("mu", "mean μ", { min: -1.5, max: 1.5, step: 0.05, value: 0.5 })}
      ${range("sigma", "standard deviation σ", { min: 0.4, max: 1.5, step: 0.05, value: 0.8 })}
      ${range("eps", "your noise ε", { min: -2.5, max: 2.5, step: 0.05, value: 1 })}
      <svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="Draws of the noise on a line, and
        arrows from each to its z on a second line below; over each line the density">
        <polyline class="noise"/><polyline class="codes"/>
        <line class="axis" x1="0" x2="${WIDTH}" y1="${NOISE}" y2="${NOISE}"/>
        ${axis([-4, -2, 0, 2, 4], toX, WIDTH, CODES, HEIGHT - 6)}
        ${DRAWS.map(() => arrow("draw")).join("")}${arrow("one")}
        <text x="4" y="${NOISE - 12}">noise ε</text><text x="4" y="${CODES + 28}">code z</text>
      </svg>
      <p class="sum" aria-live="polite"></p>
      ${table(["∂f/∂μ = 2z", "∂f/∂σ = 2zε"], NAMES)}`;

    const find = selector => root.querySelector(selector);
    const arrows = [...root.querySelectorAll("g")];

    function place(group, eps, z) {
      const [line, head, start] = group.children;
      const from = toX(eps), to = toX(z);
      // The head, 11 long, points along the line and touches the axis of the codes.
      const angle = Math.atan2(CODES - NOISE, to - from) * 180 / Math.PI;
      head.setAttribute("d", "M0 0l-11 -5v10z");
      head.setAttribute("transform", `translate(${to} ${CODES}) rotate(${angle})`);
      Object.entries({ x1: from, y1: NOISE, x2: to, y2: CODES }).forEach(([name, value]) =>
        line.setAttribute(name, value));
      start.setAttribute("cx", from);
    }

    function draw() {
      const { mu, sigma, eps } = read(root);
      const { z, ...rows } = compute(mu, sigma, eps);
      [...DRAWS, eps].forEach((noise, i) => place(arrows[i], noise, mu + sigma * noise));
      const curve = (name, m, s, toY) => find(`polyline.${name}`).setAttribute("points",
        points(xs, x => Math.exp(logNormal(x, m, s)), toX, toY));
      curve("noise", 0, 1, density => NOISE - SCALE * density);
      curve("codes", mu, sigma, density => CODES + SCALE * density);
      Object.entries(rows).forEach(([name, values]) => fill(root, name, values));
      find(".sum").textContent
        = `z = μ + σ ε = ${text(z)}, and f(z) = z² = ${text(z * z)}`;
    }

    root.querySelectorAll("input").forEach(input => input.addEventListener("input", draw));
    draw();
  }

  return { DRAWS, compute, mount };
})();

slider.mountAll(".noise-slider", noiseSlider.mount);
