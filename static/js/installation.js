// The page of a site's installation: copies the snippet, and counts the seconds since something was heard.
(() => {
  "use strict";

  const UNITS = [[86_400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

  const ago = (seconds) => {
    const [size, unit] = UNITS.find(([size]) => seconds >= size) || [1, "s"];
    return `${Math.floor(seconds / size)} ${unit} ago`;
  };

  const tick = () => {
    for (const time of document.querySelectorAll("time[data-ago]"))
      time.textContent = ago(Math.max(1, (Date.now() - Date.parse(time.dateTime)) / 1000));
  };

  const select = (element) => {
    const range = document.createRange();
    range.selectNodeContents(element);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
  };

  // Without the right to write to the clipboard the text is at least selected.
  const copy = async (click) => {
    const button = click.target.closest("[data-copy]");
    if (!button) return;
    const source = document.getElementById(button.dataset.copy);
    const words = button.querySelector("span");
    select(source);
    try {
      await navigator.clipboard.writeText(source.textContent);
      words.textContent = "Copied";
    } catch {
      words.textContent = "Selected: copy it with your keyboard";
    }
    setTimeout(() => (words.textContent = "Copy"), 2_500);
  };

  document.addEventListener("click", copy);
  setInterval(tick, 1_000);
})();
