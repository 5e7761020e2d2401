"""Sign-up, login, profile and passwords."""

import structlog
from django.contrib import messages
from django.contrib.auth import views as auth
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import AuthenticationForm, PasswordResetForm
from django.contrib.messages.views import SuccessMessageMixin
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse_lazy
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from service.accounts import models, services
from service.accounts.forms import ProfileForm, SignUpForm

logger = structlog.get_logger(__name__)


@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def sign_up(request: HttpRequest) -> HttpResponse:
    form = SignUpForm(request.POST or None)
    if form.is_valid():
        try:
            services.sign_up(form.save(commit=False))
        except IntegrityError:
            form.add_error(None, "This username or email address has just been taken. Choose another one.")
        else:
            messages.success(request, "Your account has been created. You can log in now.")
            return redirect("accounts:login")
    return render(request, "accounts/sign_up.html", {"form": form})


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def profile(request: HttpRequest) -> HttpResponse:
    assert isinstance(request.user, models.User)
    # A user created by createsuperuser has no profile yet.
    own, _ = models.Profile.objects.get_or_create(user=request.user)
    form = ProfileForm(request.POST or None, request.FILES or None, instance=own)
    if form.is_valid():
        picture, remove_picture = form.cleaned_data["picture"], form.cleaned_data["remove_picture"]
        try:
            services.update_profile(own, picture=picture, remove_picture=remove_picture)
        except services.StorageError:
            logger.exception("picture_not_stored")
            form.add_error("picture", "The picture could not be stored. Try again later.")
        else:
            messages.success(request, "Your profile has been saved.")
            return redirect("accounts:profile")
    if form.is_bound:
        own.refresh_from_db()  # the page shows the stored profile, not the rejected input
    return render(request, "accounts/profile.html", {"form": form, "profile": own})


class Login(auth.LoginView):
    template_name = "accounts/login.html"

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        response = super().form_valid(form)
        models.Login.objects.create(user=form.get_user())
        return response


class PasswordChange(SuccessMessageMixin, auth.PasswordChangeView):
    template_name = "accounts/password_change.html"
    success_url = reverse_lazy("accounts:profile")
    success_message = "Your password has been changed."


class PasswordReset(auth.PasswordResetView):
    template_name = "accounts/password_reset.html"
    success_url = reverse_lazy("accounts:password_reset_sent")

    def form_valid(self, form: PasswordResetForm) -> HttpResponse:
        """Enqueues the mail: a response that waits for the mail server tells that the address is known."""
        base_url = f"{self.request.scheme}://{self.request.get_host()}"
        for user in form.get_users(form.cleaned_data["email"]):
            services.request_password_reset(user, base_url)
        return redirect(self.get_success_url())


class PasswordResetConfirm(SuccessMessageMixin, auth.PasswordResetConfirmView):
    template_name = "accounts/password_reset_confirm.html"
    success_url = reverse_lazy("accounts:login")
    success_message = "Your password has been set. You can log in now."
