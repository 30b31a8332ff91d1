// Light or dark as the person chose, before the first paint; without a choice the system decides.
(() => {
  "use strict";
  const root = document.documentElement;
  const KEY = "footfall-theme";

  const stored = () => {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null; // Storage is switched off: the system's theme is a good answer.
    }
  };

  const apply = (theme) => {
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
    else delete root.dataset.theme;
    for (const button of document.querySelectorAll("[data-set-theme]"))
      button.setAttribute("aria-pressed", String(button.dataset.setTheme === (root.dataset.theme || "system")));
  };

  const choose = (theme) => {
    try {
      if (theme === "system") localStorage.removeItem(KEY);
      else localStorage.setItem(KEY, theme);
    } catch {
      // Not kept for the next page, but this one changes.
    }
    apply(theme);
    document.dispatchEvent(new CustomEvent("footfall:theme"));
  };

  apply(stored());
  document.addEventListener("DOMContentLoaded", () => {
    apply(stored());
    for (const group of document.querySelectorAll(".theme")) group.hidden = false;
    document.addEventListener("click", (click) => {
      const button = click.target.closest("[data-set-theme]");
      if (button) choose(button.dataset.setTheme);
    });
  });
  addEventListener("storage", (change) => change.key === KEY && apply(change.newValue));
})();
