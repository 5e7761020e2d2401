"""Sign-up, login, passwords by Django's own views, and the profile."""

from django.contrib import messages
from django.contrib.auth import views as auth
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.messages.views import SuccessMessageMixin
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse_lazy
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from service.accounts import models
from service.accounts.forms import PasswordResetForm, ProfileForm, SignUpForm


@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def sign_up(request: HttpRequest) -> HttpResponse:
    form = SignUpForm(request.POST or None)
    if form.is_valid() and form.sign_up():
        messages.success(request, "Your account is ready. Log in to go on.")
        return redirect("accounts:login")
    return render(request, "accounts/sign_up.html", {"form": form})


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def profile(request: HttpRequest) -> HttpResponse:
    assert isinstance(request.user, models.User)
    # Whoever was made by `createsuperuser` has none yet.
    own, _ = models.Profile.objects.get_or_create(user=request.user)
    form = ProfileForm(request.POST or None, request.FILES or None, instance=own)
    if form.is_valid() and form.store():
        messages.success(request, "Your profile is saved.")
        return redirect("accounts:profile")
    if form.is_bound:
        own.refresh_from_db()  # the form has put what it refused into it
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
    success_message = "Your password is changed."


class PasswordReset(auth.PasswordResetView):
    template_name = "accounts/password_reset.html"
    form_class = PasswordResetForm
    success_url = reverse_lazy("accounts:password_reset_sent")

    def form_valid(self, form: BaseForm) -> HttpResponse:
        assert isinstance(form, PasswordResetForm)
        form.save(base_url=self.request.build_absolute_uri("/")[:-1])
        return redirect(self.get_success_url())


class PasswordResetConfirm(SuccessMessageMixin, auth.PasswordResetConfirmView):
    template_name = "accounts/password_reset_confirm.html"
    success_url = reverse_lazy("accounts:login")
    success_message = "Your new password is set. Log in with it."
