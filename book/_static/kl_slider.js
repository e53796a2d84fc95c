// "Move q yourself" in the chapter on the divergence between two Gaussians: KL(q to p) for
// q = N(mu, sigma^2) and p = N(0, 1), as the three terms of the closed form and as an area.
// A test compares both with vae_teach.divergences.
"use strict";

const klSlider = (() => {
  const { axis, logNormal, points, range, read, text } = slider;

  const excess = (z, mu, sigma) => {
    const logQ = logNormal(z, mu, sigma);
    return Math.exp(logQ) * (logQ - logNormal(z, 0, 1));
  };

  // The terms of the closed form, and the areas of the integrand above and below 0, which are
  // summed on a grid of their own: neither is had from the other.
  function compute(mu, sigma) {
    const terms = [0.5 * mu ** 2, 0.5 * (sigma ** 2 - 1), -Math.log(sigma)];
    const step = sigma / 1000;
    let above = 0, below = 0;
    for (let i = -10000; i <= 10000; i++) {
      const area = excess(mu + i * step, mu, sigma) * step;
      if (area > 0) above += area; else below -= area;
    }
    return { terms, kl: terms[0] + terms[1] + terms[2], above, below };
  }

  const NAMES = ["½ μ²", "½ (σ² − 1)", "−log σ", "KL"];
  // Wide enough for all that the sliders can set: z from -10 to 10, and left of it a place for
  // the frame of one nat, so that it never lies on the areas.
  const WIDTH = 600, HEIGHT = 270, GROUND = 195, SHOWN = 10, LEFT = 75;
  const ROW = 30, ZERO = 285, NAT = 80; // the bars: where 0 lies, and how long a nat is
  const BARS = NAMES.length * ROW + 4;
  const zs = Array.from({ length: 2001 }, (_, i) => -SHOWN + i / 100);
  const toX = z => LEFT + (z + SHOWN) / (2 * SHOWN) * (WIDTH - LEFT);

  function mount(root) {
    root.innerHTML = `
      ${range("mu", "mean μ", { min: -2, max: 2, step: 0.05, value: 1 })}
      ${range("sigma", "standard deviation σ", { min: 0.1, max: 2, step: 0.05, value: 1 })}
      <svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img"
        aria-label="The prior p, q, and the integrand q log(q/p), shaded">
        <polygon class="above"/><polygon class="below"/>
        <polyline class="p"/><polyline class="q"/>
        ${axis([-8, -4, 0, 4, 8], toX, WIDTH, GROUND, HEIGHT - 5)}
        <rect class="nat" x="8" width="${toX(2) - toX(0)}"/><text
          x="${8 + toX(1) - toX(0)}" text-anchor="middle">1 nat</text>
      </svg>
      <p class="legend"><span class="p">p</span> <span class="q">q</span>
        <span class="above"></span> <span class="below"></span></p>
      <svg class="bars" viewBox="0 0 ${WIDTH} ${BARS + 22}" role="img"
        aria-label="The three terms and their sum as bars">
        ${[0, 1, 2, 3].map(nats => `<line class="tick" x1="${ZERO + nats * NAT}"
          x2="${ZERO + nats * NAT}" y1="0" y2="${BARS}"/><text x="${ZERO + nats * NAT}"
          y="${BARS + 18}" text-anchor="middle">${nats}${nats === 3 ? " nats" : ""}</text>`).join("")}
        ${NAMES.map((name, i) => `<text x="0" y="${i * ROW + 22}">${name}</text>
          <rect y="${i * ROW + 6}" height="${ROW - 8}"/><text class="value" x="215"
            y="${i * ROW + 22}" text-anchor="end"></text>`).join("")}
        <line class="axis" x1="${ZERO}" x2="${ZERO}" y1="0" y2="${BARS}"/>
      </svg>
      <p class="sum" aria-live="polite"><span class="total"></span></p>`;

    const find = selector => root.querySelector(selector);
    const bars = [...root.querySelectorAll(".bars rect")];
    const values = [...root.querySelectorAll(".value")];

    function draw() {
      const { mu, sigma } = read(root);
      const { terms, kl, above, below } = compute(mu, sigma);
      const q = z => Math.exp(logNormal(z, mu, sigma));
      const area = z => excess(z, mu, sigma);
      // One scale for densities and areas; it shrinks when they would leave the drawing, and the
      // frame of one nat, 2 wide and 1/2 high, with it. The bars have one scale for all q.
      const scale = 170 / Math.max(0.6, ...zs.map(area), 1 / (sigma * Math.sqrt(2 * Math.PI)));
      const toY = value => GROUND - scale * value;
      const under = f => `${LEFT},${GROUND} ${points(zs, f, toX, toY)} ${WIDTH},${GROUND}`;
      find("polygon.above").setAttribute("points", under(z => Math.max(area(z), 0)));
      find("polygon.below").setAttribute("points", under(z => Math.min(area(z), 0)));
      find("polyline.p").setAttribute("points",
        points(zs, z => Math.exp(logNormal(z, 0, 1)), toX, toY));
      find("polyline.q").setAttribute("points", points(zs, q, toX, toY));
      find("rect.nat").setAttribute("y", GROUND - scale / 2);
      find("rect.nat").setAttribute("height", scale / 2);
      find("rect.nat + text").setAttribute("y", GROUND - scale / 2 - 6);
      [...terms, kl].forEach((term, i) => {
        bars[i].setAttribute("class", i === terms.length ? "sum" : term < 0 ? "lowers" : "raises");
        bars[i].setAttribute("x", ZERO + NAT * Math.min(term, 0));
        bars[i].setAttribute("width", NAT * Math.abs(term));
        values[i].textContent = text(term);
      });
      find("span.above").textContent = `blue area ${text(above)}`;
      find("span.below").textContent = `orange area ${text(below)}`;
      find("span.total").textContent = `KL(q to p) = ${text(kl)} nats`;
    }

    root.querySelectorAll("input").forEach(input => input.addEventListener("input", draw));
    draw();
  }

  return { compute, mount };
})();

slider.mountAll(".kl-slider", klSlider.mount);
