"""Writes the tables of figures in the documents from the files under results/.

    python -m benchmarks.document_tables [--write]

Without `--write` the command names the documents whose tables differ from the files, and exits with
1 if there are any.
"""

from absl import app, flags

from benchmarks.document_tables.documents import DOCUMENTS, ROOT, with_tables

_WRITE = flags.DEFINE_bool("write", False, "Write the documents.")


def main(_):
    texts = {name: (ROOT / name).read_text(encoding="utf-8") for name in DOCUMENTS}
    written = {name: with_tables(text) for name, text in texts.items()}
    differing = [name for name in DOCUMENTS if written[name] != texts[name]]
    for name in differing:
        print(name)
        if _WRITE.value:
            (ROOT / name).write_text(written[name], encoding="utf-8")
    return int(bool(differing) and not _WRITE.value)


if __name__ == "__main__":
    app.run(main)
