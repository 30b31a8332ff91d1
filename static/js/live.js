// Keeps live pages going. hx-sse connects again by itself; this tries again what could not even begin, and where
// no stream comes through (a proxy gathers or cuts it) it lets the page ask for its live parts, until one does.
//
// A stream's element gets the event `poll`; whatever refreshes itself by the stream names it in its hx-trigger.
(() => {
  "use strict";

  const STREAMS = "[hx-sse\\:connect]";
  const LOOK_EVERY = 1_000; // all of these in milliseconds
  const PATIENCE = 5_000; // how long a stream may take to come through before the page asks instead
  const SILENCE = 40_000; // the edge says every 15 seconds that it is there
  const RETRY_AFTER = 2_000;
  const CONNECT_TIMEOUT = 10_000;
  const POLL_EVERY = 3_000;
  const POLL_HIDDEN_EVERY = 30_000;
  const FAILURES = 3;
  const REST = 10; // how many times as long as its last answer took a region waits before it asks again
  const LONGEST_REST = 30_000;
  const LAST_REST = 1_500; // what has ended is shown soon, though not to all in the same moment
  const RENEW_AFTER = 60_000; // a page refused earlier than this would be refused again
  const lives = new WeakMap();
  const rests = new WeakMap();
  const beganAt = Date.now();

  const isStream = (element) => element instanceof Element && element.matches(STREAMS);

  const lifeOf = (stream) => {
    if (!lives.has(stream)) lives.set(stream, { isOpen: false, since: Date.now(), failures: 0, polledAt: 0, connection: null, retry: 0 });
    return lives.get(stream);
  };

  const fail = (stream) => {
    const life = lifeOf(stream);
    if (life.isOpen) Object.assign(life, { isOpen: false, since: Date.now(), failures: 0 });
    else life.failures += 1;
  };

  const retry = (stream) => {
    const again = () =>
      stream.isConnected && !stream._htmx?.sse &&
      htmx.ajax("GET", stream.getAttribute("hx-sse:connect"), { source: stream, timeout: CONNECT_TIMEOUT });
    const life = lifeOf(stream);
    clearTimeout(life.retry);
    life.retry = setTimeout(again, RETRY_AFTER);
  };

  const renewPage = () => Date.now() - beganAt > RENEW_AFTER && location.reload();

  // What a stream wrote must not be overwritten by an answer that was on its way meanwhile; a poll's answer may.
  const holdTarget = (stream, isHeld) => {
    const selector = stream.getAttribute("hx-target");
    if (selector) document.querySelector(selector)?.toggleAttribute("hx-morph-skip", isHeld);
  };

  // Streams --------------------------------------------------------------------------------------

  const hear = (message) => {
    const stream = message.target;
    if (!isStream(stream)) return;
    Object.assign(lifeOf(stream), { isOpen: true, since: Date.now(), failures: 0 });
    tellConnection(true);
    if (message.detail.message.event === "here") message.preventDefault();
    else holdTarget(stream, true);
  };

  const noteConnection = (attempt) => {
    const { connection } = attempt.detail;
    if (!isStream(attempt.target)) return;
    if (connection.attempt > 0) fail(attempt.target);
    lifeOf(attempt.target).connection = connection;
  };

  // Whatever answers in the stream's place (a proxy's error, a sign-in page) must not be swapped into the page.
  const refuseOther = (arrival) => {
    const { ctx } = arrival.detail;
    if (isStream(ctx.sourceElement)) {
      arrival.preventDefault();
      fail(ctx.sourceElement);
      if (ctx.response.status === 403) renewPage();
      retry(ctx.sourceElement);
    } else if (isRefresh(ctx) && ctx.response.status >= 400) {
      arrival.preventDefault();
      tellConnection(ctx.response.status < 500);
    } else if (isRefresh(ctx)) {
      tellConnection(true);
      noteAnswer(ctx);
    }
  };

  const isRefresh = ({ request, sourceEvent }) =>
    request.method === "GET" && (sourceEvent?.type === "every" || isStream(sourceEvent?.target));

  // Nobody looks: what refreshes itself by the clock can wait.
  const restWhileHidden = (asking) => {
    if (document.hidden && asking.detail.ctx.sourceEvent?.type === "every") asking.preventDefault();
  };

  const noteError = (failure) => {
    const source = failure.detail.ctx?.sourceElement;
    if (isStream(source)) {
      fail(source);
      retry(source);
    } else if (failure.detail.ctx && isRefresh(failure.detail.ctx)) {
      tellConnection(false);
    }
  };

  const renewWhenRefused = (failure) => failure.detail.status === 403 && renewPage();

  // However many look at the same thing, the pages stay quick: the slower the answers, the rarer the questions. One that
  // comes too early is asked later, once.
  const restOf = (region) => {
    if (!rests.has(region)) rests.set(region, { askedAt: 0, until: 0, later: 0 });
    return rests.get(region);
  };

  const restBetween = (asking) => {
    const { ctx } = asking.detail;
    if (!isRefresh(ctx)) return;
    const rest = restOf(ctx.sourceElement);
    const left = rest.until - Date.now();
    rest.askedAt = Date.now();
    if (left <= 0 || !isStream(ctx.sourceEvent?.target)) return;
    asking.preventDefault();
    const isEnd = ctx.sourceEvent.type === "done";
    if (rest.later && !isEnd) return;
    clearTimeout(rest.later);
    rest.later = setTimeout(askAgain, isEnd ? Math.random() * Math.min(left, LAST_REST) : left, rest, ctx.sourceEvent.target);
  };

  const askAgain = (rest, stream) => {
    Object.assign(rest, { later: 0, until: 0 });
    const origin = stream.isConnected ? stream : document.querySelector(STREAMS);
    origin?.dispatchEvent(new CustomEvent("poll", { bubbles: true }));
  };

  const noteAnswer = ({ sourceElement }) => {
    const rest = restOf(sourceElement);
    const took = Date.now() - rest.askedAt;
    rest.until = Date.now() + Math.min(REST * took, LONGEST_REST) * (0.75 + Math.random() / 2);
  };

  // Polling --------------------------------------------------------------------------------------

  const isCut = (life, now) => !life.isOpen && (now - life.since > PATIENCE || life.failures >= FAILURES);

  const endSilence = (life, now) => {
    if (!life.isOpen || now - life.since < SILENCE) return;
    Object.assign(life, { isOpen: false, since: now - PATIENCE });
    life.connection?.reader?.cancel(); // hx-sse then connects again
  };

  const poll = (stream, life, now) => {
    if (now - life.polledAt < (document.hidden ? POLL_HIDDEN_EVERY : POLL_EVERY)) return;
    life.polledAt = now;
    holdTarget(stream, false);
    stream.dispatchEvent(new CustomEvent("poll", { bubbles: true }));
  };

  // hx-sse rests while nobody looks at the page: that is no failure.
  const look = () => {
    const now = Date.now();
    for (const stream of document.querySelectorAll(STREAMS)) {
      const life = lifeOf(stream);
      if (document.hidden && !isCut(life, now)) life.since = now;
      endSilence(life, now);
      if (isCut(life, now)) poll(stream, life, now);
    }
  };

  // Saying so ------------------------------------------------------------------------------------

  const note = document.createElement("p");
  note.className = "connection";
  note.setAttribute("role", "status");
  document.body.append(note);

  const tellConnection = (isThere) => {
    note.textContent = isThere ? "" : "No connection. This page goes on by itself as soon as there is one.";
  };

  document.addEventListener("htmx:sse:before:message", hear);
  document.addEventListener("htmx:sse:before:connection", noteConnection);
  document.addEventListener("htmx:sse:error", renewWhenRefused);
  document.addEventListener("htmx:before:request", restWhileHidden);
  document.addEventListener("htmx:before:request", restBetween);
  document.addEventListener("htmx:before:response", refuseOther);
  document.addEventListener("htmx:error", noteError);
  document.addEventListener("visibilitychange", look);
  setInterval(look, LOOK_EVERY);
})();
