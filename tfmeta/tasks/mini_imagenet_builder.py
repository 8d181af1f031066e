"""mini-ImageNet as a TFDS data set with a manual directory.

    tfds.builder_cls("mini_imagenet")  # once this module is imported
    MiniImagenet(data_dir=...).download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir="folder with the fetched files"))

The folder is read as `mini_imagenet_files` says; it may also be the parent, TFDS's own
`downloads/manual`, with the files in `mini_imagenet/`.
"""

import io
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from tfmeta.tasks import mini_imagenet_files as files

CLASSES = 100


class MiniImagenet(tfds.core.GeneratorBasedBuilder):
    """Images as fetched, labels 0 .. 99 over all three splits, by class name.

    Only classes with all their images are prepared; a split without images is left out.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}  # noqa: RUF012 - TFDS wants this attribute
    MANUAL_DOWNLOAD_INSTRUCTIONS = files.FETCH

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            description="100 classes of ImageNet, 600 images each, for few-shot classification.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
                    "label": tfds.features.ClassLabel(num_classes=CLASSES),
                    "class_name": tfds.features.Text(),
                    "file_name": tfds.features.Text(),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://github.com/twitter-research/meta-learning-lstm",
        )

    def _split_generators(self, dl_manager):
        directory = Path(dl_manager.manual_dir)
        if (directory / "mini_imagenet").is_dir():
            directory = directory / "mini_imagenet"
        labels: set[str] = set()
        wanted: dict[str, Any] = {}
        for split in files.NAMES:
            try:
                labels.update(files.read_listing(directory, split).values())
                _, _, kept = files.complete_classes(directory, split)
            except FileNotFoundError:
                continue
            if kept:
                wanted[split] = kept
        if not wanted:
            files.read_listing(directory, "train")  # says what is missing
            files.source_files(directory, "train")
        numbers = {label: number for number, label in enumerate(sorted(labels))}
        return {
            split: self._generate_examples(directory, split, kept, numbers)
            for split, kept in wanted.items()
        }

    def _generate_examples(self, directory, split, kept, numbers):
        for name, content in files.iterate_images(directory, split):
            if name in kept:
                yield (
                    name,
                    {
                        "image": io.BytesIO(content),
                        "label": numbers[kept[name]],
                        "class_name": kept[name],
                        "file_name": name,
                    },
                )
