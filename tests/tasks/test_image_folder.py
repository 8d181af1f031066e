"""Folders of images: what is read, and what an unreadable one says."""

import io

import numpy as np
import pytest
from PIL import Image

from tfmeta.tasks.image_folder import load_image_folder


def save(path, value=0, mode="RGB", size=(6, 4), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value).save(path, **options)
    return path


@pytest.fixture
def folder(tmp_path):
    """Two classes in four formats, with files that are no images."""
    root = tmp_path / "images"
    save(root / "cat" / "2.png", (10, 20, 30))
    save(root / "cat" / "1.bmp", (11, 21, 31))
    save(root / "dog" / "a.JPG", (120, 120, 120), quality=100, subsampling=0)
    save(root / "dog" / "b.gif", 7, mode="L")
    (root / "dog" / "notes.txt").write_text("not an image")
    (root / "dog" / ".hidden.png").write_text("not an image")
    (root / ".git").mkdir()
    return root


def test_classes_files_and_pixels_come_in_the_order_of_their_names(folder):
    loaded = load_image_folder(folder)
    assert loaded.class_names == ("cat", "dog")
    assert loaded.file_names == ("cat/1.bmp", "cat/2.png", "dog/a.JPG", "dog/b.gif")
    np.testing.assert_array_equal(loaded.labels, [0, 0, 1, 1])
    assert loaded.images.shape == (4, 4, 6, 3)
    assert loaded.images.dtype == np.uint8
    values = [[11, 21, 31], [10, 20, 30], [120, 120, 120], [7, 7, 7]]
    np.testing.assert_array_equal(loaded.images[:, 2, 3], values)


def test_a_flat_folder_has_no_labels(folder):
    loaded = load_image_folder(folder / "cat")
    assert loaded.class_names == ()
    assert loaded.labels is None
    assert loaded.file_names == ("1.bmp", "2.png")


def test_images_are_resized_and_made_grey_as_asked(folder):
    loaded = load_image_folder(folder, image_shape=(5, 9, 1))
    assert loaded.images.shape == (4, 5, 9, 1)
    np.testing.assert_array_equal(loaded.images[3], np.full((5, 9, 1), 7))


def test_the_shape_is_inferred(tmp_path):
    save(tmp_path / "grey" / "a.png", 1, mode="L")
    assert load_image_folder(tmp_path / "grey").images.shape == (1, 4, 6, 1)
    save(tmp_path / "grey" / "b.png", 1, mode="L", size=(7, 4))
    assert load_image_folder(tmp_path / "grey").images.shape == (2, 84, 84, 1)
    save(tmp_path / "large" / "a.png", size=(129, 20))
    assert load_image_folder(tmp_path / "large").images.shape == (1, 84, 84, 3)


def test_transparent_parts_become_white(tmp_path):
    save(tmp_path / "a.png", (10, 20, 30, 0), mode="RGBA")
    save(tmp_path / "b.png", (10, 20, 30, 255), mode="RGBA")
    images = load_image_folder(tmp_path).images
    assert (images[0] == 255).all()
    assert (images[1] == [10, 20, 30]).all()


def test_sixteen_bit_images_become_eight_bits(tmp_path):
    Image.fromarray(np.full((4, 6), 128 * 257, np.uint16)).save(tmp_path / "a.png")
    assert (load_image_folder(tmp_path).images == 128).all()


def test_photographs_are_turned_upright(tmp_path):
    image = Image.new("RGB", (6, 4), (0, 0, 0))
    image.paste((250, 250, 250), (0, 0, 3, 4))  # the left half is bright
    exif = Image.Exif()
    exif[0x0112] = 6  # show it turned clockwise by 90 degrees
    image.save(tmp_path / "a.png", exif=exif)
    shown = load_image_folder(tmp_path, image_shape=(6, 4, 1)).images[0, :, :, 0]
    assert (shown[:3] == 250).all()
    assert (shown[3:] == 0).all()


@pytest.mark.parametrize("content", [b"", b"no image", None])
def test_an_unreadable_image_is_named(folder, content):
    file = folder / "dog" / "broken.png"
    if content is None:
        whole = io.BytesIO()
        Image.effect_noise((64, 64), 50).save(whole, "PNG")
        content = whole.getvalue()[:1000]
    file.write_bytes(content)
    for shape in (None, (8, 8, 3)):
        with pytest.raises(ValueError, match=r"readable\. Received: .*dog/broken\.png: "):
            load_image_folder(folder, shape)


def test_missing_and_empty_folders_are_said_so(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"must exist\. Received: .*/nowhere"):
        load_image_folder(folder / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"/empty without any"):
        load_image_folder(tmp_path / "empty")
    (folder / "emu").mkdir()
    with pytest.raises(FileNotFoundError, match=r"/emu without any"):
        load_image_folder(folder)


def test_images_beside_class_folders_are_refused(folder):
    save(folder / "stray.png")
    with pytest.raises(ValueError, match=r"2 folders and 1 images, e\.g\. stray\.png"):
        load_image_folder(folder)


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 2), (0, 8, 3)])
def test_an_impossible_shape_is_refused(folder, shape):
    with pytest.raises(ValueError, match="image_shape must be"):
        load_image_folder(folder, shape)
