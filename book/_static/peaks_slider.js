// "Two peaks, one bell" in the chapter on divergences: p is half N(-a, s^2) and half N(a, s^2) with
// s = 0.5, and beside it stand the Gaussian q with the smallest KL(p to q), the forward fit, the one
// with the smallest KL(q to p), the reverse fit, and one to move. A test finds all of them once more
// with PyTorch.
"use strict";

const peaksSlider = (() => {
  const { LOG_2PI, axis, fill, logNormal, points, range, read, table } = slider;
  const S = 0.5;

  // log p, and its first two derivatives.
  function target(a) {
    const softplus = x => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
    return {
      log: z => logNormal(z, a, S) + softplus(-2 * a * z / S ** 2) - Math.LN2,
      first: z => (a * Math.tanh(a * z / S ** 2) - z) / S ** 2,
      second: z => (a / S ** 2 / Math.cosh(a * z / S ** 2)) ** 2 - 1 / S ** 2,
    };
  }

  // The average of f(t) over t from N(0, 1): a sum over a fine grid, exact to the last digits.
  const STEP = 0.01;
  const grid = Array.from({ length: 1801 }, (_, i) => -9 + i * STEP)
    .map(t => [t, Math.exp(-0.5 * t * t - 0.5 * LOG_2PI) * STEP]);
  const average = f => grid.reduce((sum, [t, weight]) => sum + weight * f(t), 0);

  // log p under p itself: both halves say the same, so one is enough.
  const negativeEntropy = a => average(t => target(a).log(a + S * t));

  // Both divergences of q = N(mu, sigma^2).
  function divergences(a, mu, sigma) {
    const { log } = target(a);
    const surprise = 0.5 * LOG_2PI + Math.log(sigma);
    return {
      forward: negativeEntropy(a) + surprise + (S ** 2 + a ** 2 + mu ** 2) / (2 * sigma ** 2),
      reverse: -surprise - 0.5 - average(t => log(mu + sigma * t)),
    };
  }

  // Where KL(q to p) is smallest near a beginning: Newton's steps in mu and sigma where they lead
  // down, and elsewhere a step towards sigma^2 = -1 / E[(log p)''] and E[(log p)'] = 0, which hold
  // at the place. By such a step a variance grows by a fifth at most.
  function descend(a, mu, sigma) {
    const { first, second } = target(a);
    const cost = (m, s) => divergences(a, m, s).reverse;
    let kl = cost(mu, sigma);
    for (let i = 0; i < 200; i++) {
      const mean = (f, power) => average(t => f(mu + sigma * t) * t ** power);
      const bend = mean(second, 0), byMu = -mean(first, 0), bySigma = -1 / sigma - mean(first, 1);
      const mixed = -mean(second, 1), twice = 1 / sigma ** 2 - mean(second, 2);
      const determinant = -bend * twice - mixed ** 2;
      let next = [mu - (twice * byMu - mixed * bySigma) / determinant,
        sigma - (-bend * bySigma - mixed * byMu) / determinant];
      if (bend >= 0 || determinant <= 0 || next[1] <= 0 || cost(...next) > kl) {
        const precision = Math.max(-bend, 1 / (1.2 * sigma ** 2));
        next = [mu - byMu / precision, Math.sqrt(1 / precision)];
      }
      const change = Math.abs(next[0] - mu) + Math.abs(next[1] - sigma);
      [mu, sigma] = next;
      kl = cost(mu, sigma);
      if (change < 1e-8) break;
    }
    return { mu, sigma, kl };
  }

  // Moments matched, which is exact; and the better of two descents, one from the right peak and
  // one from the middle. (The left peak is as good as the right one.)
  function compute(a) {
    const wide = { mu: 0, sigma: Math.sqrt(S ** 2 + a ** 2) };
    const [best] = [descend(a, a, S), descend(a, 0, wide.sigma)]
      .sort((one, other) => one.kl - other.kl);
    return { forward: { ...wide, kl: divergences(a, wide.mu, wide.sigma).forward }, reverse: best };
  }

  const NAMES = {
    forward: "forward fit",
    reverse: "reverse fit",
    yours: "your q",
  };
  const WIDTH = 600, HEIGHT = 230, GROUND = 195, SHOWN = 10;
  const SCALE = 180; // of a density of 1; the highest one that can be had is 0.997
  const zs = Array.from({ length: 1001 }, (_, i) => -SHOWN + i / 50);
  const toX = z => (z + SHOWN) / (2 * SHOWN) * WIDTH;
  const toY = density => GROUND - SCALE * density;

  function mount(root) {
    root.innerHTML = `
      ${range("a", "the peaks of p lie at −a and a", { min: 0, max: 3, step: 0.05, value: 1 })}
      ${range("mu", "mean of your q", { min: -3, max: 3, step: 0.05, value: 0 })}
      ${range("sigma", "standard deviation of your q", { min: 0.4, max: 3.2, step: 0.05, value: 1 })}
      <svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img"
        aria-label="The density p with its two peaks, and three Gaussians over it">
        <polygon class="p"/>
        ${Object.keys(NAMES).map(name => `<polyline class="${name}"/>`).join("")}
        ${axis([-8, -4, 0, 4, 8], toX, WIDTH, GROUND, HEIGHT - 8)}
      </svg>
      <p class="legend"><span class="p">p, with two peaks</span></p>
      ${table(["forward KL(p‖q)", "reverse KL(q‖p)"], NAMES)}
      <p>In nats. Each fit is the best Gaussian by its own divergence.</p>`;

    const find = selector => root.querySelector(selector);
    let known = [];

    function draw() {
      const { a, mu, sigma } = read(root);
      if (known[0] !== a) known = [a, compute(a)];
      const p = target(a);
      find("polygon").setAttribute("points",
        `0,${GROUND} ${points(zs, z => Math.exp(p.log(z)), toX, toY)} ${WIDTH},${GROUND}`);
      for (const [name, q] of Object.entries({ ...known[1], yours: { mu, sigma } })) {
        find(`polyline.${name}`).setAttribute("points",
          points(zs, z => Math.exp(logNormal(z, q.mu, q.sigma)), toX, toY));
        const { forward, reverse } = divergences(a, q.mu, q.sigma);
        fill(root, name, [forward, reverse]);
      }
    }

    root.querySelectorAll("input").forEach(input => input.addEventListener("input", draw));
    draw();
  }

  return { compute, divergences, mount };
})();

slider.mountAll(".peaks-slider", peaksSlider.mount);
