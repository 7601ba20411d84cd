"""Print the oldest version of every dependency that pyproject.toml allows, as constraints for pip."""

import tomllib
from pathlib import Path

from packaging.requirements import Requirement

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
for requirement in map(Requirement, [*project["dependencies"], *project["optional-dependencies"]["s3"]]):
    lowest = next(part.version for part in requirement.specifier if part.operator in (">=", "=="))
    print(f"{requirement.name}=={lowest}")
