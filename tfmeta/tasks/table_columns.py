"""Columns of a table as numbers: what each column is, and how its values become inputs."""

import csv
import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

MOST_CATEGORIES = 100  # more look like names or numbers of single rows
_MOST_NAMES = 5  # in a message
_MISSING_TEXTS = ("", "nan", "na", "n/a", "#n/a", "<na>", "null")  # in lower case
_VALUES = (str, bool, int, float, np.integer, np.floating, np.bool_)
# Numbers as people write them: 3,5 or 1.234,50 or 12 % or $3.
_WRITTEN_NUMBER = re.compile(
    r"[-+]?[$€£]?\s?[0-9]{1,3}(?:[.,'\u2019\s]?[0-9]{3})*(?:[.,][0-9]+)?\s?[%$€£]?"
)


# Dates as files have them: 2026-05-19, 19.05.2026 or 5/19/26, with or without a time.
_WRITTEN_DATE = re.compile(
    r"(?:[0-9]{4}[-/.][0-9]{1,2}|[0-9]{1,2}[-/.][0-9]{1,2})[-/.][0-9]{1,4}([ T].*)?"
)


def read_table(table: Any, delimiter: str = ",") -> dict[str, list]:
    """Reads a table into columns of Python values, None where a value is missing.

    Args:
        table: path of a CSV file with a header (UTF-8), a DataFrame, or a mapping from names to
            values.
        delimiter: between the values of a CSV file.

    Raises:
        ValueError: for a table of another kind, or one that is not a table of named columns.
    """
    if isinstance(table, (str, Path)):
        columns = _read_csv(Path(table).expanduser(), delimiter)
    elif isinstance(table, Mapping):
        columns = {str(name): list(values) for name, values in table.items()}
    elif hasattr(table, "columns") and hasattr(table, "__getitem__"):
        names = list(table.columns)
        _check_names([str(name) for name in names], "the DataFrame")
        columns = {str(name): list(table[name].to_numpy()) for name in names}
    else:
        raise ValueError(
            "A table is the path of a CSV file, a DataFrame, or a dict of columns. Received: "
            f"{type(table).__name__}. Pass one of these."
        )
    if len({len(values) for values in columns.values()}) != 1 or not next(iter(columns.values())):
        sizes = {name: len(values) for name, values in columns.items()}
        raise ValueError(
            f"A table has rows, as many in every column. Received: {sizes}. Check the table."
        )
    return {
        name: [None if _is_missing(value) else value for value in values]
        for name, values in columns.items()
    }


def check_columns(columns: Mapping[str, list], names: Iterable[str], argument: str) -> None:
    """Raises ValueError for a name that no column has, with the nearest names."""
    for name in names:
        if name not in columns:
            close = difflib.get_close_matches(name, columns, n=1)
            nearest = f" Did you mean {close[0]!r}?" if close else ""
            raise ValueError(
                f"{argument} must name columns of the table. Received: {name!r}; the table has "
                f"{', '.join(map(repr, columns))}.{nearest}"
            )


def describe_column(
    name: str, values: Sequence, rows: Sequence[int], category: bool, scale: bool
) -> dict[str, Any]:
    """What a column is, from some of its rows.

    Args:
        name: of the column.
        values: of all rows.
        rows: the rows that its statistics and categories come from.
        category: whether numbers in it are names of categories.
        scale: whether numbers are to have mean 0 and deviation 1.

    Returns:
        `{"name", "kind": "number", "mean", "std"}` or `{"name", "kind": "category", "values"}`.

    Raises:
        ValueError: for numbers mixed with texts, other kinds of values, values that do not
            differ, or too many categories; the column is named.
    """
    if category or not _is_numeric(name, values):
        if not category:
            _check_not_written_numbers(name, values)
        known = sorted({_category(values[row]) for row in rows})
        if not 2 <= len(known) <= min(MOST_CATEGORIES, len(rows) // 2):
            raise ValueError(
                f"A column of categories has 2 to {MOST_CATEGORIES} of them, each in several rows. "
                f"Received: column {name!r} with {len(known)}, e.g. {known[0]!r}, in {len(rows)} "
                "rows of the training groups. Leave it out of features, or join rare categories."
            )
        return {"name": name, "kind": "category", "values": known}
    numbers = np.asarray([float(values[row]) for row in rows])
    if numbers.min() == numbers.max():
        raise ValueError(
            f"A column's values must differ. Received: column {name!r}, which is {numbers[0]:g} in "
            "all training groups. Leave it out."
        )
    with np.errstate(over="ignore", invalid="ignore"):
        mean, std = (float(numbers.mean()), float(numbers.std())) if scale else (0.0, 1.0)
    if not 0 < std < math.inf:
        raise ValueError(
            f"Numbers must have a mean and a deviation. Received: column {name!r} from "
            f"{numbers.min():g} to {numbers.max():g}. Write it in another unit, or take logarithms."
        )
    return {"name": name, "kind": "number", "mean": mean, "std": std}


def encode_column(column: Mapping[str, Any], values: Sequence, unseen: str = "refuse"):
    """A column as numbers.

    Args:
        column: of `describe_column`.
        values: to encode, none missing.
        unseen: "refuse", or "zeros" for a category that is not known.

    Returns:
        float32 [N, 1] for numbers, [N, categories] with a 1 for the category.
    """
    if column["kind"] == "number":
        return _encode_numbers(column, values)
    positions = {value: position for position, value in enumerate(column["values"])}
    encoded = np.zeros((len(values), len(positions)), np.float32)
    for row, value in enumerate(map(_category, values)):
        if value in positions:
            encoded[row, positions[value]] = 1.0
        elif unseen == "refuse":
            raise ValueError(
                "Categories must be of the training groups. Received: "
                f"{value!r} in column {column['name']!r}, where they have "
                f"{', '.join(map(repr, column['values'][:_MOST_NAMES]))}"
                f"{', ...' if len(column['values']) > _MOST_NAMES else ''}. Pass unseen='zeros' to "
                "give it no category, or leave the column out."
            )
    return encoded


def _encode_numbers(column, values):
    found = [_number(value, column["name"]) for value in values]
    if None in found:
        row = found.index(None)
        raise ValueError(
            f"Column {column['name']!r} holds numbers. Received: {values[row]!r} in row {row + 1}. "
            "Convert its values."
        )
    with np.errstate(over="ignore"):
        scaled = (np.asarray(found, np.float64) - column["mean"]) / column["std"]
        encoded = scaled.astype(np.float32)[:, np.newaxis]
    if not np.isfinite(encoded).all():
        row = int(np.isfinite(encoded).argmin())
        raise ValueError(
            f"Numbers must be within float32's range. Received: {values[row]!r} in row {row + 1} "
            f"of column {column['name']!r}. Write it in another unit, or take logarithms."
        )
    return encoded


def check_complete(columns: Mapping[str, list], names: Sequence[str], groups: Sequence | None):
    """Raises ValueError for a missing value, with its column, row and group."""
    for name in names:
        missing = [row for row, value in enumerate(columns[name]) if value is None]
        if missing:
            where = "" if groups is None else f", group {groups[missing[0]]!r}"
            raise ValueError(
                f"Every value must be there. Received: {len(missing)} missing in column {name!r}, "
                f"the first in row {missing[0] + 1}{where} (NA and null count as missing). Fill "
                "them in, leave these rows out, or leave the column out of features."
            )


def _read_csv(path: Path, delimiter: str) -> dict[str, list]:
    rows = _csv_rows(path, delimiter)
    if len(rows) < 2:
        raise ValueError(
            f"A CSV file has a header and rows. Received: {path} with {len(rows)} lines."
        )
    header = [name.strip() for name in rows[0]]
    if len(header) == 1 and (found := next((c for c in ";\t|" if c in header[0]), None)):
        raise ValueError(
            f"The columns of a CSV file must be apart. Received: {path}, whose header is one "
            f"column {header[0]!r}. Pass delimiter={found!r}."
        )
    _check_names(header, str(path))
    for number, row in enumerate(rows[1:], 1):
        if row and len(row) != len(header):
            raise ValueError(
                f"Every row of a CSV file has as many values as the header. Received: {path}, row "
                f"{number} with {len(row)} where the header has {len(header)}. Quote values that "
                "hold the delimiter."
            )
    filled = [row for row in rows[1:] if row]
    return {name: [row[k].strip() for row in filled] for k, name in enumerate(header)}


def _csv_rows(path: Path, delimiter: str) -> list[list[str]]:
    with open(path, newline="", encoding="utf-8-sig") as file:
        # Not strict, a quote that nothing closes would take the rest of the file for one value.
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            return list(reader)
        except UnicodeDecodeError as error:
            raise ValueError(
                f"A CSV file must be UTF-8. Received: {path} with byte "
                f"0x{error.object[error.start]:02x}, which is not. Save it as UTF-8."
            ) from error
        except csv.Error as error:
            raise ValueError(
                f"A CSV file must be well formed. Received: {path}, line {reader.line_num}: "
                f"{error}. Close every quote, and double the quotes within a value."
            ) from error


def _check_names(names: Sequence[str], where: str) -> None:
    twice = next((name for name in names if list(names).count(name) > 1), None)
    if twice is not None or "" in names:
        raise ValueError(
            f"Every column must have a name of its own. Received: {where} with "
            f"{'a column without one' if twice in (None, '') else f'several named {twice!r}'}. "
            "Rename them."
        )


def _is_missing(value) -> bool:
    if value is None:
        return True
    if isinstance(value, str):
        return value.strip().lower() in _MISSING_TEXTS
    try:
        return bool(value != value)
    except TypeError:  # pandas.NA, which compares as itself
        return True
    except ValueError:  # an array, which is refused as no value
        return False


def _is_numeric(name: str, values: Sequence) -> bool:
    """Whether a column holds numbers; else it holds texts."""
    kinds: dict[bool, Any] = {}
    for row, value in enumerate(values):
        if value is None:
            continue
        if not isinstance(value, _VALUES) or isinstance(value, np.timedelta64):
            raise ValueError(
                f"Values are numbers or texts. Received: {type(value).__name__} in column "
                f"{name!r}. Convert it, such as a date to a number of days."
            )
        kinds.setdefault(_number(value, name) is not None, (row + 1, value))
    if len(kinds) > 1:
        (row, number), (other, text) = kinds[True], kinds[False]
        raise ValueError(
            f"A column holds numbers or texts. Received: column {name!r} with {number!r} in row "
            f"{row} and {text!r} in row {other}. Convert it, or name it in categories."
        )
    return True in kinds


def _check_not_written_numbers(name: str, values: Sequence) -> None:
    """Raises ValueError for texts that are all numbers or dates to a reader, not categories."""
    texts = [value for value in values if value is not None]
    if texts and all(_WRITTEN_NUMBER.fullmatch(text) for text in texts):
        raise ValueError(
            f"Numbers must be written as 1234.5. Received: {texts[0]!r} and the like in column "
            f"{name!r}. Convert its values, or name it in categories."
        )
    if texts and all(_WRITTEN_DATE.fullmatch(text) for text in texts):
        raise ValueError(
            f"Dates are no categories. Received: {texts[0]!r} and the like in column {name!r}. "
            "Convert them, such as to a number of days or a weekday, leave the column out of "
            "features, or name it in categories."
        )


def _number(value, name: str) -> float | None:
    if isinstance(value, str) and "_" in value:  # Python's own way to group digits
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    except OverflowError:  # an integer of hundreds of digits
        number = math.inf
    if math.isinf(number):
        raise ValueError(
            f"Numbers must be finite. Received: {value!r} in column {name!r}. Leave such rows out."
        )
    return number


def _category(value) -> str:
    """The name of a category; 1 and 1.0 are one, since missing values make floats of integers."""
    whole = isinstance(value, (float, np.floating)) and float(value).is_integer()
    return str(int(value)) if whole else str(value)
