// The bundle: htmx for the forms, Alpine.js (its CSP build: no eval) for small state.
// Another library enters the same way: add it to package.json and import it here.
import "htmx.org";
import Alpine from "@alpinejs/csp";
import "./main.css";

Alpine.data("theme", () => ({
  choose(event) {
    const theme = event.target.value;
    const own = theme === "system";
    if (own) delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    // A cookie, so that the server writes it into the page and nothing flashes.
    document.cookie = `theme=${own ? "" : theme};path=/;max-age=${own ? 0 : 31536000};samesite=lax`;
  },
}));

Alpine.data("picture", () => ({
  message: "",
  choose(event) {
    const input = event.target;
    const [file] = input.files;
    const refused = file && file.size > Number(input.dataset.maxBytes);
    this.message = refused ? "The picture is larger than 2 MB. Choose a smaller one." : "";
    // The browser then keeps the form, and a screen reader hears why.
    input.setCustomValidity(this.message);
    if (refused) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
    input.setAttribute("aria-describedby", `${input.id}_helptext${refused ? ` ${input.id}_refusal` : ""}`);
    // What the server said of the former choice.
    document.getElementById(`${input.id}_error`)?.remove();
  },
}));

// Keyboard and screen reader go on where the answer needs them.
document.addEventListener("htmx:after:swap", () => {
  const places = ["[aria-invalid=true]", ".errorlist.nonfield:not([hidden])", "#main h1"];
  places.map((place) => document.querySelector(place)).find(Boolean)?.focus();
});

// Without an answer of ours (no network, a proxy's own page) the form stays as it is, and says so.
const unsent = (yes) => {
  const message = document.getElementById("unsent");
  message.hidden = !yes;
  if (yes) message.focus();
};
document.addEventListener("htmx:before:request", () => unsent(false));
document.addEventListener("htmx:error", () => unsent(true));
document.addEventListener("htmx:after:request", (event) => {
  const { response, text } = event.detail.ctx;
  if (response.status < 400 || text.includes('id="main"')) return;
  event.preventDefault();
  unsent(true);
});

window.Alpine = Alpine;
Alpine.start();
