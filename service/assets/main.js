// The bundle: htmx submits forms; Alpine.js (CSP build, without eval) handles local state.
// To add a library, list it in package.json and import it here.
import "htmx.org";
import Alpine from "@alpinejs/csp";
import "./main.css";

Alpine.data("theme", () => ({
  choose(event) {
    const theme = event.target.value;
    const system = theme === "system";
    if (system) delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    // A cookie, so that the server renders the theme and the page does not flash.
    document.cookie = `theme=${system ? "" : theme};path=/;max-age=${system ? 0 : 31536000};samesite=lax`;
  },
}));

Alpine.data("picture", () => ({
  message: "",
  choose(event) {
    const input = event.target;
    const [file] = input.files;
    const tooLarge = file && file.size > Number(input.dataset.maxBytes);
    this.message = tooLarge ? input.dataset.tooLarge : "";
    // The browser does not submit the form; a screen reader announces the message.
    input.setCustomValidity(this.message);
    if (tooLarge) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
    input.setAttribute("aria-describedby", `${input.id}_helptext${tooLarge ? ` ${input.id}_too_large` : ""}`);
    // Remove the server's error for the previous file.
    document.getElementById(`${input.id}_error`)?.remove();
  },
}));

// After a swap, focus the first invalid field, else the form's error, else the heading.
document.addEventListener("htmx:after:swap", () => {
  const places = ["[aria-invalid=true]", ".errorlist.nonfield:not([hidden])", "#main h1"];
  places.map((place) => document.querySelector(place)).find(Boolean)?.focus();
});

// If the network or a proxy fails, keep the form and show an error.
const showUnsent = (unsent) => {
  const message = document.getElementById("unsent");
  message.hidden = !unsent;
  if (unsent) message.focus();
};
document.addEventListener("htmx:before:request", () => showUnsent(false));
document.addEventListener("htmx:error", () => showUnsent(true));
document.addEventListener("htmx:after:request", (event) => {
  const { response, text } = event.detail.ctx;
  if (response.status < 400 || text.includes('id="main"')) return;
  event.preventDefault();
  showUnsent(true);
});

Alpine.start();
