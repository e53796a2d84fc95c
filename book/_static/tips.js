// Shows what a link points to where the link stands: on hover, on focus, and on a first tap.
// The pages' other half is book/_ext/tips.py.
(() => {
  const foreign = document.getElementById("tips");
  const tip = document.createElement("div");
  tip.id = "tip";
  tip.setAttribute("role", "tooltip");
  tip.hidden = true;
  document.body.append(tip);
  let link = null;
  let timer = 0;

  // A copy of what the link points to, or nothing.
  function targetOf(a) {
    const href = a.getAttribute("href");
    if (!href.startsWith("#"))
      return foreign?.content.querySelector(`[data-for="${CSS.escape(href)}"]`)?.cloneNode(true);
    const there = document.getElementById(decodeURIComponent(href.slice(1)));
    if (!there?.matches("div.math, dl.glossary > dt")) return null;
    const copy = document.createElement("div");
    copy.append(there.cloneNode(true));
    if (there.matches("dt")) copy.append(there.nextElementSibling.cloneNode(true));
    copy.querySelectorAll(".headerlink").forEach(e => e.remove());
    copy.querySelectorAll("[id]").forEach(e => e.removeAttribute("id"));
    return copy;
  }

  function show(a) {
    clearTimeout(timer);
    if (a === link) return;
    hide();
    const target = targetOf(a);
    if (!target) return;
    link = a;
    tip.replaceChildren(target);
    tip.hidden = false;
    a.setAttribute("aria-describedby", "tip");
    const at = a.getClientRects()[0];
    const width = document.documentElement.clientWidth;
    const left = Math.max(8, Math.min(at.left, width - tip.offsetWidth - 8));
    const above = at.top - tip.offsetHeight - 6;
    // Under the link where the bar at the top would cover it.
    tip.style.left = `${left + scrollX}px`;
    tip.style.top = `${(above > 64 ? above : at.bottom + 6) + scrollY}px`;
  }

  function hide() {
    clearTimeout(timer);
    link?.removeAttribute("aria-describedby");
    link = null;
    tip.hidden = true;
    tip.replaceChildren();
  }

  const linkAt = event => event.target.closest?.(".bd-article a[href*='#']:not(.headerlink)");
  const later = (what, after) => {
    clearTimeout(timer);
    timer = setTimeout(what, after);
  };

  // The pointer may rest on the tip, to read it or to scroll it.
  document.addEventListener("pointerover", event => {
    if (event.pointerType === "touch") return;
    const a = linkAt(event);
    if (a) later(() => show(a), 120);
    else if (tip.contains(event.target)) clearTimeout(timer);
    else later(() => link === document.activeElement || hide(), 250);
  });
  document.addEventListener("focusin", event => {
    const a = linkAt(event);
    if (a?.matches(":focus-visible")) show(a);
    else hide();
  });
  document.addEventListener("keydown", event => {
    if (event.key === "Escape") hide();
  });

  // On a touch screen the first tap shows, and the second follows the link.
  let tapped = null;
  let shown = null;
  document.addEventListener("pointerdown", event => {
    tapped = event.pointerType === "touch" ? linkAt(event) : null;
    shown = link;
    if (event.pointerType === "touch" && !tapped && !tip.contains(event.target)) hide();
  });
  document.addEventListener("click", event => {
    const a = linkAt(event);
    if (!a || a !== tapped || a === shown) return;
    show(a);
    if (a === link) event.preventDefault();
  });
})();
