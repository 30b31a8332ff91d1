// Whoever fills in one way of saying when a job runs has chosen it.
(() => {
  "use strict";

  const choose = (change) => {
    const choice = change.target.closest(".rhythm__row")?.querySelector("[name='rhythm']");
    if (choice) choice.checked = true;
  };

  document.getElementById("schedule").addEventListener("input", choose);
})();
