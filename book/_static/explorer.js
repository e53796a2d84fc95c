// The explorer in the chapter on the latent space: recorded models with two latents, alive in the
// page. Their weights, and digits to try them on, are written by `python -m vae_teach
// export-explorer`, whose module says what the files hold. A test compares what is computed here
// with PyTorch.
"use strict";

const explorer = (() => {
  const { text } = slider;
  const FOLDER = new URL("explorer/", document.currentScript.src);
  const SIDE = 28, PIXELS = SIDE * SIDE;
  const MODELS = {
    "dense-2": {
      label: "VAE",
      about: "Trained on the ELBO. The dashed circles are the prior, at 1, 2 and 3 standard deviations.",
    },
    "autoencoder-2": {
      label: "without KL",
      about: "The same network with no noise and no KL. Mind the scale: the circles are the VAE's.",
      plain: true,
    },
    "dense-2-beta4": {
      label: "β = 4",
      about: "The same again, with the KL counted four times. What became of the clouds?",
    },
  };

  // ---- The files ----

  // A script that puts its content into explorerData: fetch does not work in a page from a folder.
  const load = name => new Promise((done, fail) => {
    if (window.explorerData?.[name]) return done(window.explorerData[name]);
    const script = document.createElement("script");
    script.src = new URL(`${name}.js`, FOLDER);
    script.onload = () => done(window.explorerData[name]);
    script.onerror = () => fail(new Error(`the file _static/explorer/${name}.js could not be loaded`));
    document.head.append(script);
  });

  const bytes = base64 => Uint8Array.from(atob(base64), character => character.charCodeAt(0));
  const floats = base64 => new Float32Array(bytes(base64).buffer);

  const SIX_BITS = new Uint8Array(128);
  [..."ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"].forEach((character, i) => {
    SIX_BITS[character.charCodeAt(0)] = i;
  });

  // Three characters for each number, and a scale for each row of them.
  function unpack(packed, scales) {
    const weight = new Float32Array(packed.length / 3), width = weight.length / scales.length;
    const bits = i => SIX_BITS[packed.charCodeAt(i)];
    for (let i = 0; i < weight.length; i++) {
      const whole = bits(3 * i) << 12 | bits(3 * i + 1) << 6 | bits(3 * i + 2);
      weight[i] = (whole - 2 ** 17) * scales[Math.floor(i / width)];
    }
    return weight;
  }

  const layer = ({ bias, weight, packed, scales }) =>
    ({ bias: floats(bias), weight: packed ? unpack(packed, floats(scales)) : floats(weight) });

  const pairs = flat => Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i], flat[2 * i + 1]]);

  const open = ({ encoder, decoder, means }) =>
    ({ encoder: encoder.map(layer), decoder: decoder.map(layer), means: pairs(floats(means)) });

  // ---- The model ----

  function dense({ weight, bias }, input) {
    const output = new Float64Array(bias.length);
    for (let row = 0, at = 0; row < bias.length; row++) {
      let sum = bias[row];
      for (let i = 0; i < input.length; i++, at++) sum += weight[at] * input[i];
      output[row] = sum;
    }
    return output;
  }

  const network = ([first, second], input) =>
    dense(second, dense(first, input).map(value => Math.max(value, 0)));

  const encode = (model, x) => {
    const out = [...network(model.encoder, x)];
    return { mu: out.slice(0, 2), logvar: out.slice(2) };
  };
  const decode = (model, z) => network(model.decoder, z); // logits
  const sigmoid = a => 1 / (1 + Math.exp(-a));
  const softplus = a => Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a)));

  const kl = ({ mu, logvar }) =>
    mu.reduce((sum, m, i) => sum + (m * m + Math.exp(logvar[i]) - logvar[i] - 1) / 2, 0);
  const logLikelihood = (x, logits) => logits.reduce((sum, a, i) => sum + x[i] * a - softplus(a), 0);

  const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
  const sample = ({ mu, logvar }, eps) => mu.map((m, i) => m + Math.exp(logvar[i] / 2) * eps[i]);
  const between = (a, b, share) => a.map((value, i) => value + share * (b[i] - value));

  // ---- A drawing, made like a digit of MNIST ----

  const BOX = 20, PEN = 2.8; // pixels

  const square = side => Object.assign(document.createElement("canvas"), { width: side, height: side });

  function trace(context, strokes, place, pen) {
    Object.assign(context, { lineWidth: pen, lineCap: "round", lineJoin: "round", strokeStyle: "#fff" });
    for (const stroke of strokes) {
      context.beginPath();
      [stroke[0], ...stroke].forEach(point => context.lineTo(...place(point)));
      context.stroke();
    }
  }

  // Strokes fill a box of 20 pixels, and their centre of mass comes to the middle of the 28.
  function likeMnist(strokes) {
    const points = strokes.flat();
    const low = [0, 1].map(i => Math.min(...points.map(point => point[i])));
    const high = [0, 1].map(i => Math.max(...points.map(point => point[i])));
    const scale = (BOX - PEN) / Math.max(high[0] - low[0], high[1] - low[1], 0.1);
    const context = square(SIDE).getContext("2d", { willReadFrequently: true });
    const draw = shift => {
      context.clearRect(0, 0, SIDE, SIDE);
      trace(context, strokes, point => point.map((value, i) =>
        SIDE / 2 + scale * (value - (low[i] + high[i]) / 2) + shift[i]), PEN);
      const { data } = context.getImageData(0, 0, SIDE, SIDE);
      return Float64Array.from({ length: PIXELS }, (_, i) => data[4 * i + 3] / 255);
    };
    const x = draw([0, 0]), mass = x.reduce((a, b) => a + b);
    const centre = step => x.reduce((sum, value, i) => sum + value * step(i), 0) / mass;
    return draw([SIDE / 2 - centre(i => i % SIDE), SIDE / 2 - centre(i => Math.floor(i / SIDE))]);
  }

  // ---- The page ----

  const SIZE = 400, DOT = 3; // the plane, and a dot's radius, in units of the plane
  const DRAWS = 4, STAGES = 9, WALK = 3000; // milliseconds
  const IMAGE_X = "x"; // the way may begin at the image on the left

  // Images side by side, `columns` in a row.
  function paint(canvas, images, columns = images.length) {
    Object.assign(canvas, { width: columns * SIDE, height: Math.ceil(images.length / columns) * SIDE });
    const context = canvas.getContext("2d");
    images.forEach((image, i) => {
      const tile = context.createImageData(SIDE, SIDE);
      image.forEach((value, pixel) => {
        tile.data.fill(255 * value, 4 * pixel, 4 * pixel + 3);
        tile.data[4 * pixel + 3] = 255;
      });
      context.putImageData(tile, i % columns * SIDE, Math.floor(i / columns) * SIDE);
    });
  }

  // The square of the plane that is shown: one for all that have a prior, so that the eye may compare
  // them; for others one that holds all but the outermost codes.
  const AROUND_THE_PRIOR = { middle: [0, 0], reach: 3.8 };

  function frame(means) {
    const ends = [0, 1].map(axis => {
      const sorted = means.map(mean => mean[axis]).sort((a, b) => a - b);
      const cut = Math.floor(means.length / 100);
      return [sorted[cut], sorted.at(-1 - cut)];
    });
    const reach = 1.1 * Math.max(...ends.map(([low, high]) => high - low)) / 2;
    return { middle: ends.map(([low, high]) => (low + high) / 2), reach };
  }

  // Names at the median centres, moved apart until none hides another.
  function nameplates(points, labels, gap) {
    const median = values => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
    const places = Array.from({ length: 10 }, (_, digit) => {
      const own = points.filter((_, i) => labels[i] === digit);
      return [0, 1].map(axis => median(own.map(point => point[axis])));
    });
    for (let round = 0; round < 100; round++)
      for (const a of places) for (const b of places) {
        const apart = Math.hypot(a[0] - b[0], a[1] - b[1]);
        if (a !== b && apart < gap) [0, 1].forEach(axis => {
          const push = (gap - apart) / 4 * (a[axis] - b[axis]) / apart;
          a[axis] += push;
          b[axis] -= push;
        });
      }
    return places;
  }

  const MARKUP = `
    <fieldset class="models"><legend>Model</legend>
      ${Object.entries(MODELS).map(([name, { label }], i) => `<label><input type="radio"
        name="explorer-model" value="${name}"${i ? "" : " checked"}> ${label}</label>`).join("")}
    </fieldset>
    <div class="board">
      <p class="about"></p>
      <div class="in">
        <canvas class="pad" width="280" height="280" role="img"></canvas>
        <p class="caption">image x:<br>draw your own</p>
        <div class="tools"><button type="button" class="clear">clear</button>
          <canvas class="seen" role="img" aria-label="your drawing as the encoder sees it"></canvas></div>
      </div>
      <div class="plane">
        <svg viewBox="0 0 ${SIZE} ${SIZE}" aria-hidden="true">
          <g class="ticks"></g><g class="cloud"></g><g class="prior"></g><g class="names"></g>
          <polyline class="way"/><ellipse class="q"/><g class="drawn"></g>
        </svg>
        <div class="handle" role="slider" tabindex="0" aria-label="code z, moved by the arrow keys"></div>
        <p class="hint">drag the point</p>
      </div>
      <div class="out">
        <canvas class="decoded" role="img"></canvas>
        <p class="caption at"></p>
      </div>
      <div class="draws">
        <canvas role="img"></canvas>
        <p class="caption"></p>
        <button type="button" class="resample">resample ε</button>
      </div>
    </div>
    <div class="pick" role="group" aria-label="Pick a digit">
      ${Array.from({ length: 10 }, (_, digit) =>
        `<button type="button" aria-label="pick a ${digit}">${digit}</button>`).join("")}
    </div>
    <p class="caption">Press a digit again for one by another hand. A drawing is scaled and centred as
      MNIST's digits are.</p>
    <p class="sum"></p>
    <div class="walk">
      <label>From <select name="from"><option value="${IMAGE_X}">image x</option></select></label>
      <label>to <select name="to"></select></label>
      <button type="button">Walk</button>
      <canvas role="img"></canvas>
    </div>
    <p class="status" role="status"></p>`;

  async function mount(root) {
    let digits, model;
    try {
      digits = await load("digits");
      model = open(await load("dense-2"));
    } catch (error) {
      root.style.minHeight = 0;
      root.innerHTML = `<p>The explorer cannot open: ${error.message}.</p>`;
      return;
    }
    const greys = bytes(digits.images);
    const images = [...digits.labels].map((label, i) => ({
      label: Number(label),
      x: Float64Array.from(greys.subarray(i * PIXELS, (i + 1) * PIXELS), grey => grey / 255),
    }));
    const labels = [...digits.cloud].map(Number);
    root.innerHTML = MARKUP;
    const find = selector => root.querySelector(selector);
    const pad = find(".pad"), plane = find(".plane"), handle = find(".handle");
    const still = matchMedia("(prefers-reduced-motion: reduce)");

    const eps = () => Array.from({ length: DRAWS }, () => [normal(), normal()]);
    let settings = MODELS["dense-2"], view, picked = 0, strokes = null;
    let x, q, z, noise = eps(), walking = 0;

    const toX = value => SIZE / 2 * (1 + (value - view.middle[0]) / view.reach);
    const toY = value => SIZE / 2 * (1 - (value - view.middle[1]) / view.reach);
    const radius = length => SIZE / 2 * length / view.reach;
    const place = ([a, b]) => `${toX(a).toFixed(1)},${toY(b).toFixed(1)}`;

    // The digit whose code is nearest to a point.
    function nearest(point) {
      const distance = ([a, b]) => (a - point[0]) ** 2 + (b - point[1]) ** 2;
      let best = 0;
      model.means.forEach((mean, i) => { if (distance(mean) < distance(model.means[best])) best = i; });
      return labels[best];
    }

    const what = () => strokes ? "your drawing" : `a ${images[picked].label}`;
    const say = message => { find(".status").textContent = message; };

    function showModel() {
      view = settings.plain ? frame(model.means) : AROUND_THE_PRIOR;
      find(".about").textContent = settings.about;
      const places = model.means.map(([a, b]) => [toX(a), toY(b)]);
      const inside = place => place.every(value => value > DOT && value < SIZE - DOT);
      // A line of no length with round ends is a dot; one path for each digit keeps the page light.
      const dots = digit => places.filter((place, i) => labels[i] === digit && inside(place))
        .map(([left, top]) => `M${left.toFixed(1)} ${top.toFixed(1)}h0`).join("");
      find(".cloud").innerHTML = Array.from({ length: 10 }, (_, digit) =>
        `<path class="d${digit}" d="${dots(digit)}"/>`).join("");
      find(".prior").innerHTML = [1, 2, 3].map(length =>
        `<circle cx="${toX(0)}" cy="${toY(0)}" r="${radius(length)}"/>`).join("")
        + (settings.plain ? "" : `<text x="${toX(2.2) + 18}" y="${toY(-2.2) + 12}">prior</text>`);
      find(".names").innerHTML = nameplates(places, labels, 26).map(([left, top], digit) =>
        `<text class="d${digit}" x="${left}" y="${top}">${digit}</text>`).join("");
      const step = settings.plain ? 20 : 2;
      const within = axis => [-2, -1, 0, 1, 2, 3, 4].map(times => step * times)
        .filter(value => Math.abs(value - view.middle[axis]) < 0.85 * view.reach);
      find(".ticks").innerHTML = `<path d="M0 ${toY(0)}H${SIZE}M${toX(0)} 0V${SIZE}"/>`
        + within(0).map(value => `<text x="${toX(value)}" y="${SIZE - 6}">${text(value, 0)}</text>`).join("")
        + within(1).map(value => `<text x="16" y="${toY(value) + 5}">${text(value, 0)}</text>`).join("");
    }

    // The cloud of x, draws from it and the two terms.
    function showCloud() {
      const sigma = settings.plain ? [0, 0] : q.logvar.map(value => Math.exp(value / 2));
      const [rx, ry] = sigma.map(value => radius(2 * value));
      Object.entries({ cx: toX(q.mu[0]), cy: toY(q.mu[1]), rx, ry }).forEach(([key, value]) =>
        find(".q").setAttribute(key, value));
      const codes = settings.plain ? [q.mu] : noise.map(draw => sample(q, draw));
      find(".drawn").innerHTML = codes.map(([a, b]) =>
        `<circle cx="${toX(a)}" cy="${toY(b)}" r="2.5"/>`).join("");
      const logits = codes.map(code => decode(model, code));
      paint(find(".draws canvas"), logits.map(all => all.map(sigmoid)), settings.plain ? 1 : 2);
      const fit = logits.reduce((sum, all) => sum + logLikelihood(x, all), 0) / codes.length;
      find(".draws canvas").setAttribute("aria-label",
        settings.plain ? "the code of x, decoded" : "four draws from the cloud of x, decoded");
      find(".draws .caption").textContent
        = settings.plain ? "no noise, so\nonly one code" : "4 draws from\nq(z | x)";
      find(".resample").disabled = Boolean(settings.plain);
      find(".sum").innerHTML = settings.plain
        ? `<b class="fit">log p(x | z) = ${text(fit, 1)}</b> nats, and no KL here: so this is no ELBO.`
        : `<b class="fit">log p(x | z) = ${text(fit, 1)}</b>, <b class="kl">KL = ${text(kl(q), 1)}</b>,
          <b class="elbo">ELBO = ${text(fit - kl(q), 1)}</b> nats, mean of the 4 draws`;
    }

    // All that follows from x.
    function showImage() {
      q = encode(model, x);
      showCloud();
      const seen = find(".seen");
      paint(seen, [x]);
      seen.hidden = find(".clear").disabled = !strokes;
      pad.setAttribute("aria-label", `image x: ${what()}. Draw here with mouse or finger, or pick a digit`);
      showCode(q.mu);
    }

    // All that follows from z. The handle stays in sight, wherever z is.
    function showCode(code) {
      z = code;
      const logits = decode(model, z), neighbour = nearest(z);
      const inside = value => Math.min(Math.max(value / SIZE * 100, 0), 100);
      handle.style.left = `${inside(toX(z[0]))}%`;
      handle.style.top = `${inside(toY(z[1]))}%`;
      paint(find(".decoded"), [logits.map(sigmoid)]);
      find(".decoded").setAttribute("aria-label", `your code, decoded; it lies next to a ${neighbour}`);
      find(".at").innerHTML = `z = ${z.map(value => text(value, settings.plain ? 1 : 2)).join(", ")}
        <br>log p(x | this z)<br>${text(logLikelihood(x, logits), 1)} nats`;
      const spoken = { now: z[0].toFixed(2), min: (view.middle[0] - view.reach).toFixed(2),
        max: (view.middle[0] + view.reach).toFixed(2),
        text: `${text(z[0])}, ${text(z[1])}, next to a ${neighbour}` };
      Object.entries(spoken).forEach(([key, value]) => handle.setAttribute(`aria-value${key}`, value));
    }

    const end = select => select.value === IMAGE_X ? q.mu
      : encode(model, images.find(({ label }) => label === Number(select.value)).x).mu;
    const ends = () => [find("[name=from]"), find("[name=to]")].map(end);

    function showWay() {
      const [from, to] = ends();
      const stages = Array.from({ length: STAGES }, (_, i) => between(from, to, i / (STAGES - 1)));
      paint(find(".walk canvas"), stages.map(stage => decode(model, stage).map(sigmoid)));
      find(".walk canvas").setAttribute("aria-label", `${STAGES} stages of the way, decoded; `
        + `they lie next to ${stages.map(nearest).join(", ")}`);
      find(".way").setAttribute("points", `${place(from)} ${place(to)}`);
    }

    const stop = () => cancelAnimationFrame(walking);

    function walk() {
      stop();
      const [from, to] = ends(), start = performance.now();
      say(find(".walk canvas").getAttribute("aria-label"));
      const step = now => {
        const share = still.matches ? 1 : Math.min(Math.max((now - start) / WALK, 0), 1);
        showCode(between(from, to, share));
        if (share < 1) walking = requestAnimationFrame(step);
      };
      step(start);
    }

    // What may wait until a hand comes to rest.
    function settle() {
      showWay();
      say(`${what()}: ${find(".sum").textContent}`);
    }

    function pick(digit) {
      const same = i => images[i].label === digit;
      const after = [...images.keys()].filter(i => same(i) && !strokes && i > picked);
      picked = same(picked) && after.length ? after[0] : images.findIndex((_, i) => same(i));
      strokes = null;
      x = images[picked].x;
      const small = square(SIDE), context = pad.getContext("2d");
      paint(small, [x]);
      context.imageSmoothingEnabled = false;
      context.drawImage(small, 0, 0, pad.width, pad.height);
      root.querySelectorAll(".pick button").forEach((button, i) =>
        button.setAttribute("aria-pressed", String(i === digit)));
      showImage();
    }

    function showDrawing() {
      const context = pad.getContext("2d");
      context.fillStyle = "#000";
      context.fillRect(0, 0, pad.width, pad.height);
      trace(context, strokes, point => point.map(value => value * pad.width), 0.08 * pad.width);
      x = strokes.length ? likeMnist(strokes) : new Float64Array(PIXELS);
      root.querySelectorAll(".pick button").forEach(button => button.setAttribute("aria-pressed", "false"));
      showImage();
    }

    // Where a pointer is within an element: shares of its width and its height.
    function at(event, element) {
      const box = element.getBoundingClientRect();
      return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    }

    function dragged(element, begin, move, finish = () => {}) {
      element.addEventListener("pointerdown", event => {
        if (event.button) return;
        stop();
        element.setPointerCapture(event.pointerId);
        begin(event);
      });
      element.addEventListener("pointermove", event => {
        if (element.hasPointerCapture(event.pointerId)) move(event);
      });
      element.addEventListener("lostpointercapture", finish);
    }

    const moveTo = event => {
      const [left, top] = at(event, plane).map(share => Math.min(Math.max(share, 0), 1));
      showCode([view.middle[0] + (2 * left - 1) * view.reach, view.middle[1] + (1 - 2 * top) * view.reach]);
    };
    dragged(plane, event => {
      event.preventDefault();
      handle.focus({ preventScroll: true });
      find(".hint").hidden = true;
      moveTo(event);
    }, moveTo);
    dragged(pad, event => {
      strokes = [...(strokes ?? []), [at(event, pad)]];
      showDrawing();
    }, event => {
      strokes.at(-1).push(at(event, pad));
      showDrawing();
    }, settle);

    handle.addEventListener("keydown", event => {
      const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
      if (!way) return;
      event.preventDefault();
      stop();
      find(".hint").hidden = true;
      const step = view.reach / (event.shiftKey ? 10 : 50);
      showCode(z.map((value, i) => value + step * way[i]));
    });
    const press = (selector, action) => find(selector).addEventListener("click", action);
    root.querySelectorAll(".pick button").forEach((button, digit) => button.addEventListener("click", () => {
      stop();
      pick(digit);
      settle();
    }));
    press(".clear", () => { stop(); strokes = []; showDrawing(); settle(); });
    press(".resample", () => { stop(); noise = eps(); showCloud(); settle(); });
    press(".walk button", walk);
    root.querySelectorAll("select").forEach(select => {
      select.insertAdjacentHTML("beforeend", Array.from({ length: 10 }, (_, digit) =>
        `<option value="${digit}">${digit}</option>`).join(""));
      select.addEventListener("change", () => { stop(); showWay(); });
    });
    root.querySelectorAll(".models input").forEach(input => input.addEventListener("change", async () => {
      stop();
      try {
        const loaded = await load(input.value);
        if (!input.checked) return; // another one was chosen meanwhile
        model = open(loaded);
      } catch (error) {
        find(".about").textContent = `The last model stays: ${error.message}.`;
        return;
      }
      settings = MODELS[input.value];
      showModel();
      showImage();
      settle();
    }));

    find("[name=to]").value = "0";
    showModel();
    pick(9);
    showWay();
  }

  return { MODELS, decode, encode, kl, likeMnist, load, logLikelihood, mount, open, sigmoid };
})();

slider.mountAll(".explorer", explorer.mount);
