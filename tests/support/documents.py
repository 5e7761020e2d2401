"""Code blocks of the documents, which the tests run unchanged."""

import re

from tests.support import ROOT


def blocks(document: str, language: str) -> list[str]:
    """Return the fenced code blocks of a language in the order of the document."""
    text = (ROOT / document).read_text()
    found = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert found, f"{document} has no {language} code block"
    return found
