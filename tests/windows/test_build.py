"""Building says in one line why it cannot, and builds again when the recipe changes."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.windows import build as module
from tests.windows.build import Unavailable, build
from tests.windows.recipe import fingerprint, packages

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="optional: nothing is built on Windows"
)


def test_without_wine_and_without_the_right_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "install.sh"
    script.write_text("echo 'not installed: wine64 (run: sudo apt-get install wine64)' >&2\n")
    monkeypatch.setattr(module, "_SYSTEM_PACKAGES", script)
    which = shutil.which
    monkeypatch.setattr(
        shutil, "which", lambda name, **more: None if "wine" in name else which(name, **more)
    )
    with pytest.raises(Unavailable) as caught:
        build()
    assert str(caught.value) == "not installed: wine64 (run: sudo apt-get install wine64)"


def test_on_another_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(Unavailable, match="x86-64 Linux"):
        build()


def test_a_step_that_fails_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"^doing it failed: no such thing$"):
        module._run(["sh", "-c", "echo much; echo no such thing >&2; exit 3"], "doing it")
    with pytest.raises(Unavailable, match=r"^doing it failed: .*nothing-here"):
        module._run([tmp_path / "nothing-here"], "doing it")


def test_builds_that_nobody_uses_go(tmp_path: Path) -> None:
    old, used, new = (tmp_path / f"windows-python-{name}" for name in ("old", "used", "new"))
    for folder in (old, used, new):
        folder.mkdir()
    (used / "runs").mkdir()
    for folder in (old, used):
        os.utime(folder, (0, 0))
    module._forget_unused(tmp_path)
    assert sorted(tmp_path.iterdir()) == [new, used]


def test_everything_that_goes_in_is_in_the_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fingerprint("a") == fingerprint("a") != fingerprint("b")
    assert any(requirement.startswith("websockets==") for requirement in packages())
    before = fingerprint()
    monkeypatch.setattr("importlib.metadata.version", lambda name: "0.0")
    assert fingerprint() != before
