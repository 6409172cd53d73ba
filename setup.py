"""Build `attentropy` from its rooms, which lie in the root of the repository.

src/attentropy links to them, so that the source tree can be run as it is. A build takes the rooms
themselves: where git makes no symbolic links (usual on Windows), text files are in their place.
"""

import sys

from setuptools import find_namespace_packages, setup

PLACES = {
    "attentropy.engine": "engine",
    "attentropy.kernels": "kernels",
    "attentropy.report": "report",
    "attentropy.templates": "templates",
}

if "editable_wheel" in sys.argv:  # the path of src alone, where `attentropy` finds the rooms
    setup(packages=["attentropy"], package_dir={"": "src"})
else:
    setup(
        packages=[
            "attentropy",
            *PLACES,
            *(
                f"{package}.{inner}"
                for package, folder in PLACES.items()
                for inner in find_namespace_packages(folder, exclude=["*__pycache__*"])
            ),
        ],
        package_dir={"attentropy": "src/attentropy", **PLACES},
    )
