"""Print the lowest versions that pyproject.toml allows of what a painting takes, as requirements.

python .ci/lowest.py [EXTRA...]
"""

import re
import sys
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).resolve().parent.parent / "pyproject.toml").read_text())["project"]
wanted = [*project["dependencies"], *(line for extra in sys.argv[1:] for line in project["optional-dependencies"][extra])]
for requirement in wanted:
    match = re.match(r"([\w.-]+)>=([\d.]+)", requirement)
    if match is None:
        sys.exit(f"pyproject.toml: '{requirement}' has no lowest version")
    print(f"{match[1]}=={match[2]}")
