// What the browser adds to pages that work without it: live parts, ticking clocks, copying, dialogs, messages that leave.
// No page puts script into its HTML; elements say what they want by data attributes, listed in docs/design-language.md.
"use strict";
(() => {
  const root = document.documentElement;
  const find = (selector, within = document) => [...within.querySelectorAll(selector)];

  // ---- the box's clock --------------------------------------------------------------------------------------------------
  // Milliseconds of the box's monotonic clock, as of `performance.now()`. Of several readings since the connection was made the
  // one that came quickest is the best.
  let ahead = Number(root.dataset.now || 0) - performance.now();
  let fresh = true;
  const boxNow = () => performance.now() + ahead;
  const hear = (now) => {
    const reading = now - performance.now();
    ahead = fresh ? reading : Math.max(ahead, reading);
    fresh = false;
  };

  // ---- clocks -----------------------------------------------------------------------------------------------------------
  // <time data-ends="MS"> counts down to a moment of the box's clock and then on, with a plus; <time data-since="MS"> counts
  // up; <progress data-ends="MS" max="MS"> fills. Two digits of minutes at most change twice a second: no framework is needed.
  const asClock = (milliseconds) => {
    const all = Math.max(0, Math.ceil(milliseconds / 1000));
    const two = (n) => String(n).padStart(2, "0");
    const [h, m, s] = [Math.floor(all / 3600), Math.floor(all / 60) % 60, all % 60];
    return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
  };
  const put = (element, text) => {
    if (element.textContent !== text) element.textContent = text;
  };
  const tick = () => {
    const now = boxNow();
    for (const element of find("[data-ends]")) {
      const left = Number(element.dataset.ends) - now;
      if (element instanceof HTMLProgressElement) {
        element.value = Math.min(element.max, Math.max(0, element.max - left));
      } else {
        put(element, left < 0 ? `+${asClock(-left - 999)}` : asClock(left));
      }
      element.toggleAttribute("data-over", left < 0);
      element.toggleAttribute("data-soon", left >= 0 && left < 60000);
    }
    for (const element of find("[data-since]")) put(element, asClock(now - Number(element.dataset.since) - 999));
  };
  setInterval(tick, 250);

  // ---- the connection ---------------------------------------------------------------------------------------------------
  // An event source that never gives up: htmx's extension sees one source that is always about to open. What it hears comes by the
  // shared worker, which holds one line for all pages of this browser (worker.js), or by a line of this page's own (line.js).
  const lost = document.getElementById("lost");
  const build = root.dataset.build;
  const account = root.dataset.account || "";
  const words = lost?.querySelector("span");
  const AWAY = words?.textContent;
  const ASKED = "Live updates do not come through. This page looks every few seconds instead.";
  const REFUSED = "This page is not for whoever is signed in here now. Load it again.";
  let silent = 0;
  const tell = (connected, patience = 1500) => {
    if (connected) {
      clearTimeout(silent);
      silent = 0;
      if (lost) lost.hidden = true;
      root.toggleAttribute("data-lost", false);
    }
    if (connected || silent) return;
    // A blink is nobody's business.
    silent = setTimeout(() => {
      if (lost) lost.hidden = false;
      root.toggleAttribute("data-lost", true);
    }, patience);
  };
  const explain = (text) => {
    if (words && words.textContent !== text) words.textContent = text;
  };
  // What stands around the parts of every page, and comes in every stream as words.
  const frame = {
    venue(name) {
      const was = root.dataset.venue;
      root.dataset.venue = name;
      for (const brand of find(".brand span")) put(brand, name);
      const title = document.querySelector("title").textContent;
      if (title.endsWith(was)) document.title = title.slice(0, title.length - was.length) + name;
    },
    // <... data-registration="open"> is there while newcomers can register by themselves, ="closed" while they cannot.
    registration(now) {
      for (const element of find("[data-registration]")) element.hidden = element.dataset.registration !== now;
    },
  };
  // How long the worker may take to say that it is there, and how long it may then say nothing: the box beats every 10 s.
  const HELLO = 3000;
  const SILENT = 40000;
  // Whoever had to do without the worker tries it again after so long.
  const RETRY = 60000;
  class Line extends EventTarget {
    constructor(url) {
      super();
      this.topic = new URL(url, location.href).pathname.slice("/live/".length);
      this.readyState = EventSource.CONNECTING;
      this.watch = setInterval(() => this.look(), 20000);
      // One that nobody has seen for a minute is left, so that the box need not make what nobody looks at.
      this.seen = () => {
        clearTimeout(this.rest);
        if (document.hidden) this.rest = setTimeout(() => this.leave(), 60000);
        else if (this.left) this.open();
        else this.look();
      };
      document.addEventListener("visibilitychange", this.seen);
      // Whoever goes says so; who comes back by the browser's memory is there again.
      addEventListener("pagehide", () => this.leave());
      addEventListener("pageshow", (event) => event.persisted && this.left && this.open());
      this.open();
    }
    open() {
      if (this.readyState === EventSource.CLOSED || this.refused) return;
      this.left = false;
      this.heard = performance.now();
      let worker;
      try {
        if (window.SharedWorker && root.dataset.line) worker = new SharedWorker(root.dataset.line, { name: "line" });
      } catch {
        // Not here: some browsers have none in private windows.
      }
      if (!worker) return this.alone();
      const port = worker.port;
      this.port = port;
      const without = () => {
        if (this.port !== port) return;
        this.port = undefined;
        this.alone();
        this.retry = setTimeout(() => !this.left && this.open(), RETRY);
      };
      worker.onerror = without;
      this.waiting = setTimeout(without, HELLO);
      port.onmessage = ({ data }) => {
        if (this.port !== port) return;
        clearTimeout(this.waiting);
        this.take(data);
      };
      port.postMessage({ kind: "join", topic: this.topic, account });
    }
    // A line of this page's own.
    alone() {
      if (this.feed) return;
      this.feed = new Feed((message) => this.take(message));
      this.feed.want([this.topic], account);
    }
    leave() {
      this.left = true;
      for (const timer of [this.waiting, this.retry]) clearTimeout(timer);
      this.port?.postMessage({ kind: "bye" });
      this.port?.close();
      this.port = undefined;
      this.feed?.stop();
      this.feed = undefined;
      if (this.readyState !== EventSource.CLOSED) this.readyState = EventSource.CONNECTING;
    }
    look() {
      if (!this.port || this.left) return;
      if (performance.now() - this.heard > SILENT) {
        this.leave();
        this.open();
      } else this.port.postMessage({ kind: "here", topic: this.topic, account });
    }
    take(message) {
      this.heard = performance.now();
      const { kind, name, data } = message;
      if (kind === "hello" && this.feed) {
        this.feed.stop();
        this.feed = undefined;
      } else if (kind === "open") {
        this.readyState = EventSource.OPEN;
        fresh = true;
        tell(true);
        if (this.onopen) this.onopen(new Event("open"));
      } else if (kind === "part") {
        if (name in frame) frame[name](data);
        this.dispatchEvent(new MessageEvent(name, { data }));
      } else if (kind === "beat") {
        this.beat(data);
      } else if (kind === "lost") {
        this.readyState = EventSource.CONNECTING;
        fresh = true;
        explain(AWAY);
        tell(false, message.begun ? 1500 : 0);
      } else if (kind === "asked") {
        explain(ASKED);
        tell(false, 0);
      } else if (kind === "away") {
        explain(AWAY);
      } else if (kind === "refused") {
        // Signed out, or somebody else by now: the page made anew leads to where one signs in.
        this.refused = true;
        this.leave();
        explain(REFUSED);
        tell(false, 0);
        renew();
      }
    }
    beat(data) {
      const [now, served] = data.split(" ");
      hear(Number(now));
      tick();
      if (build && served && served !== build) renew();
    }
    close() {
      this.leave();
      this.readyState = EventSource.CLOSED;
      clearInterval(this.watch);
      clearTimeout(this.rest);
      document.removeEventListener("visibilitychange", this.seen);
    }
  }
  if (window.htmx) htmx.createEventSource = (url) => new Line(url);
  // The box was updated: the page is made anew, unless somebody is filling something in.
  const renew = () => {
    const busy = find("input, textarea, select").some(
      (field) => field === document.activeElement || (field.defaultValue !== undefined && field.type !== "hidden" && field.value !== field.defaultValue),
    );
    if (!busy && !document.querySelector("dialog[open]")) location.reload();
  };
  document.addEventListener("htmx:sseMessage", tick);
  document.addEventListener("htmx:afterSettle", tick);

  // ---- messages ---------------------------------------------------------------------------------------------------------
  const leave = (toast) => {
    toast.setAttribute("data-leaving", "");
    setTimeout(() => toast.remove(), 200);
  };
  const settle = () => {
    // What was said before makes room, unless it went wrong: messages lie over what one wants to press next.
    for (const old of find(".toast[data-timed]:not(.toast-failed, [data-leaving])")) {
      if (document.querySelector(".toast:not([data-timed])")) leave(old);
    }
    for (const toast of find(".toast:not([data-timed])")) {
      toast.setAttribute("data-timed", "");
      // Whoever reads or undoes it is not hurried; what went wrong stays until it was seen.
      const stay = toast.classList.contains("toast-failed") ? 15000 : toast.querySelector("form") ? 12000 : 6000;
      const later = () => setTimeout(() => (toast.matches(":hover, :focus-within") ? later() : leave(toast)), stay);
      later();
      toast.addEventListener("submit", () => leave(toast));
      // Whoever has read it clicks it away.
      toast.addEventListener("click", (event) => event.target.closest("a, button") || leave(toast));
    }
  };
  const say = (text) => {
    const box = document.getElementById("toasts");
    if (!box) return;
    const toast = document.createElement("div");
    toast.className = "toast toast-failed";
    toast.setAttribute("role", "alert");
    toast.appendChild(document.createElement("p")).textContent = text;
    box.append(toast);
    settle();
  };
  // idiomorph's extension takes every way of swapping for one of the whole element, so a message would come with another #toasts
  // around it, and the next one would be shown in both.
  document.addEventListener("htmx:oobBeforeSwap", (event) => {
    const { fragment, target } = event.detail;
    const around = fragment.firstElementChild;
    if (target.id === "toasts" && around && around.id === "toasts") around.replaceWith(...around.childNodes);
  });
  document.addEventListener("htmx:oobAfterSwap", settle);
  // Both may come after the box was told: what was lost may be its answer.
  document.addEventListener("htmx:timeout", () =>
    say("The box has not answered in time. What you ordered may not have happened: look whether it has before you order it again."),
  );
  document.addEventListener("htmx:sendError", () =>
    say("The box could not be reached. What you ordered has most likely not happened: look whether it has, and try again in a moment."),
  );

  // ---- what is clicked --------------------------------------------------------------------------------------------------
  // navigator.clipboard is there on HTTPS only; the older way works on any page.
  const copy = async (text) => {
    if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
    const field = document.createElement("textarea");
    field.value = text;
    field.setAttribute("readonly", "");
    field.className = "unseen";
    // Within an open dialog, or it could not be focused.
    (document.querySelector("dialog[open]") || document.body).append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    if (!done) throw new Error("not copied");
  };
  const said = (button, word) => {
    const label = button.querySelector("[data-label]") || button;
    if (!button.dataset.was) button.dataset.was = label.textContent;
    label.textContent = word;
    button.toggleAttribute("data-done", true);
    clearTimeout(button.reset);
    button.reset = setTimeout(() => {
      label.textContent = button.dataset.was;
      button.toggleAttribute("data-done", false);
    }, 1800);
  };
  document.addEventListener("click", (event) => {
    const target = event.target.closest("[data-copy], [data-opens], [data-closes], [data-reveals], dialog");
    if (!target) return;
    if (target.dataset.copy !== undefined) {
      // data-copy="#id" copies a field's value or an element's text; data-copy="text:..." that text.
      const what = target.dataset.copy;
      const from = what.startsWith("text:") ? null : document.querySelector(what);
      const text = from ? (from.value ?? from.textContent.trim()) : what.slice(5);
      copy(text).then(
        () => said(target, "Copied"),
        () => {
          if (from && from.select) from.select();
          said(target, "Press Ctrl+C");
        },
      );
    } else if (target.dataset.opens !== undefined) {
      const dialog = document.getElementById(target.dataset.opens);
      if (dialog && dialog.showModal) {
        event.preventDefault();
        dialog.showModal();
      }
    } else if (target.dataset.closes !== undefined) {
      const dialog = target.closest("dialog");
      if (dialog) {
        event.preventDefault();
        dialog.close();
      }
    } else if (target.dataset.reveals !== undefined) {
      const field = document.querySelector(target.dataset.reveals);
      if (!field) return;
      const shown = field.type === "password";
      field.type = shown ? "text" : "password";
      target.setAttribute("aria-pressed", String(shown));
      const label = target.querySelector("[data-label]") || target;
      label.textContent = shown ? "Hide" : "Show";
    } else if (target instanceof HTMLDialogElement && event.target === target) {
      // A click beside the dialog.
      const box = target.getBoundingClientRect();
      const inside = event.clientX >= box.left && event.clientX <= box.right && event.clientY >= box.top && event.clientY <= box.bottom;
      if (!inside && target.dataset.stays === undefined) target.close();
    }
  });

  // The theme changes at once; the box remembers it.
  document.addEventListener("submit", (event) => {
    const form = event.target.closest("form.themes");
    const chosen = event.submitter;
    if (!form || !chosen) return;
    event.preventDefault();
    root.dataset.theme = chosen.value;
    for (const button of find("button", form)) button.setAttribute("aria-pressed", String(button === chosen));
    const signal = AbortSignal.timeout ? AbortSignal.timeout(8000) : undefined;
    fetch(form.action, { method: "POST", redirect: "manual", signal, body: new URLSearchParams({ theme: chosen.value }) }).catch(() => {});
  });

  // Buttons that need a script say so by themselves.
  root.dataset.script = "";
  settle();
  tick();
})();
