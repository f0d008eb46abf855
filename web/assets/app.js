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
  // An event source that never gives up: htmx's extension sees one source that is always about to open. The box beats every
  // 10 s; 25 s without is a lost connection even where the network does not say so.
  const lost = document.getElementById("lost");
  const build = root.dataset.build;
  let silent = 0;
  const tell = (connected) => {
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
    }, 1500);
  };
  class Line extends EventTarget {
    constructor(url) {
      super();
      this.url = url;
      this.names = new Set(["beat"]);
      this.tries = 0;
      this.readyState = EventSource.CONNECTING;
      this.pass = (event) => {
        this.heard = performance.now();
        if (event.type === "beat") this.beat(event.data);
        this.dispatchEvent(new MessageEvent(event.type, { data: event.data, lastEventId: event.lastEventId }));
      };
      this.watch = setInterval(() => this.look(), 5000);
      // A browser has six connections to one box for all its tabs: one that nobody has seen for a minute gives its own back.
      this.seen = () => {
        clearTimeout(this.rest);
        if (document.hidden) this.rest = setTimeout(() => this.pause(), 60000);
        else if (this.paused) this.open();
        else this.look();
      };
      document.addEventListener("visibilitychange", this.seen);
      this.open();
    }
    pause() {
      this.paused = true;
      clearTimeout(this.next);
      this.source.close();
      this.readyState = EventSource.CONNECTING;
    }
    open() {
      this.paused = false;
      this.heard = performance.now();
      this.source = new EventSource(this.url);
      for (const name of this.names) this.source.addEventListener(name, this.pass);
      this.source.onopen = () => {
        this.heard = performance.now();
        this.tries = 0;
        this.readyState = EventSource.OPEN;
        fresh = true;
        tell(true);
        if (this.onopen) this.onopen(new Event("open"));
      };
      this.source.onerror = () => this.again();
    }
    again() {
      if (this.readyState === EventSource.CLOSED || this.paused) return;
      this.readyState = EventSource.CONNECTING;
      this.source.close();
      tell(false);
      clearTimeout(this.next);
      // 0.5, 1, 2, 4, 5, 5 ... seconds, and a little by chance: a whole venue must not come back in one instant.
      const wait = Math.min(5000, 500 * 2 ** this.tries) * (0.8 + 0.4 * Math.random());
      this.tries = Math.min(this.tries + 1, 5);
      this.next = setTimeout(() => this.open(), wait);
    }
    look() {
      if (this.readyState === EventSource.OPEN && performance.now() - this.heard > 25000) this.again();
    }
    beat(data) {
      const [now, served] = data.split(" ");
      hear(Number(now));
      tick();
      if (build && served && served !== build) renew();
    }
    addEventListener(name, ...rest) {
      super.addEventListener(name, ...rest);
      if (!this.names.has(name)) {
        this.names.add(name);
        this.source.addEventListener(name, this.pass);
      }
    }
    close() {
      this.readyState = EventSource.CLOSED;
      clearInterval(this.watch);
      clearTimeout(this.next);
      clearTimeout(this.rest);
      document.removeEventListener("visibilitychange", this.seen);
      this.source.close();
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
  for (const gone of ["htmx:sendError", "htmx:timeout"])
    document.addEventListener(gone, () => say("The box can not be reached, so nothing was changed. Try again in a moment."));

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
    fetch(form.action, { method: "POST", redirect: "manual", body: new URLSearchParams({ theme: chosen.value }) }).catch(() => {});
  });

  // Buttons that need a script say so by themselves.
  root.dataset.script = "";
  settle();
  tick();
})();
