// The bundle: htmx for the forms, Alpine.js (its CSP build: no eval) for small state.
// Another library enters the same way: add it to package.json and import it here.
import "htmx.org";
import Alpine from "@alpinejs/csp";
import "./main.css";

Alpine.data("theme", () => ({
  get dark() {
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  },
  toggle() {
    const theme = this.dark ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    // A cookie, so that the server writes it into the page and nothing flashes.
    document.cookie = `theme=${theme};path=/;max-age=31536000;samesite=lax`;
  },
}));

Alpine.data("picture", () => ({
  message: "",
  choose(event) {
    const [file] = event.target.files;
    const limit = Number(event.target.dataset.maxBytes);
    this.message = file && file.size > limit ? "The picture is larger than 2 MB. Choose a smaller one." : "";
    event.target.setCustomValidity(this.message);
  },
}));

// Keyboard and screen reader go on where the answer needs them.
document.addEventListener("htmx:after:swap", () => {
  document.querySelector("[aria-invalid=true], .errorlist.nonfield, #main h1")?.focus();
});

window.Alpine = Alpine;
Alpine.start();
