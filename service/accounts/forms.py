from typing import Any

from django import forms
from django.contrib.auth.forms import UserCreationForm
from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile

from service.accounts import pictures
from service.accounts.models import Profile, User


class SignUpForm(UserCreationForm):
    class Meta(UserCreationForm.Meta):
        model = User
        fields = ("username", "email")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["email"].required = True
        self.fields["email"].widget.attrs["autocomplete"] = "email"
        self.fields["username"].help_text = "Letters, digits and @ . + - _ only."


class ProfileForm(forms.ModelForm):
    """`picture` is a new picture, re-encoded, or None."""

    picture = forms.FileField(
        required=False,
        help_text=pictures.FORMATS,
        widget=forms.FileInput(
            attrs={
                "accept": "image/jpeg,image/png,image/webp",
                # main.js checks the size before the upload.
                "data-max-bytes": pictures.MAX_BYTES,
                "data-too-large": pictures.TOO_LARGE,
            }
        ),
    )
    remove_picture = forms.BooleanField(required=False)

    class Meta:
        model = Profile
        fields = ("display_name",)

    def clean_picture(self) -> ContentFile | None:
        upload = self.cleaned_data["picture"]
        return pictures.reencode(upload) if upload else None

    def clean(self) -> None:
        super().clean()
        if self.cleaned_data.get("picture") and self.cleaned_data["remove_picture"]:
            raise ValidationError("Choose a new picture or remove the current one, not both.")
