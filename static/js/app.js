// What every page does: dialogs, menus that Escape closes, messages that can be put away, texts to copy,
// and where the keyboard and the eye are after a part was swapped.
(() => {
  "use strict";

  const openDialog = (click) => {
    const opener = click.target.closest("[data-opens]");
    const dialog = opener && document.getElementById(opener.dataset.opens);
    if (!dialog) return;
    click.preventDefault();
    dialog.showModal();
  };

  const closeOnBackdrop = (click) => {
    if (click.target instanceof HTMLDialogElement) click.target.close();
  };

  const dismiss = (click) => click.target.closest("[data-dismiss]")?.closest(".alert")?.remove();

  const closeMenus = (except) => {
    for (const menu of document.querySelectorAll("details[data-menu][open]"))
      if (!menu.contains(except)) menu.open = false;
  };

  const closeMenuOnEscape = (press) => {
    if (press.key !== "Escape") return;
    const menu = document.activeElement?.closest("details[data-menu][open]") || document.querySelector("details[data-menu][open]");
    if (!menu) return;
    menu.open = false;
    menu.querySelector("summary").focus();
  };

  const select = (element) => {
    if (element instanceof HTMLInputElement) element.select();
    else getSelection().selectAllChildren(element);
  };

  // Without the right to write to the clipboard the text is at least selected.
  const copy = async (click) => {
    const button = click.target.closest("[data-copy]");
    if (!button) return;
    const source = document.getElementById(button.dataset.copy);
    const words = button.querySelector("[data-copy-words]");
    select(source);
    try {
      await navigator.clipboard.writeText(source.value ?? source.textContent);
      words.textContent = "Copied";
    } catch {
      words.textContent = "Selected: copy it with your keyboard";
    }
    setTimeout(() => (words.textContent = "Copy"), 2_500);
  };

  // An answer that was redirected is another page (signed out, saved): go there instead of swapping it in.
  const followRedirect = (arrival) => {
    const answer = arrival.detail.ctx.response.raw;
    const asked = new URL(arrival.detail.ctx.request.action, location.href);
    if (!answer.redirected || new URL(answer.url).pathname === asked.pathname) return;
    arrival.preventDefault();
    location.assign(answer.url);
  };

  const showScriptedParts = () => {
    for (const part of document.querySelectorAll("[data-dismiss], [data-needs-script]")) part.hidden = false;
    for (const part of document.querySelectorAll("[data-without-script]")) part.hidden = true;
  };

  // Who goes by keyboard stays at the same line of a swapped part, or comes to what its vanished one names instead.
  let place = null;

  const rememberPlace = () => {
    const active = document.activeElement?.closest("[data-place]");
    place = active && { key: active.dataset.place, instead: active.dataset.instead };
  };

  const returnToPlace = () => {
    if (!place || document.activeElement !== document.body) return;
    const same = [...document.querySelectorAll("[data-place]")].find((one) => one.dataset.place === place.key);
    (same ?? document.querySelector(place.instead))?.focus();
  };

  // In a row that is wider than a telephone, what is chosen may be out of sight. A row is scrolled once: then people do.
  const showChosen = () => {
    for (const chosen of document.querySelectorAll("nav:is(.tabs, .segments):not([data-scrolled]) > [aria-current]")) {
      const row = chosen.parentElement;
      row.dataset.scrolled = "";
      row.scrollLeft = chosen.offsetLeft - row.offsetLeft - (row.clientWidth - chosen.offsetWidth) / 2;
    }
  };

  const isChanged = (field) =>
    field instanceof HTMLSelectElement
      ? field.selectedOptions[0] !== ([...field.options].findLast((option) => option.defaultSelected) ?? field.options[0])
      : field.matches("[type=checkbox], [type=radio]")
        ? field.checked !== field.defaultChecked
        : field.matches("input, textarea") && field.value !== field.defaultValue;

  // What was chosen while the page still loaded, or put back by the browser, has not been sent yet.
  const sendEarlyChanges = () => {
    for (const form of document.querySelectorAll('form[hx-trigger="change"]'))
      [...form.elements].find(isChanged)?.dispatchEvent(new Event("change", { bubbles: true }));
  };

  document.addEventListener("click", (click) => {
    openDialog(click);
    closeOnBackdrop(click);
    dismiss(click);
    closeMenus(click.target);
  });
  document.addEventListener("click", copy);
  document.addEventListener("keydown", closeMenuOnEscape);
  document.addEventListener("htmx:before:response", followRedirect);
  document.addEventListener("htmx:after:swap", showScriptedParts);
  document.addEventListener("htmx:before:swap", rememberPlace);
  document.addEventListener("htmx:after:swap", returnToPlace);
  document.addEventListener("htmx:after:swap", showChosen);
  addEventListener("load", sendEarlyChanges);
  showScriptedParts();
  showChosen();
})();
