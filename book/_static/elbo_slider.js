// "Move q yourself" in the chapter on the evidence lower bound: the lamp strip of
// vae_teach.exact_models, by the same sums over the same grid. A test compares the two.
"use strict";

const elboSlider = (() => {
  const LIMIT = 20, STEP = 0.01, LAMPS = 8;
  const { axis, logNormal, points, range, read, text } = slider;
  const grid = Array.from({ length: 2 * LIMIT / STEP + 1 }, (_, i) => -LIMIT + i * STEP);

  const logit = (lamp, z) => 3 - 1.5 * (lamp - 3.5 - 2.5 * z) ** 2;
  const softplus = a => Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a)));

  // log p(x, z) on the grid, and log p(x) as the logarithm of its sum.
  function exact(image) {
    const logJoint = grid.map(z => {
      let sum = logNormal(z, 0, 1);
      for (let d = 0; d < LAMPS; d++) sum += image[d] * logit(d, z) - softplus(logit(d, z));
      return sum;
    });
    const top = logJoint.reduce((a, b) => Math.max(a, b));
    const sum = logJoint.reduce((total, value) => total + Math.exp(value - top), 0);
    return { logJoint, logEvidence: top + Math.log(sum * STEP) };
  }

  // ELBO and KL(q to posterior), each by a sum of its own: neither is had by subtraction.
  function compute(image, mu, sigma, { logJoint, logEvidence } = exact(image)) {
    let elbo = 0, gap = 0;
    grid.forEach((z, i) => {
      const logQ = logNormal(z, mu, sigma);
      const weight = Math.exp(logQ) * STEP;
      if (weight > 0) {
        elbo += weight * (logJoint[i] - logQ);
        gap += weight * (logQ - (logJoint[i] - logEvidence));
      }
    });
    return { logEvidence, elbo, gap };
  }

  const WIDTH = 600, SHOWN = 4, NATS = 8; // z from -4 to 4; the bar shows 8 nats below log p(x)
  const GROUND = 160;
  const shown = grid.filter(z => Math.abs(z) <= SHOWN);
  const toX = z => (z + SHOWN) / (2 * SHOWN) * WIDTH;

  function mount(root) {
    root.innerHTML = `
      <div class="lamps" role="group" aria-label="The image: eight lamps">
        ${Array.from({ length: LAMPS }, (_, d) =>
          `<button type="button" aria-pressed="false" aria-label="lamp ${d}"></button>`).join("")}
      </div>
      ${range("mu", "mean of q", { min: -4, max: 4, step: 0.02, value: 0 })}
      ${range("sigma", "standard deviation of q", { min: 0.1, max: 3, step: 0.01, value: 1 })}
      <svg viewBox="0 0 ${WIDTH} 190" role="img" aria-label="The posterior of the image, and q">
        <polygon class="posterior"/><polyline class="q"/>
        ${axis([-4, -2, 0, 2, 4], toX, WIDTH, GROUND, 184)}
      </svg>
      <p class="legend"><span class="posterior">posterior p(z | x)</span>
        <span class="q">q(z)</span></p>
      <svg viewBox="0 0 ${WIDTH} 44" role="img" aria-label="ELBO and gap as one bar of constant length">
        <rect class="elbo" x="0" y="4" height="36"/><rect class="gap" y="4" height="36"/>
      </svg>
      <p class="sum" aria-live="polite"><span class="elbo"></span> + <span class="gap"></span>
        = <span class="total"></span></p>`;

    const image = new Array(LAMPS).fill(0);
    let known = exact(image);
    const find = selector => root.querySelector(selector);

    function draw() {
      const { mu, sigma } = read(root);
      const { logEvidence, elbo, gap } = compute(image, mu, sigma, known);
      const posterior = z => Math.exp(known.logJoint[Math.round((z + LIMIT) / STEP)] - logEvidence);
      const top = Math.max(...grid.map(posterior), 1 / (sigma * Math.sqrt(2 * Math.PI)));
      const toY = density => GROUND * (1 - 0.95 * density / top);
      find("polygon").setAttribute("points",
        `0,${GROUND} ${points(shown, posterior, toX, toY)} ${WIDTH},${GROUND}`);
      find("polyline").setAttribute("points",
        points(shown, z => Math.exp(logNormal(z, mu, sigma)), toX, toY));
      const split = WIDTH * Math.max(0, 1 - gap / NATS);
      find("rect.elbo").setAttribute("width", split);
      find("rect.gap").setAttribute("x", split);
      find("rect.gap").setAttribute("width", WIDTH - split);
      find("span.elbo").textContent = `ELBO ${text(elbo)}`;
      find("span.gap").textContent = `KL(q to posterior) ${text(gap)}`;
      find("span.total").textContent = `log p(x) ${text(logEvidence)}`;
    }

    root.querySelectorAll(".lamps button").forEach((button, d) =>
      button.addEventListener("click", () => {
        image[d] = 1 - image[d];
        button.setAttribute("aria-pressed", String(image[d] === 1));
        known = exact(image);
        draw();
      }));
    root.querySelectorAll("input").forEach(input => input.addEventListener("input", draw));
    draw();
  }

  return { compute, mount };
})();

slider.mountAll(".elbo-slider", elboSlider.mount);
