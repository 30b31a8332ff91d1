// The drop zone: a file that is chosen, or dropped anywhere on the page, is sent by tus (vendor/tus.min.js), which goes
// on by itself after a broken connection. After a reload the page offers to go on with what it knows of.
(() => {
  "use strict";

  const UNITS = ["bytes", "KB", "MB", "GB", "TB"];
  const SPEED_OVER_MILLISECONDS = 3000;
  const PATIENCE_SECONDS = [1, 2, 4, 8, 15];
  // One request of a slow line ends before a proxy loses its patience.
  const CHUNK_BYTES = 64 * 1024 * 1024;
  const PROTOCOL = { "Tus-Resumable": "1.0.0" };
  const PASSING = new Set([0, 409, 423, 429]);

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

  // A request that was led elsewhere met the sign-in page: nothing that waiting would mend.
  const wasLedAway = (error) => {
    const request = error.originalResponse?.getUnderlyingObject();
    return Boolean(request) && new URL(request.responseURL).pathname !== new URL(error.originalRequest.getURL(), location.href).pathname;
  };

  const willPass = (error) => {
    if (!error.originalRequest || wasLedAway(error)) return false;
    const status = error.originalResponse?.getStatus() ?? 0;
    return PASSING.has(status) || status >= 500;
  };

  class Upload {
    constructor(form) {
      this.form = form;
      this.input = form.querySelector("input[type=file]");
      this.limit = Number(form.dataset.limit);
      this.tus = null;
      this.timer = null;
      this.isWaiting = false;
      this.listen();
      this.offer();
    }

    listen() {
      this.input.addEventListener("change", () => this.input.files[0] && this.send(this.input.files[0]));
      this.part("cancel").addEventListener("click", () => this.cancel());
      this.part("pause").addEventListener("click", () => (this.isWaiting ? this.goOn() : this.pause()));
      this.part("again").addEventListener("click", () => this.input.click());
      addEventListener("online", () => this.timer && this.goOn());
    }

    part(name) {
      return this.form.querySelector(`[data-upload-${name}]`);
    }

    get isBusy() {
      return this.tus !== null;
    }

    // What was dropped on the page (upload-drop.js).
    take(files) {
      if (this.isBusy) return;
      if (files.length > 1) this.fail("One file at a time, please", "Drop a single file; the next one can follow when this one is uploaded.");
      else if (files.length === 1) this.send(files[0]);
    }

    send(file) {
      if (this.isBusy) return;
      const problem = this.problemOf(file);
      if (problem) return this.fail(...problem);
      if (!window.tus?.isSupported) return this.form.submit();
      this.begin(file);
      this.start(file);
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

    // What was begun here, and is of no concern to another organisation in the same browser.
    get prefix() {
      return `footfall-${this.form.dataset.upload}-`;
    }

    get entity() {
      return this.form.elements.entity;
    }

    // A file counts as the same one when its name, size and time are, for the same kind of records.
    fingerprint(file) {
      return this.prefix + [this.entity.value, file.name, file.size, file.lastModified].join("-");
    }

    options(file) {
      const speed = speedometer();
      return {
        endpoint: this.form.dataset.endpoint,
        chunkSize: CHUNK_BYTES,
        retryDelays: null,
        removeFingerprintOnSuccess: true,
        headers: { "X-CSRFToken": this.form.elements.csrf_token.value, "HX-Request": "true" },
        metadata: { filename: file.name, entity: this.entity.value },
        fingerprint: () => Promise.resolve(this.fingerprint(file)),
        onProgress: (sent, total) => this.show(sent, total, speed(sent)),
        onChunkComplete: () => (this.failures = 0),
        onSuccess: ({ lastResponse }) => this.finish(lastResponse),
        onError: (error) => (willPass(error) ? this.wait(error) : this.refuse(error)),
      };
    }

    async start(file) {
      const upload = new window.tus.Upload(file, this.options(file));
      this.tus = upload;
      this.failures = 0;
      const [known] = await upload.findPreviousUploads();
      if (known) upload.resumeFromPreviousUpload(known);
      if (this.tus === upload) upload.start();
    }

    begin(file) {
      this.part("problem").replaceChildren();
      this.part("name").textContent = file.name;
      this.part("zone").hidden = this.part("offer").hidden = true;
      this.part("busy").hidden = this.part("pause").hidden = this.part("cancel").hidden = false;
      this.tenth = 0;
      this.mark("");
      this.show(0, file.size, 0);
      this.part("cancel").focus();
      this.tell(`Uploading ${file.name}`);
    }

    show(loaded, total, speed) {
      if (this.isWaiting) return;
      const fraction = total ? loaded / total : 0;
      this.part("bar").value = fraction;
      this.part("percent").textContent = `${Math.floor(fraction * 100)}%`;
      const moving = speed > 0 && loaded < total ? ` · ${bytes(speed)}/s · ${time((total - loaded) / speed)}` : "";
      this.part("numbers").textContent = `${bytes(loaded)} of ${bytes(total)}${moving}`;
      const tenth = Math.floor(fraction * 10);
      if (tenth > this.tenth) this.tell(`${tenth * 10}% uploaded`);
      this.tenth = tenth;
      if (loaded === total) this.read();
    }

    // Every byte is on its way: what is left is the server's.
    read() {
      this.part("pause").hidden = this.part("cancel").hidden = true;
      this.part("bar").removeAttribute("value");
      this.part("percent").textContent = "";
      this.part("numbers").textContent = "Reading the file…";
      this.tell("Reading the file…");
    }

    tell(text) {
      this.part("status").textContent = text;
    }

    // Why it stands still, if it does.
    mark(reason) {
      this.isWaiting = reason !== "";
      this.part("bar").classList.toggle("progress--still", this.isWaiting);
      this.part("pause").textContent = this.isWaiting ? "Resume" : "Pause";
      if (!reason) return;
      this.part("numbers").textContent = reason;
      this.tell(reason);
    }

    pause() {
      this.tus.abort();
      this.mark("Paused. What has arrived is kept for a week.");
    }

    // The server may still be busy with what came before the line broke: it says so by a status.
    wait(error) {
      const seconds = PATIENCE_SECONDS[Math.min(this.failures, PATIENCE_SECONDS.length - 1)];
      this.failures += 1;
      this.part("pause").hidden = this.part("cancel").hidden = false;
      this.mark(error.originalResponse ? "The server is busy. The upload goes on by itself." : "The connection is broken. The upload goes on by itself when it is back.");
      this.timer = setTimeout(() => this.goOn(), seconds * 1000);
    }

    goOn() {
      clearTimeout(this.timer);
      this.timer = null;
      this.mark("");
      this.part("numbers").textContent = "Going on…";
      this.tus.start();
    }

    // The page is back at once; the server is told meanwhile, and forgets by itself if it cannot be.
    cancel() {
      clearTimeout(this.timer);
      this.timer = null;
      const upload = this.tus;
      this.end();
      upload.abort(true).catch(() => {});
    }

    finish(answer) {
      const result = answer.getHeader("Upload-Result");
      if (!result) return this.fail("The upload is gone", "Load this page again, then choose the file once more.");
      this.tus = null;
      location.assign(result);
    }

    refuse(error) {
      if (wasLedAway(error)) return this.fail("You are signed out", "Sign in again and choose the same file: the upload goes on where it stopped.");
      const text = error.originalResponse?.getBody();
      if (!text) return this.fail("The upload broke off", "Load this page again, then choose the same file: the upload goes on where it stopped.");
      this.end();
      this.part("problem").innerHTML = text;
      this.part("problem").focus();
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
      this.tus = null;
      this.mark("");
      this.input.value = "";
      this.part("busy").hidden = true;
      this.part("zone").hidden = false;
    }

    // What this browser began and did not finish, if the server still has it.
    async offer() {
      for (const key of Object.keys(localStorage).filter((name) => name.startsWith(`tus::${this.prefix}`))) {
        const kept = JSON.parse(localStorage.getItem(key));
        if (this.entity.type === "hidden" && this.entity.value !== kept.metadata.entity) continue;
        const answer = await fetch(kept.uploadUrl, { method: "HEAD", headers: PROTOCOL }).catch(() => null);
        if (answer?.status === 404) localStorage.removeItem(key);
        else if (answer?.headers.has("Upload-Offset") && !this.isBusy) return this.showOffer(key, kept, Number(answer.headers.get("Upload-Offset")));
      }
    }

    showOffer(key, kept, offset) {
      this.entity.value = kept.metadata.entity;
      this.part("offer-text").textContent = `${bytes(offset)} of ${bytes(kept.size)} of ${kept.metadata.filename} have arrived. Choose or drop the same file, and it goes on from there.`;
      this.part("again").textContent = `Resume upload of ${kept.metadata.filename}`;
      this.part("offer").hidden = false;
      this.part("forget").onclick = () => this.forget(key, kept.uploadUrl);
    }

    // The server is told too, and forgets by itself if it cannot be.
    forget(key, url) {
      localStorage.removeItem(key);
      this.part("offer").hidden = true;
      fetch(url, { method: "DELETE", headers: { ...PROTOCOL, "X-CSRFToken": this.form.elements.csrf_token.value } }).catch(() => {});
      this.input.focus();
    }
  }

  const form = document.querySelector("form[data-upload]");
  if (!form) return;
  const upload = new Upload(form);
  form.addEventListener("upload:drop", (drop) => upload.take(drop.detail));
  form.closest("dialog")?.addEventListener("cancel", (cancel) => upload.isBusy && cancel.preventDefault());
  addEventListener("beforeunload", (leaving) => upload.isBusy && leaving.preventDefault());
})();
