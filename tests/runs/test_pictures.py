"""Pictures of a run show what they should."""

from matplotlib.figure import Figure

from tfmeta.runs import pictures


def test_the_learning_curve_shows_validation_beside_training(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **_: figures.append(figure))
    monkeypatch.setattr(pictures, "sync", lambda path: None)
    (tmp_path / ".curve.png.tmp").write_bytes(b"")
    rows = [
        {
            "step": str(step),
            "loss": "1.5",
            "accuracy": "0.5",
            "val_loss": loss,
            "val_accuracy": rate,
        }
        for step, loss, rate in ((10, "", ""), (20, "1.25", "0.625"), (30, "", "0.75"))
    ]
    pictures.learning_curve(rows, tmp_path / "curve.png", "a run")
    lines = {
        line.get_label(): (list(line.get_xdata()), list(line.get_ydata()))
        for axes in figures[0].axes
        for line in axes.lines
    }
    assert lines["validation loss"] == ([20], [1.25])
    assert lines["validation accuracy"] == ([20, 30], [0.625, 0.75])
    assert lines["loss"] == ([10, 20, 30], [1.5] * 3)
