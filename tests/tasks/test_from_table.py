"""Tasks from tables: groups are tasks, and whole groups are held out."""

import numpy as np
import pytest

from tfmeta.tasks import decode_targets, encode_rows, from_table, sales_table
from tfmeta.tasks.sales import best_forecast

SHOPS = sales_table(shops=12, rows=(6, 14), seed=3)


def shops(**changed):
    """The shops' table with other values: a column's name and a function of (row, value)."""
    table = {name: list(values) for name, values in SHOPS.items()}
    for name, change in changed.items():
        table[name] = [change(row, value) for row, value in enumerate(table[name])]
    return table


def stream(table=SHOPS, *args, **options):
    options = {"group": "shop", "target": "sales", "shots": 3, "queries": 3} | options
    return from_table(table, *args, **options)


def write_csv(path, table, delimiter=","):
    lines = [
        delimiter.join(table),
        *(delimiter.join(map(str, row)) for row in zip(*table.values(), strict=True)),
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
    return path


class Frame:
    """What is used of a pandas DataFrame."""

    def __init__(self, table):
        self.table, self.columns = table, list(table)

    def __getitem__(self, name):
        class Series:
            def to_numpy(_):
                values = self.table[name]
                return np.asarray(values, object if isinstance(values[0], str) else None)

        return Series()


def test_a_task_is_a_group_and_its_rows_come_back_in_their_own_units():
    tasks = stream()
    columns = tasks.info["columns"]
    names = [column["name"] for column in columns["features"]]
    assert names == ["weekday", "price", "promotion"]
    assert len(columns["features"][0]["values"]) == 7
    price = columns["features"][1]
    for index in range(6):
        (support_x, support_y, _), _ = tasks.sample(index)
        assert support_x.shape == (3, 9)
        prices = np.round(support_x.numpy()[:, 7] * price["std"] + price["mean"], 2)
        sales = np.round(decode_targets(support_y, columns)[:, 0], 3)
        groups = {
            SHOPS["shop"][row]
            for p, y in zip(prices, sales, strict=True)
            for row in range(len(SHOPS["shop"]))
            if abs(SHOPS["price"][row] - p) < 1e-3 and abs(SHOPS["sales"][row] - y) < 1e-2
        }
        assert len(groups) == 1
        assert groups <= set(tasks.info["set_names"])


def test_whole_groups_are_held_out_and_training_groups_alone_set_the_scale():
    names = {s: set(stream(SHOPS, s).info["set_names"]) for s in ("train", "validation", "test")}
    assert [len(each) for each in names.values()] == [8, 2, 2]
    assert set.union(*names.values()) == set(SHOPS["shop"])
    table = shops(price=lambda row, v: v if SHOPS["shop"][row] in names["train"] else 100 * v)
    for split in names:
        assert stream(table, split).info["columns"] == stream().info["columns"]
    assert stream(table, "all").info["columns"] != stream().info["columns"]
    inputs, targets = encode_rows(SHOPS, stream().info["columns"])
    rows = [row for row, shop in enumerate(SHOPS["shop"]) if shop in names["train"]]
    for values in (inputs[rows, 7], inputs[rows, 8], targets[rows, 0]):
        assert np.allclose((values.mean(), values.std()), (0, 1), atol=1e-5)


def test_files_frames_and_dicts_give_the_same_tasks(tmp_path):
    first = stream().info
    for table in (write_csv(tmp_path / "table.csv", SHOPS), Frame(SHOPS), shops()):
        assert stream(table).info == first
    path = write_csv(tmp_path / "table.csv", SHOPS, ";")
    assert stream(path, delimiter=";").info == first
    with pytest.raises(ValueError, match="Pass delimiter=';'"):
        stream(path)


def test_targets_of_texts_booleans_or_named_numbers_are_labels():
    for change, options, values in (
        (lambda _, v: "high" if v > 20 else "low", {}, ["high", "low"]),
        (lambda _, v: v > 20, {}, ["False", "True"]),
        (lambda _, v: int(v > 20), {"categories": ["sales"]}, ["0", "1"]),
    ):
        tasks = stream(shops(sales=change), **options)
        assert tasks.info["kind"] == "classification"
        assert tasks.info["columns"]["targets"][0]["values"] == values
        assert tasks.sample(0)[1].dtype.name == "int32"
    assert decode_targets([[0.2, 0.8]], tasks.info["columns"]).tolist() == ["1"]


def test_several_targets_and_chosen_features():
    tasks = stream(target=["sales", "price"], features=["promotion"])
    (support_x, support_y, _), _ = tasks.sample(0)
    assert (support_x.shape, support_y.shape) == ((3, 1), (3, 2))


def test_an_unseen_category_is_refused_or_has_no_input():
    test = stream(SHOPS, "test").info["set_names"][0]
    table = shops(weekday=lambda row, v: "holiday" if SHOPS["shop"][row] == test else v)
    with pytest.raises(
        ValueError, match=r"'holiday' in column 'weekday', where they have 'Friday'"
    ):
        stream(table)
    columns = stream(table, unseen="zeros").info["columns"]
    row = {"weekday": ["holiday"], "price": [1.0], "promotion": [0]}
    assert encode_rows(row, columns)[0][0, :7].sum() == 0


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        (SHOPS, {"group": "shops"}, r"group must name columns .*'shops'.* Did you mean 'shop'\?"),
        (SHOPS, {"target": "shop"}, "must be different columns"),
        (SHOPS, {"features": []}, "must be different columns"),
        (SHOPS, {"shots": 13}, r"set 'shop \d+' of table with \d+ examples"),
        (
            shops(price=lambda r, v: None if r == 4 else v),
            {},
            r"1 missing in column 'price', the fi",
        ),
        (shops(price=lambda r, v: " " if r == 4 else v), {}, r"in row 5, group 'shop 000'"),
        (shops(weekday=lambda r, v: "NA" if r == 4 else v), {}, "1 missing in column 'weekday'"),
        (shops(shop=lambda r, v: "one"), {}, "at least one of the groups. Received: 1 groups"),
        (shops(price=lambda r, v: np.nan if r > 4 else v), {}, "missing in column 'price'"),
        (shops(shop=lambda r, v: "" if r == 9 else v), {}, "1 missing in column 'shop'"),
        (shops(sales=lambda r, v: None if r == 0 else v), {}, "1 missing in column 'sales'"),
        (shops(promotion=lambda r, v: 1), {}, "column 'promotion', which is 1 in all training"),
        (shops(weekday=lambda r, v: "Monday"), {}, "column 'weekday' with 1, e.g. 'Monday'"),
        (shops(weekday=lambda r, v: f"{r}th"), {}, r"column 'weekday' with \d+, e.g. '"),
        (
            shops(price=lambda r, v: "cheap" if r == 3 else v),
            {},
            r"'price' with 4\.59 in row 1 and 'cheap' in row 4",
        ),
        (shops(price=lambda r, v: "inf" if r == 3 else v), {}, "'inf' in column 'price'"),
        (shops(price=lambda r, v: np.datetime64("2020-01-01")), {}, "datetime64 in column 'price'"),
        (shops(price=lambda r, v: f"{v:.2f}".replace(".", ",")), {}, "'4,59' .* column 'price'"),
        (shops(sales=lambda r, v: f"{1000 * (r % 2):,} €"), {}, "written as 1234.5.*'0 €' .*'sale"),
        (
            shops(weekday=lambda r, v: f"2026-05-{r % 9 + 1:02d}"),
            {},
            "Dates .*'2026-05-01' .*'weekd",
        ),
        (shops(price=lambda r, v: f"1_{r}"), {}, r"column 'price' with \d+, e.g. '1_"),
        (shops(price=lambda r, v: [v]), {}, "list in column 'price'"),
        (shops(price=lambda r, v: np.float32([v, v])), {}, "ndarray in column 'price'"),
        (shops(price=lambda r, v: 1j * v), {}, "complex in column 'price'"),
        (shops(price=lambda r, v: 10 ** (400 + r)), {}, r"finite\. .* in column 'price'"),
        (shops(price=lambda r, v: 1e200 * v), {}, r"deviation\. .*column 'price' from"),
        (shops(price=lambda r, v: 1e39 * v), {"standardize": False}, "float32's .*column 'price'"),
        (SHOPS, {"features": ["price", "price"]}, "must be different columns"),
        (SHOPS, {"target": []}, "must be different columns"),
        (SHOPS, {"target": ["sales", "weekday"]}, "Several targets must be numbers"),
        (
            {"shop": [1], "sales": []},
            {},
            r"as many in every column. Received: \{'shop': 1, 'sales'",
        ),
        ([1, 2], {}, "path of a CSV file, a DataFrame, or a dict of columns. Received: list"),
    ],
)
def test_what_a_table_may_not_have_is_named(table, options, message):
    with pytest.raises(ValueError, match=message):
        stream(table, **options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("shop,sales\n", "with 1 lines"),
        ("shop,sales,shop\n1,2,3\n", "several named 'shop'"),
        ("shop,,sales\n1,2,3\n", "a column without one"),
        ("shop,sales\n1,2\n1,2,3\n", "row 2 with 3 where the header has 2"),
        ('shop,sales\n1,2\n1,"3\n1,4\n1,5\n', "a.csv, line 5: unexpected end of data"),
        ("shop,sales\nCafé,2\n", "UTF-8. Received: .*a.csv with byte 0xe9"),
    ],
)
def test_what_a_csv_file_may_not_have_is_named(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=message):
        stream(tmp_path / "a.csv")


def test_numbers_written_as_texts_may_be_named_as_categories():
    sizes = shops(price=lambda r, v: ("38,5", "40", "41,5")[r % 3])
    with pytest.raises(ValueError, match=r"'40' in row 2 .*|'38,5'"):
        stream(sizes)
    assert stream(sizes, features="price", categories="price").sample(0)[1].shape == (3, 1)


@pytest.mark.parametrize(
    ("value", "message"), [("inf", "finite"), ("1_0", "'1_0' in row 1"), ("x", "'x' in row 1")]
)
def test_new_rows_are_checked_as_the_table_was(value, message):
    with pytest.raises(ValueError, match=message):
        encode_rows(
            {"weekday": ["Sunday"], "price": [value], "promotion": [1]}, stream().info["columns"]
        )


def test_predictions_of_another_size_are_not_decoded():
    columns = stream(shops(sales=lambda _, v: "high" if v > 20 else "low")).info["columns"]
    for predictions, known in (
        (np.zeros(4), columns),  # labels, of which the likeliest would be one name
        (np.zeros((4, 5)), columns),
        (np.zeros((4, 5)), stream().info["columns"]),
    ):
        with pytest.raises(ValueError, match=r"predictions must be \[N, (categories|targets)\]"):
            decode_targets(predictions, known)
    assert decode_targets(np.zeros(4), stream().info["columns"]).shape == (4,)


def test_the_best_forecast_of_the_made_up_shops_is_best():
    table = sales_table(shops=200, rows=(40, 40), seed=0)
    rows = {name: np.asarray(values).reshape(200, 40) for name, values in table.items()}
    errors = {"best": [], "least squares": []}
    for shop in range(200):
        support, query = (
            {name: values[shop, part] for name, values in rows.items()}
            for part in (slice(5), slice(5, None))
        )
        best = best_forecast(support, query)
        errors["best"].append(np.mean((best - query["sales"]) ** 2))
        inputs, asked = (
            np.stack([np.ones(len(p["price"])), p["price"], p["promotion"]], axis=1)
            for p in (support, query)
        )
        weights = np.linalg.lstsq(inputs, support["sales"], rcond=None)[0]
        errors["least squares"].append(np.mean((asked @ weights - query["sales"]) ** 2))
    # The noise's variance is 1; three unknowns from five rows cost about as much again.
    assert 1.3 < np.mean(errors["best"]) < 2.5 < np.mean(errors["least squares"])
