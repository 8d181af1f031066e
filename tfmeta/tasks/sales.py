"""Sales of made-up shops: a table whose best forecast is known."""

import numpy as np

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
BASE, SLOPE, LIFT = (20.0, 6.0), (-3.0, 1.5), (4.0, 2.0)  # mean and deviation over shops
_BY_WEEKDAY = np.array([-2.0, -1.0, 0.0, 0.0, 1.0, 3.0, -1.0])  # the same in all shops


def sales_table(
    shops: int = 40, rows: tuple[int, int] = (20, 200), seed: int = 0, noise: float = 1.0
) -> dict[str, list]:
    """A table of sales in shops that differ in size, in their customers and in number of rows.

    Sales are `base + slope * (price - 3) + lift * promotion + by_weekday + noise`. Base, slope and
    lift are a shop's own, drawn from normal distributions; the days of the week are alike in all
    shops. So the best forecast of a shop from a few of its rows is known: see `best_forecast`.

    Example:

    >>> import tfmeta
    >>> table = tfmeta.tasks.sales_table(shops=3, seed=1)
    >>> sorted(table)
    ['price', 'promotion', 'sales', 'shop', 'weekday']

    Args:
        shops: number of shops.
        rows: least and most rows of a shop.
        seed: of the draws.
        noise: deviation of a day's sales from what a shop's own rule says.

    Returns:
        A dict of columns of one length, shop by shop.
    """
    generator = np.random.RandomState(seed)
    table: dict[str, list] = {n: [] for n in ("shop", "weekday", "price", "promotion", "sales")}
    for shop in range(shops):
        number = generator.randint(rows[0], rows[1] + 1)
        weights = [mean + deviation * generator.randn() for mean, deviation in (BASE, SLOPE, LIFT)]
        price = np.round(generator.uniform(1.0, 5.0, number), 2)
        promotion = (generator.uniform(size=number) < 0.3).astype(int)
        weekday = generator.randint(7, size=number)
        sales = _parts(price, promotion) @ weights + _BY_WEEKDAY[weekday]
        sales = np.round(sales + noise * generator.randn(number), 3)
        table["shop"] += [f"shop {shop:03d}"] * number
        table["weekday"] += [WEEKDAYS[day] for day in weekday]
        table["price"] += price.tolist()
        table["promotion"] += promotion.tolist()
        table["sales"] += sales.tolist()
    return table


def best_forecast(support: dict, query: dict, noise: float = 1.0) -> np.ndarray:
    """The forecast of least expected squared error for rows of a shop, from other rows of it.

    It knows how shops are drawn: the mean of the normal distribution of a shop's base, slope and
    lift given its support rows.

    Args:
        support: columns of rows of one shop, with sales.
        query: columns of other rows of the shop.
        noise: of `sales_table`.

    Returns:
        float64 [Q].
    """
    prior_mean, deviation = np.array([BASE, SLOPE, LIFT]).T
    inputs = _parts(np.asarray(support["price"]), np.asarray(support["promotion"]))
    targets = np.asarray(support["sales"]) - _by_weekday(support)
    precision = np.diag(deviation**-2.0) + inputs.T @ inputs / noise**2
    weights = np.linalg.solve(precision, prior_mean / deviation**2 + inputs.T @ targets / noise**2)
    asked = _parts(np.asarray(query["price"]), np.asarray(query["promotion"]))
    return asked @ weights + _by_weekday(query)


def _parts(price: np.ndarray, promotion: np.ndarray) -> np.ndarray:
    return np.stack([np.ones_like(price, float), price - 3.0, promotion.astype(float)], axis=1)


def _by_weekday(rows: dict) -> np.ndarray:
    return _BY_WEEKDAY[[WEEKDAYS.index(day) for day in rows["weekday"]]]
