// Draws the Plotly figures that pages carry as JSON, in the page's own colours, light or dark.
(() => {
  "use strict";

  const CONFIG = { displayModeBar: false, responsive: true, doubleClick: false, showTips: false };
  const NARROW = 560; // px; below it every second label goes
  const canvases = new Map(); // by the chart's id: a redrawn block keeps its drawing, so nothing flickers
  const open = new Set();

  // "var(--name)" stands for the page's custom property, whose colour depends on the theme.
  const fillIn = (value, styles) => {
    if (typeof value === "string") return value.startsWith("var(") ? styles.getPropertyValue(value.slice(4, -1)).trim() : value;
    if (Array.isArray(value)) return value.map((item) => fillIn(item, styles));
    if (value && typeof value === "object")
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, fillIn(item, styles)]));
    return value;
  };

  const everySecond = (axis) => ({
    ...axis,
    tickvals: axis.tickvals.filter((_, index) => index % 2 === 0),
    ticktext: axis.ticktext.filter((_, index) => index % 2 === 0),
  });

  const canvasOf = (holder) => {
    const canvas = canvases.get(holder.id) || Object.assign(document.createElement("div"), { className: "chart__canvas" });
    canvases.set(holder.id, canvas);
    if (canvas.parentNode !== holder) holder.append(canvas);
    return canvas;
  };

  const draw = (holder) => {
    const { data, layout } = fillIn(JSON.parse(holder.querySelector("script").textContent), getComputedStyle(holder));
    layout.height = holder.clientHeight;
    if (holder.clientWidth < NARROW && layout.xaxis.tickvals.length > 4) layout.xaxis = everySecond(layout.xaxis);
    window.Plotly.react(canvasOf(holder), data, layout, CONFIG);
  };

  const drawAll = () => {
    const holders = document.querySelectorAll("[data-chart]");
    if (window.Plotly) holders.forEach(draw);
    else holders.forEach((holder) => { holder.closest(".card").querySelector("details").open = true; });
  };

  const reopen = () => {
    for (const id of open) {
      const details = document.getElementById(id);
      if (details) details.open = true;
    }
  };

  const remember = (toggle) => {
    if (!toggle.target.matches?.("[data-stays-open]")) return;
    if (toggle.target.open) open.add(toggle.target.id);
    else if (toggle.target.isConnected) open.delete(toggle.target.id);
  };

  document.addEventListener("toggle", remember, true);
  document.addEventListener("htmx:after:swap", () => {
    drawAll();
    reopen();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  new MutationObserver(drawAll).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  drawAll();
})();
