// Opens folds when a link, the address or a highlighted search hit leads into one, and gives each
// page one switch for all of them. Without this script every fold still opens by itself.
(() => {
  const folds = [...document.querySelectorAll("details.proof")];
  const open = (element) => {
    const fold = element && element.closest("details.proof");
    if (fold) fold.open = true;
    return fold;
  };

  const follow = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const fold = open(target);
    if (fold) fold.querySelector("summary").scrollIntoView({ block: "center" });
  };
  addEventListener("hashchange", follow);
  follow();

  // The search page's highlighter marks its hits once the page has loaded.
  addEventListener("load", () =>
    setTimeout(() => document.querySelectorAll("details.proof .highlighted").forEach(open)));

  const button = document.querySelector(".proof-switch");
  if (!button) return;
  const label = () => {
    const all = folds.every((fold) => fold.open);
    button.textContent = all ? "Hide all checks" : "Show all checks";
    button.setAttribute("aria-pressed", all);
    return all;
  };
  button.addEventListener("click", () => {
    const show = !label();
    folds.forEach((fold) => (fold.open = show));
    label();
  });
  folds.forEach((fold) => fold.addEventListener("toggle", label));
  label();
  button.hidden = false;
})();
