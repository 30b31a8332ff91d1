// The list of jobs: ticking all on the page, and saying how many are ticked. The form works without it.
(() => {
  "use strict";

  const formOf = (element) => element.closest?.("[data-selection]");
  const ones = (form) => [...form.querySelectorAll("[data-selection-one]")];

  const tickAll = (form, isTicked) => {
    for (const one of ones(form)) one.checked = isTicked;
  };

  const describe = (ticked) => (ticked === 1 ? "The ticked job" : `The ${ticked} ticked jobs`);

  const show = (form) => {
    const all = ones(form);
    const ticked = all.filter((one) => one.checked).length;
    const box = form.querySelector("[data-selection-all]");
    box.checked = ticked > 0 && ticked === all.length;
    box.indeterminate = ticked > 0 && ticked < all.length;
    form.querySelector("[data-selection-count]").textContent = ticked ? describe(ticked) : "The ticked jobs";
    const isIdle = !ticked && form.querySelector("[data-selection-scope]").value === "ticked";
    for (const verb of form.querySelectorAll("[data-selection-verb]")) verb.disabled = isIdle;
    say(form, ticked ? `${ticked} of ${all.length} ticked` : "");
  };

  const say = (form, words) => {
    const status = form.querySelector("[data-selection-status]");
    if (status.textContent !== words) status.textContent = words;
  };

  const showAll = () => document.querySelectorAll("[data-selection]").forEach(show);

  document.addEventListener("change", (change) => {
    const form = formOf(change.target);
    if (!form) return;
    if (change.target.matches("[data-selection-all]")) tickAll(form, change.target.checked);
    show(form);
  });
  document.addEventListener("htmx:after:swap", showAll);
  showAll();
})();
