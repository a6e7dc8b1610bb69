// Light, dark, or as the system has it. Runs before the page is painted.
"use strict";
(() => {
  const root = document.documentElement;
  const names = { "": "as the system has it", light: "light", dark: "dark" };
  const order = Object.keys(names);

  function remembered() {
    try {
      return localStorage.getItem("dmlbench-theme") ?? "";
    } catch {
      return ""; // storage may be forbidden
    }
  }

  function show(theme) {
    if (theme) root.dataset.theme = theme;
    else delete root.dataset.theme;
  }

  root.classList.add("script");
  show(remembered());
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    let theme = order.includes(remembered()) ? remembered() : "";
    const label = () => {
      button.textContent = { "": "◐", light: "☀", dark: "☾" }[theme];
      button.title = `Colours: ${names[theme]}`;
      button.setAttribute("aria-label", button.title);
    };
    button.hidden = false;
    label();
    button.addEventListener("click", () => {
      theme = order[(order.indexOf(theme) + 1) % order.length];
      show(theme);
      label();
      try {
        localStorage.setItem("dmlbench-theme", theme);
      } catch {
        // it holds for this page
      }
    });
  });
})();
