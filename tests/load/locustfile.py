"""Load on a running service: visitors, and users who sign up, log in and change their profile. Run by `make load`."""

import secrets

from locust import FastHttpUser, between, task


class Visitor(FastHttpUser):
    """An anonymous visitor."""

    weight = 8
    wait_time = between(0.5, 2)

    @task(3)
    def home(self) -> None:
        self.client.get("/")

    @task
    def login_page(self) -> None:
        self.client.get("/accounts/login/")


class Member(FastHttpUser):
    """A user who signs up and logs in."""

    weight = 2
    wait_time = between(1, 3)

    def on_start(self) -> None:
        name, password = f"load-{secrets.token_hex(8)}", secrets.token_urlsafe(16)
        self._post(
            "/accounts/sign-up/", username=name, email=f"{name}@example.org", password1=password, password2=password
        )
        self._post("/accounts/login/", username=name, password=password)

    @task(3)
    def profile(self) -> None:
        self.client.get("/accounts/profile/")

    @task
    def change_profile(self) -> None:
        self._post("/accounts/profile/", display_name=secrets.token_hex(4))

    def _post(self, path: str, **fields: str) -> None:
        """Load the form for its CSRF token and submit it. Form errors count as failures."""
        page = self.client.get(path, name=f"{path} (form)").text
        token = page.partition('name="csrfmiddlewaretoken" value="')[2].partition('"')[0]
        headers = {"Referer": f"{self.host}{path}"}
        data = {"csrfmiddlewaretoken": token, **fields}
        with self.client.post(path, data, headers=headers, catch_response=True) as response:
            if 'aria-invalid="true"' in (response.text or ""):
                response.failure("The form was returned with errors.")
