#!/usr/bin/env python3
"""Prints the first code block of a README, exactly as it stands there.

usage: bindings/readme.py README [LANGUAGE]
"""

import re
import sys


def first_block(text, language):
    """The text between the first fence with this language and the next."""
    found = re.search(rf"^```{re.escape(language)}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    if not found:
        sys.exit(f"bindings/readme.py: no code block of the language {language!r}")
    return found[1]


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: bindings/readme.py README [LANGUAGE]")
    with open(sys.argv[1], encoding="utf-8") as readme:
        content = readme.read()
    first = re.search(r"^```(\w+)$", content, re.MULTILINE)
    wanted = sys.argv[2] if len(sys.argv) == 3 else first and first[1]
    if not first or first[1] != wanted:
        sys.exit(f"{sys.argv[1]}: the first code block is not in {wanted}")
    sys.stdout.write(first_block(content, wanted))
