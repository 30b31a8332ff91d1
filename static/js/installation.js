// The page of a site's installation: counts the seconds since something was heard.
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

  setInterval(tick, 1_000);
})();
