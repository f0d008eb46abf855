// What the crew's pages do beyond app.js: dragging the queue, menus and dialogs that close, and live parts that leave alone what
// somebody is using. Everything works without it, by buttons.
"use strict";
(() => {
  const find = (selector, within = document) => [...within.querySelectorAll(selector)];

  // ---- live parts ---------------------------------------------------------------------------------------------------------
  // What the box sends does not know which menu is open, which picture was fetched last, and where somebody is typing.
  if (window.Idiomorph) {
    Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, element) => {
      // (`ignoreActiveValue` would leave out all that is within the focused element: a button would keep the word for what it did.)
      if (name === "value") return element !== document.activeElement || !element.matches("input, textarea, select");
      if (name === "open") return !element.matches("details, dialog");
      if (name === "src" || name === "data-missing") return !element.matches("img[data-picture]");
      return !(name.startsWith("data-drop") || name === "data-dragged" || name === "data-dragging");
    };
  }

  // On a phone the bar of pages is wider than the screen: the present one is brought into it.
  const bar = document.querySelector(".tabs");
  const present = bar && bar.querySelector("[aria-current]");
  if (present) bar.scrollLeft = present.offsetLeft - bar.offsetLeft - (bar.clientWidth - present.offsetWidth) / 2;

  // ---- menus and dialogs ----------------------------------------------------------------------------------------------------
  const closeMenus = (but) => {
    for (const menu of find("details.menu[open]")) if (menu !== but) menu.open = false;
  };
  document.addEventListener("click", (event) => closeMenus(event.target.closest("details.menu")));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const menu = event.target.closest("details.menu[open]");
    if (menu) menu.querySelector("summary").focus();
    closeMenus();
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    const form = event.detail.elt;
    if (!event.detail.successful || !(form instanceof HTMLFormElement)) return;
    const around = form.closest("dialog[open]");
    if (around) around.close();
    closeMenus();
    // A figure that was set is not to be set again.
    if (form.matches("form.set")) for (const field of find("input:not([type=hidden])", form)) field.blur();
    if (form.id === "left-form") form.reset();
  });

  // ---- dragging the queue ---------------------------------------------------------------------------------------------------
  let drag = null;
  const unmark = () => {
    for (const slot of find("[data-drop]")) delete slot.dataset.drop;
  };
  const end = (dropped) => {
    if (!drag) return;
    const { slot, list, before, moved, key } = drag;
    drag = null;
    unmark();
    delete slot.dataset.dragged;
    delete list.dataset.dragging;
    document.removeEventListener("keydown", key);
    if (!dropped || !moved) return;
    const values = before ? { to: "before", before: before.dataset.entry } : { to: "last" };
    const form = document.getElementById(`move-form-${slot.dataset.entry}`);
    if (form) htmx.ajax("POST", form.getAttribute("action"), { source: list, target: list, swap: "none", values });
  };
  document.addEventListener("pointerdown", (event) => {
    const grip = event.target.closest("[data-grip]");
    if (!grip || event.button !== 0) return;
    const slot = grip.closest("[data-entry]");
    const list = grip.closest("[data-slots]");
    event.preventDefault();
    const key = (pressed) => pressed.key === "Escape" && end(false);
    drag = { slot, list, before: null, moved: false, key };
    slot.dataset.dragged = "";
    list.dataset.dragging = "";
    document.addEventListener("keydown", key);
  });
  document.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const { slot, list } = drag;
    if (!slot.isConnected) return end(false);
    const others = find("[data-entry]", list).filter((other) => other !== slot);
    drag.before = others.find((other) => {
      const box = other.getBoundingClientRect();
      return event.clientY < box.top + box.height / 2;
    });
    unmark();
    const next = slot.nextElementSibling;
    drag.moved = drag.before ? drag.before !== next : next !== null;
    if (!drag.moved) return;
    if (drag.before) drag.before.dataset.drop = "before";
    else if (others.length) others[others.length - 1].dataset.drop = "after";
  });
  document.addEventListener("pointerup", () => end(true));
  document.addEventListener("pointercancel", () => end(false));
})();
