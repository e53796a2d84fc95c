// "Move q yourself" in the chapter on the evidence lower bound: the lamp strip of
// vae_teach.exact_models, by the same sums over the same grid. A test compares the two.
"use strict";

const elboSlider = (() => {
  const LIMIT = 20, STEP = 0.01, LAMPS = 8;
  const HALF_LOG_2PI = 0.5 * Math.log(2 * Math.PI);
  const grid = Array.from({ length: 2 * LIMIT / STEP + 1 }, (_, i) => -LIMIT + i * STEP);

  const logit = (lamp, z) => 3 - 1.5 * (lamp - 3.5 - 2.5 * z) ** 2;
  const softplus = a => Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a)));
  const logNormal = (z, mu, sigma) =>
    -0.5 * ((z - mu) / sigma) ** 2 - Math.log(sigma) - HALF_LOG_2PI;

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
  const nats = value => value.toFixed(2).replace("-", "\u2212");

  function curve(height, top, density) {
    return grid
      .filter(z => Math.abs(z) <= SHOWN)
      .map(z => `${((z + SHOWN) / (2 * SHOWN) * WIDTH).toFixed(1)},`
        + (height - height * 0.95 * Math.min(density(z) / top, 1.05)).toFixed(1))
      .join(" ");
  }

  function mount(root) {
    root.innerHTML = `
      <div class="lamps" role="group" aria-label="The image: eight lamps">
        ${Array.from({ length: LAMPS }, (_, d) =>
          `<button type="button" aria-pressed="false" aria-label="lamp ${d}"></button>`).join("")}
      </div>
      <label>mean of q <input type="range" name="mu" min="-4" max="4" step="0.02" value="0"
        aria-label="mean of q">
        <output name="mu"></output></label>
      <label>deviation of q <input type="range" name="sigma" min="0.1" max="2" step="0.01" value="1"
        aria-label="deviation of q">
        <output name="sigma"></output></label>
      <svg viewBox="0 0 ${WIDTH} 190" role="img" aria-label="The posterior of the image, and q">
        <polygon class="posterior"/><polyline class="q"/>
        <line x1="0" x2="${WIDTH}" y1="160" y2="160" class="axis"/>
        ${[-4, -2, 0, 2, 4].map(z => `<text x="${Math.min(Math.max((z + 4) * 75, 12), 588)}" y="182"
          text-anchor="middle">${String(z).replace("-", "\u2212")}</text>`).join("")}
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
      const mu = Number(find("input[name=mu]").value);
      const sigma = Number(find("input[name=sigma]").value);
      const { logEvidence, elbo, gap } = compute(image, mu, sigma, known);
      find("output[name=mu]").value = nats(mu);
      find("output[name=sigma]").value = nats(sigma);
      const posterior = z => Math.exp(known.logJoint[Math.round((z + LIMIT) / STEP)] - logEvidence);
      const top = Math.max(...grid.map(posterior), 1 / (sigma * Math.sqrt(2 * Math.PI)));
      find("polygon").setAttribute("points", `0,160 ${curve(160, top, posterior)} ${WIDTH},160`);
      find("polyline").setAttribute("points",
        curve(160, top, z => Math.exp(logNormal(z, mu, sigma))));
      const split = WIDTH * Math.max(0, 1 - gap / NATS);
      find("rect.elbo").setAttribute("width", split);
      find("rect.gap").setAttribute("x", split);
      find("rect.gap").setAttribute("width", WIDTH - split);
      find("span.elbo").textContent = `ELBO ${nats(elbo)}`;
      find("span.gap").textContent = `KL(q to posterior) ${nats(gap)}`;
      find("span.total").textContent = `log p(x) ${nats(logEvidence)}`;
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

document.querySelectorAll(".elbo-slider").forEach(elboSlider.mount);
