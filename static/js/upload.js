// The drop zone: a file that is chosen, or dropped anywhere on the page, is sent with a bar that moves.
(() => {
  "use strict";

  const UNITS = ["bytes", "KB", "MB", "GB", "TB"];
  const SPEED_OVER_MILLISECONDS = 3000;

  const bytes = (count) => {
    let unit = 0;
    while (count >= 1024 && unit < UNITS.length - 1) {
      count /= 1024;
      unit += 1;
    }
    return `${count >= 100 || unit === 0 ? Math.round(count) : count.toFixed(1)} ${UNITS[unit]}`;
  };

  const time = (seconds) => {
    if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s left`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${String(Math.round(seconds % 60)).padStart(2, "0")} s left`;
    return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min left`;
  };

  // Bytes a second over the last seconds, so that a slower line shows soon.
  const speedometer = () => {
    const marks = [];
    return (loaded) => {
      const now = performance.now();
      marks.push([now, loaded]);
      while (marks.length > 2 && now - marks[0][0] > SPEED_OVER_MILLISECONDS) marks.shift();
      const [then, before] = marks[0];
      return now > then ? ((loaded - before) * 1000) / (now - then) : 0;
    };
  };

  class Upload {
    constructor(form) {
      this.form = form;
      this.input = form.querySelector("input[type=file]");
      this.limit = Number(form.dataset.limit);
      this.request = null;
      this.input.addEventListener("change", () => this.input.files[0] && this.send(this.input.files[0]));
      this.part("cancel").addEventListener("click", () => this.request?.abort());
    }

    part(name) {
      return this.form.querySelector(`[data-upload-${name}]`);
    }

    get isBusy() {
      return this.request !== null;
    }

    send(file) {
      if (this.isBusy) return;
      const problem = this.problemOf(file);
      if (problem) return this.fail(...problem);
      this.begin(file);
      this.request = this.requestFor(file);
      this.request.send(this.bodyOf(file));
    }

    problemOf(file) {
      if (file.size === 0) return ["This file is empty", `${file.name} holds no bytes. Export it again and drop it here.`];
      if (file.size > this.limit)
        return [
          `This file is larger than ${this.form.dataset.limitText}`,
          `${file.name} has ${bytes(file.size)}. Split it into smaller files, or ask whoever runs Footfall to raise UPLOAD_LIMIT_BYTES.`,
        ];
      return null;
    }

    // The file comes last: the server looks at the other fields before it takes the first byte of it.
    bodyOf(file) {
      const body = new FormData();
      for (const field of this.form.querySelectorAll("input[type=hidden], select")) body.append(field.name, field.value);
      body.append("file", file, file.name);
      return body;
    }

    requestFor(file) {
      const request = new XMLHttpRequest();
      const speed = speedometer();
      request.open("POST", this.form.action);
      request.setRequestHeader("HX-Request", "true");
      request.upload.addEventListener("progress", (step) => step.lengthComputable && this.show(step.loaded, step.total, speed(step.loaded)));
      request.upload.addEventListener("load", () => this.say("Reading the file…"));
      request.addEventListener("load", () => this.finish(request));
      request.addEventListener("abort", () => this.end());
      request.addEventListener("error", () =>
        this.fail("The upload broke off", `Nothing of ${file.name} was kept. Look at your connection, then choose the file again.`));
      return request;
    }

    begin(file) {
      this.part("problem").replaceChildren();
      this.part("name").textContent = file.name;
      this.part("zone").hidden = true;
      this.part("busy").hidden = false;
      this.show(0, file.size, 0);
      this.part("cancel").focus();
      this.part("status").textContent = `Uploading ${file.name}`;
      this.tenth = 0;
    }

    show(loaded, total, speed) {
      const fraction = total ? loaded / total : 0;
      this.part("bar").value = fraction;
      this.part("percent").textContent = `${Math.floor(fraction * 100)}%`;
      const moving = speed > 0 && loaded < total ? ` · ${bytes(speed)}/s · ${time((total - loaded) / speed)}` : "";
      this.part("numbers").textContent = `${bytes(loaded)} of ${bytes(total)}${moving}`;
      const tenth = Math.floor(fraction * 10);
      if (tenth > this.tenth) this.part("status").textContent = `${tenth * 10}% uploaded`;
      this.tenth = tenth;
    }

    say(text) {
      this.part("bar").removeAttribute("value");
      this.part("percent").textContent = "";
      this.part("numbers").textContent = text;
      this.part("status").textContent = text;
    }

    finish(request) {
      if (request.status < 400) return location.assign(request.responseURL);
      this.end();
      const problem = this.part("problem");
      problem.innerHTML = request.responseText;
      problem.focus();
    }

    fail(title, text) {
      this.end();
      const alert = document.getElementById("upload-alert").content.cloneNode(true);
      alert.querySelector(".alert__title").textContent = title;
      alert.querySelector(".alert__title + p").textContent = text;
      this.part("problem").replaceChildren(alert);
      this.part("problem").focus();
    }

    end() {
      this.request = null;
      this.form.reset();
      this.part("busy").hidden = true;
      this.part("zone").hidden = false;
    }
  }

  const holdsFiles = (drag) => [...(drag.dataTransfer?.types || [])].includes("Files");

  const acceptDrops = (upload) => {
    let depth = 0;
    const mark = (on) => document.documentElement.classList.toggle("is-dropping", on);
    const opened = () => {
      const dialog = upload.form.closest("dialog");
      if (dialog && !dialog.open) dialog.showModal();
    };
    document.addEventListener("dragenter", (drag) => {
      if (!holdsFiles(drag)) return;
      drag.preventDefault();
      depth += 1;
      mark(!upload.isBusy);
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
      const files = drop.dataTransfer.files;
      opened();
      if (files.length > 1) upload.fail("One file at a time, please", "Drop a single CSV file; the next one can follow when this one is uploaded.");
      else if (files.length === 1) upload.send(files[0]);
    });
  };

  const form = document.querySelector("form[data-upload]");
  if (!form) return;
  const upload = new Upload(form);
  acceptDrops(upload);
  form.closest("dialog")?.addEventListener("cancel", (cancel) => upload.isBusy && cancel.preventDefault());
  addEventListener("beforeunload", (leaving) => upload.isBusy && upload.request.readyState < 4 && leaving.preventDefault());
})();
