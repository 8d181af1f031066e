"""The export of a preset, made by a process of its own: a server loads no Keras and no learner."""

import subprocess
import sys


def preset_base_path(preset: str, sha256: str | None = None) -> str:
    """The directory of versions of a preset's export, in the cache; made where it is not there.

    Args:
        preset: a name, a path or a URL.
        sha256: of the preset's file, or None.

    Raises:
        ValueError: if there is no such preset, or no Keras to export it.
    """
    command = [sys.executable, "-m", "tfmeta.presets", f"--preset={preset}", "--cached_export"]
    if sha256 is not None:
        command.append(f"--sha256={sha256}")
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        said = next((line for line in reversed(lines) if line.startswith("error: ")), None)
        if said:
            raise ValueError(said.removeprefix("error: "))
        raise ValueError(
            "A preset is exported by tfmeta with Keras, in a process of its own. Received: "
            f"{lines[-1]}. Where Keras is missing, run `python -m tfmeta.presets --preset=... "
            "--export_dir=...` elsewhere, and serve that directory by --model_base_path."
        )
    return done.stdout.strip().splitlines()[-1]
