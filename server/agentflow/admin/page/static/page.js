// What the page does beyond plain forms. Everything works without it.
"use strict";

(() => {
  const MOST = 200; // live calls that are kept on the page
  let paused = false;

  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // The editor's line numbers, and its height: as many lines as the text has.
  const numbered = (editor) => {
    const text = editor.querySelector("textarea");
    const gutter = editor.querySelector("pre");
    const count = () => {
      const lines = text.value.split("\n").length;
      if (gutter.dataset.lines === String(lines)) return;
      gutter.dataset.lines = String(lines);
      gutter.textContent = Array.from({ length: lines }, (_, at) => at + 1).join("\n");
      text.rows = lines;
    };
    text.addEventListener("input", count);
    count();
  };

  const begin = (root) => {
    all(".editor", root).forEach(numbered);
    all("[data-copy]", root).forEach((button) => {
      button.hidden = false;
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
        button.textContent = "Copied";
      });
    });
    all("[data-pause]", root).forEach((button) => {
      button.hidden = false;
      button.addEventListener("click", () => {
        paused = !paused;
        button.setAttribute("aria-pressed", String(paused));
        button.textContent = paused ? "Go on" : "Pause";
      });
    });
  };

  document.addEventListener("DOMContentLoaded", () => {
    begin(document);
    // On a small screen the menu is a strip: show where we are.
    const here = document.querySelector(".menu a[aria-current]");
    const menu = document.querySelector(".menu");
    if (here) menu.scrollLeft = here.offsetLeft - (menu.clientWidth - here.offsetWidth) / 2;
  });

  document.addEventListener("htmx:beforeRequest", (event) => {
    const by = event.detail.elt;
    if (by.hasAttribute("data-live") && (paused || document.hidden)) event.preventDefault();
  });

  document.addEventListener("htmx:afterSwap", () => {
    all(".calls > li").slice(MOST).forEach((row) => row.remove());
  });

  // A menu closes when something else is chosen.
  document.addEventListener("click", (event) => {
    all("details.who[open]").forEach((menu) => { if (!menu.contains(event.target)) menu.open = false; });
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") all("details.who[open]").forEach((menu) => { menu.open = false; menu.querySelector("summary").focus(); });
  });

  // Nobody loses an edited policy by leaving the page.
  const edited = new WeakSet();
  document.addEventListener("input", (event) => { if (event.target.form && event.target.form.matches("[data-keeps]")) edited.add(event.target.form); });
  document.addEventListener("submit", (event) => { if (!event.defaultPrevented) edited.delete(event.target); });
  window.addEventListener("beforeunload", (event) => { if (all("form[data-keeps]").some((form) => edited.has(form))) event.preventDefault(); });
})();
