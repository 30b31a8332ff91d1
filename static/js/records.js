// Lists of records: ticks in ranges, how many are ticked, and comparisons that fit the field.
(() => {
  "use strict";

  let last = null;

  const ticks = (form) => [...form.querySelectorAll("[data-tick]")];

  const show = (form) => {
    const boxes = ticks(form);
    const count = boxes.filter((box) => box.checked).length;
    const all = form.querySelector("[data-all]");
    const head = form.querySelector("[data-tick-all]");
    if (head) {
      head.checked = count > 0 && count === boxes.length;
      head.indeterminate = count > 0 && count < boxes.length;
    }
    const words = form.querySelector("[data-selection-count]");
    if (words) words.textContent = all.checked ? "All that match" : count ? `${count} ticked` : "";
    for (const button of form.querySelectorAll("button[name=verb]")) button.disabled = !count && !all.checked;
  };

  const tickRange = (form, box, click) => {
    const boxes = ticks(form);
    if (click.shiftKey && last && boxes.includes(last)) {
      const [from, to] = [boxes.indexOf(last), boxes.indexOf(box)].sort((a, b) => a - b);
      for (const between of boxes.slice(from, to + 1)) between.checked = box.checked;
    }
    last = box;
  };

  const fitOperators = (comparison) => {
    const known = comparison.querySelector("[name=field]").selectedOptions[0]?.dataset.operators.split(" ") || [];
    const operators = comparison.querySelector("[name=operator]");
    for (const option of operators.options) option.hidden = option.disabled = !known.includes(option.value);
    if (operators.selectedOptions[0]?.disabled) operators.value = known[0];
    comparison.querySelector("[name=value]").hidden = ["blank", "filled"].includes(operators.value);
  };

  const prepare = () => {
    for (const form of document.querySelectorAll("[data-selection]")) show(form);
    for (const comparison of document.querySelectorAll("[data-comparison]")) fitOperators(comparison);
  };

  document.addEventListener("click", (click) => {
    const form = click.target.closest?.("[data-selection]");
    if (!form || !click.target.matches("input[type=checkbox]")) return;
    if (click.target.matches("[data-tick]")) tickRange(form, click.target, click);
    if (click.target.matches("[data-tick-all]")) for (const box of ticks(form)) box.checked = click.target.checked;
    show(form);
  });
  document.addEventListener("change", (change) => {
    const comparison = change.target.closest?.("[data-comparison]");
    if (comparison) fitOperators(comparison);
  });
  document.addEventListener("htmx:after:swap", prepare);
  prepare();
})();
