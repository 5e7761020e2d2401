"""An incomplete request body raises an error when it is read."""

import io

import pytest

from mainstay.wsgi import WholeBody


def test_complete_body_is_read_by_bytes_and_by_lines() -> None:
    body = WholeBody(io.BytesIO(b"first\nsecond"))

    assert (body.readline(12), body.read(4), body.readline(2), body.read(0)) == (b"first\n", b"seco", b"nd", b"")


def test_read_past_the_end_of_the_body_raises_an_error() -> None:
    body = WholeBody(io.BytesIO(b"half"))

    with pytest.raises(ConnectionResetError):
        body.read(8)
    with pytest.raises(ConnectionResetError):
        body.readline(4)
