"""The code in the documents, which the tests run as it stands there."""

import re

from tests.support import ROOT


def blocks(document: str, language: str) -> list[str]:
    """The fenced blocks of a language, in their order."""
    text = (ROOT / document).read_text()
    found = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert found, f"{document} has no block of {language}"
    return found
