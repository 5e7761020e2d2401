"""What people may tell us about themselves."""

from collections.abc import Callable
from typing import Any

import structlog
from django import forms
from django.contrib.auth.forms import PasswordResetForm as DjangoPasswordResetForm
from django.contrib.auth.forms import UserCreationForm
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.db import IntegrityError, transaction

from service.accounts import tasks
from service.accounts.models import Mail, Profile, User
from service.accounts.pictures import MAX_BYTES, reencode

logger = structlog.get_logger(__name__)


class SignUpForm(UserCreationForm):
    class Meta(UserCreationForm.Meta):
        model = User
        fields = ("username", "email")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["email"].required = True
        self.fields["email"].widget.attrs["autocomplete"] = "email"
        self.fields["username"].help_text = "Letters, digits and @ . + - _ only."

    def sign_up(self) -> User | None:
        """The new person, with profile and welcome mail; None, with an error on the form, if another was faster."""
        try:
            with transaction.atomic():
                user: User = self.save()
                Profile.objects.create(user=user)
                Mail.objects.create(user=user, kind=Mail.Kind.WELCOME)
                # Without a broker the account is there all the same, and send_pending_mail sends later.
                _after_commit(tasks.send_welcome_email.delay, user.pk)
        except IntegrityError:
            self.add_error(None, "This username or e-mail address was taken a moment ago. Choose another.")
            return None
        return user


class PasswordResetForm(DjangoPasswordResetForm):
    def save(self, *, base_url: str) -> None:  # type: ignore[override] # the worker writes the mail
        """Lets the worker write to everyone of that address who has a password."""
        for user in self.get_users(self.cleaned_data["email"]):
            with transaction.atomic():
                mail = Mail.objects.create(user=user, kind=Mail.Kind.PASSWORD_RESET)
                _after_commit(tasks.send_password_reset_email.delay, mail.pk, base_url)


class ProfileForm(forms.ModelForm):
    picture = forms.FileField(
        required=False,
        help_text="JPEG, PNG or WebP, at most 2 MB.",
        widget=forms.FileInput(attrs={"accept": "image/jpeg,image/png,image/webp", "data-max-bytes": MAX_BYTES}),
    )
    remove_picture = forms.BooleanField(required=False)

    class Meta:
        model = Profile
        fields = ("display_name", "picture")

    def clean_picture(self) -> Any:
        picture = self.cleaned_data["picture"]
        if not isinstance(picture, UploadedFile):
            return picture
        return reencode(picture)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if cleaned.get("remove_picture"):
            if "picture" in self.changed_data:
                raise ValidationError("Choose a new picture or remove the old one, not both.")
            cleaned["picture"] = ""
        return cleaned

    def store(self) -> Profile | None:
        """The stored profile; None, with an error on the form, if the storage doesn't take the picture.

        The former picture goes when the new one is certain.
        """
        has_new = "picture" in self.changed_data
        try:
            if has_new:  # before the transaction, which would wait for the storage
                picture = self.cleaned_data["picture"]
                self.instance.picture.save(picture.name, picture, save=False)
        except Exception:  # each storage has errors of its own
            logger.exception("picture_not_stored")
            self.add_error("picture", "The picture can't be stored at the moment. Try it again later.")
            return None
        with transaction.atomic():
            # As it is by now: another request may have changed it since this one read it.
            former = Profile.objects.select_for_update().get(pk=self.instance.pk).picture
            if not (has_new or self.cleaned_data["remove_picture"]):
                self.instance.picture = former
            profile: Profile = self.save()
            if former and former.name != profile.picture.name:
                _after_commit(former.storage.delete, str(former.name))
        return profile


def _after_commit(function: Callable[..., Any], *arguments: Any) -> None:
    """Calls it when the transaction is certain; its failure is logged and changes nothing of what is stored."""

    def call() -> None:  # Django's log of a failure asks for a __qualname__, which a partial has not
        function(*arguments)

    transaction.on_commit(call, robust=True)
