// Lists of records: ticks in ranges, how many are ticked, comparisons that fit the field, and what people did.
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

  // The form that asks what people did: only the boxes that belong to the choice, and values to choose from.
  const fitBehaviour = (form) => {
    const what = form.elements.did_what.value;
    const days = form.elements.did_days.value;
    for (const field of form.querySelectorAll("[data-for]")) field.hidden = !field.dataset.for.split(" ").includes(what);
    for (const field of form.querySelectorAll("[data-days]")) field.hidden = field.dataset.days !== days;
    for (const input of form.querySelectorAll(":is([data-for], [data-days]) input")) {
      input.required = !input.closest("[hidden]") && input.name !== "did_text";
    }
    const value = form.elements.did_value;
    const label = form.querySelector("[data-labels]");
    label.textContent = JSON.parse(label.dataset.labels)[what] || label.textContent;
    value.placeholder = JSON.parse(value.dataset.placeholders)[what] || "";
  };

  const suggest = async (form) => {
    const list = form.querySelector("[data-values]");
    const what = form.elements.did_what.value;
    if (list.dataset.what === what) return;
    list.dataset.what = what;
    const answer = await fetch(`${list.dataset.values}?what=${what}`).catch(() => null);
    const values = answer?.ok ? await answer.json() : [];
    if (list.dataset.what !== what) return;
    list.replaceChildren(...values.map((value) => Object.assign(document.createElement("option"), { value })));
  };

  const prepare = () => {
    for (const form of document.querySelectorAll("[data-selection]")) show(form);
    for (const comparison of document.querySelectorAll("[data-comparison]")) fitOperators(comparison);
    for (const form of document.querySelectorAll("[data-behaviour]")) fitBehaviour(form);
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
    const behaviour = change.target.closest?.("[data-behaviour]");
    if (behaviour) fitBehaviour(behaviour);
  });
  document.addEventListener("focusin", (focus) => {
    if (focus.target.name === "did_value") suggest(focus.target.form);
  });
  document.addEventListener("htmx:after:swap", prepare);
  prepare();
})();
