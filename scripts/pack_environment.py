"""Pack this Python for Spark's executors: python -m scripts.pack_environment ENVIRONMENT PROJECT

ENVIRONMENT (.tar.gz) gets the interpreter, its library and the packages that the tasks of a
rollup need; PROJECT (.zip) gets this project. ``spark-submit`` hands out the one by ``--archives
ENVIRONMENT#environment`` with ``spark.pyspark.python=./environment/bin/python``, the other by
``--py-files PROJECT``. msgspec, numpy and pyarrow are compiled: run it where the executors run, or
on the same system and processor.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]

# What tasks import, besides this project; their own dependencies follow.
WANTED = (
    *("backports.zstd", "boto3", "click", "filelock", "jinja2", "msgspec", "numpy", "pandas"),
    *("pyarrow", "pyyaml", "rich", "sqlite-utils", "zlib-ng"),
)

# Parts of the library that are large and that no task needs.
_LEFT_OUT = {"test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "__pycache__"}
_LEFT_OUT |= {"site-packages", "lib2to3"}


def main(arguments: list[str]) -> None:
    """Write both files."""
    environment, project = map(Path, arguments)
    pack_environment(environment)
    pack_project(project)


def pack_environment(target: Path, *, level: int = 6) -> None:
    """Write the interpreter with the packages. ``level``: of the compression, 0 for none.

    Of other archives, Spark keeps no permissions, and cannot run what it unpacked.
    """
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    base = Path(sys.base_prefix)
    with tarfile.open(target, "w:gz", compresslevel=level, dereference=True) as archive:
        interpreter = Path(os.path.realpath(sys.executable))
        for name in ("python", version):
            archive.add(interpreter, f"bin/{name}")
        for shared in sorted(base.glob("lib/libpython*.so*")):
            archive.add(shared, f"lib/{shared.name}", recursive=False)
        library = Path(sysconfig.get_path("stdlib"))
        archive.add(library, f"lib/{version}", filter=_kept)
        for file, name in sorted(package_files()):
            archive.add(file, f"lib/{version}/site-packages/{name}", recursive=False)


def _kept(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    parts = Path(member.name).parts
    left_out = any(part in _LEFT_OUT or part.startswith("config-") for part in parts)
    return None if left_out else member


def package_files() -> Iterator[tuple[Path, str]]:
    """Yield the files of the packages, with their names below site-packages."""
    waiting, seen = list(WANTED), set[str]()
    while waiting:
        name = waiting.pop()
        if name.lower() in seen:
            continue
        seen.add(name.lower())
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue
        for one in found.requires or ():
            requirement = Requirement(one)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
        for file in found.files or ():
            place = Path(str(file.locate()))
            if ".." not in file.parts and place.is_file() and "tests" not in file.parts:
                yield place, str(file)


def pack_project(target: Path) -> None:
    """Write the project as its wheel has it: SQL and metadata are inside the package."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted((ROOT / "etl").rglob("*")):
            if file.is_file() and file.suffix != ".pyc" and "data" not in file.parts:
                archive.write(file, file.relative_to(ROOT))
        for file in sorted((ROOT / "sql").rglob("*")):
            if file.is_file() and file.suffix != ".json":
                archive.write(file, Path("etl") / file.relative_to(ROOT))
        archive.write(ROOT / "metadata.yml", "etl/metadata.yml")


if __name__ == "__main__":
    main(sys.argv[1:])
