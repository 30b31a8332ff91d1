// A file that is dropped anywhere on a page with a form of uploading goes to that form (upload.js).
(() => {
  "use strict";

  const holdsFiles = (drag) => [...(drag.dataTransfer?.types || [])].includes("Files");

  const acceptDrops = (form) => {
    let depth = 0;
    const mark = (on) => document.documentElement.classList.toggle("is-dropping", on);
    const opened = () => {
      const dialog = form.closest("dialog");
      if (dialog && !dialog.open) dialog.showModal();
    };
    document.addEventListener("dragenter", (drag) => {
      if (!holdsFiles(drag)) return;
      drag.preventDefault();
      depth += 1;
      mark(form.querySelector("[data-upload-busy]").hidden);
    });
    document.addEventListener("dragover", (drag) => holdsFiles(drag) && drag.preventDefault());
    document.addEventListener("dragleave", (drag) => {
      if (!holdsFiles(drag)) return;
      depth = Math.max(0, depth - 1);
      if (depth === 0) mark(false);
    });
    document.addEventListener("drop", (drop) => {
      if (!holdsFiles(drop)) return;
      drop.preventDefault();
      depth = 0;
      mark(false);
      opened();
      form.dispatchEvent(new CustomEvent("upload:drop", { detail: [...drop.dataTransfer.files] }));
    });
  };

  const form = document.querySelector("form[data-upload]");
  if (form) acceptDrops(form);
})();
