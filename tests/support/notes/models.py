from django.db import models


class Note(models.Model):
    """A text, and the process and the connection to it by which its request came."""

    text = models.CharField(max_length=100)
    process = models.CharField(max_length=100)
    connection = models.CharField(max_length=100)

    objects: models.Manager["Note"] = models.Manager()

    def __str__(self) -> str:
        return self.text
