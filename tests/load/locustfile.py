"""People who look around, sign up, log in and change their profile; for `make load`, never part of the suite."""

import secrets

from locust import FastHttpUser, between, task


class Visitor(FastHttpUser):
    """Whoever is only looking."""

    weight = 8
    wait_time = between(0.5, 2)

    @task(3)
    def home(self) -> None:
        self.client.get("/")

    @task
    def login_page(self) -> None:
        self.client.get("/accounts/login/")


class Person(FastHttpUser):
    """Whoever signs up, logs in and comes back."""

    weight = 2
    wait_time = between(1, 3)

    def on_start(self) -> None:
        name, password = f"load-{secrets.token_hex(8)}", secrets.token_urlsafe(16)
        self._post(
            "/accounts/sign-up/", username=name, email=f"{name}@example.org", password1=password, password2=password
        )
        self._post("/accounts/login/", username=name, password=password)

    @task(3)
    def look(self) -> None:
        self.client.get("/accounts/profile/")

    @task
    def change(self) -> None:
        self._post("/accounts/profile/", display_name=secrets.token_hex(4))

    def _post(self, path: str, **fields: str) -> None:
        """Fetches the form for its token, and sends it; an error on the form is a failure."""
        page = self.client.get(path, name=f"{path} (form)").text
        token = page.partition('name="csrfmiddlewaretoken" value="')[2].partition('"')[0]
        headers = {"Referer": f"{self.host}{path}"}
        data = {"csrfmiddlewaretoken": token, **fields}
        with self.client.post(path, data, headers=headers, catch_response=True) as answer:
            if 'aria-invalid="true"' in (answer.text or ""):
                answer.failure("the form came back with an error")
