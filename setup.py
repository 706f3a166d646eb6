"""The models stand beside the package in the repository, and inside it in a wheel; all else is in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class WithModels(build_py):
    """Copies the models into what goes into the wheel."""

    def run(self):
        super().run()
        if not self.editable_mode:
            into = Path(self.build_lib) / "gfedge" / "models"
            shutil.copytree("models", into, dirs_exist_ok=True)


setup(cmdclass={"build_py": WithModels})
