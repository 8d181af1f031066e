"""Learned initialisations by name: one file each, of arrays and JSON, with a card."""

from tfmeta.presets.archive import Preset, read_preset, write_preset
from tfmeta.presets.card import card
from tfmeta.presets.sources import find_preset, open_preset, preset_names

__all__ = [
    "Preset",
    "card",
    "find_preset",
    "open_preset",
    "preset_names",
    "read_preset",
    "write_preset",
]
