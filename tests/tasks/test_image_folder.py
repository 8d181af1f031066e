"""Folders of images: what is read, and what an unreadable one says."""

import io

import numpy as np
import pytest
from PIL import Image, features

from tfmeta.tasks import load_image_folder
from tfmeta.tasks.brightness import Levels


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


@pytest.mark.filterwarnings("ignore:Not everything")
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


@pytest.mark.filterwarnings("ignore:Not everything")
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


def deep(folder, **images):
    folder.mkdir()
    for name, values in images.items():
        Image.fromarray(np.asarray(values)).save(folder / f"{name}.tif")
    return folder


def test_images_of_more_than_eight_bits_share_one_scale(tmp_path):
    ramp = np.linspace(0, 4095, 256).reshape(16, 16).astype(np.uint16)
    folder = deep(tmp_path / "deep", bright=ramp, dim=ramp // 20)
    loaded = load_image_folder(folder)
    assert loaded.levels == Levels(integers=(0.0, 4095.0))
    bright, dim = (image.ravel().astype(int) for image in loaded.images)
    np.testing.assert_array_equal(bright, np.rint(ramp.ravel() * (255 / 4095)))
    assert all((np.diff(each) >= 0).all() for each in (bright, dim))
    assert (bright.max(), dim.max()) == (255, 13)  # 204 of 4,095
    whole = load_image_folder(folder, (16, 16, 3), Levels(integers=(0.0, 65535.0)))
    assert (whole.images[0].max(), whole.images.shape) == (16, (2, 16, 16, 3))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.float32([[0.0, 0.5, 1.0]]), [0, 128, 255]),
        (np.float32([[0.0, 100.0, 255.0]]), [0, 100, 255]),
        (np.float32([[-1000.0, 11.5, 1023.0]]), [0, 128, 255]),
        (np.uint16([[0, 100, 255]]), [0, 100, 255]),
        (np.int32([[-255, 0, 255]]), [0, 128, 255]),
        (np.int32([[0, 2**15, 2**16 - 1]]), [0, 128, 255]),
    ],
)
def test_floats_and_negative_values_keep_their_order(tmp_path, values, expected):
    assert load_image_folder(deep(tmp_path / "deep", a=values)).images.ravel().tolist() == expected


def test_values_that_are_not_finite_are_refused_by_name(tmp_path):
    folder = deep(tmp_path / "deep", a=np.float32([[0.0, np.nan]]))
    with pytest.raises(ValueError, match=r"a\.tif: it holds values that are not finite"):
        load_image_folder(folder)


def test_photographs_are_turned_upright(tmp_path):
    image = Image.new("RGB", (6, 4), (0, 0, 0))
    image.paste((250, 250, 250), (0, 0, 3, 4))  # the left half is bright
    exif = Image.Exif()
    exif[0x0112] = 6  # show it turned clockwise by 90 degrees
    image.save(tmp_path / "a.png", exif=exif)
    shown = load_image_folder(tmp_path, image_shape=(6, 4, 1)).images[0, :, :, 0]
    assert (shown[:3] == 250).all()
    assert (shown[3:] == 0).all()


@pytest.mark.filterwarnings("ignore:Not everything")
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


@pytest.mark.parametrize(
    ("ending", "options"),
    [
        ("WEBP", {"lossless": True}),
        ("tif", {}),
        ("tiff", {"compression": "tiff_lzw"}),
        ("jfif", {"format": "JPEG"}),
        ("jpe", {"format": "JPEG"}),
        ("jp2", {}),
        ("gif", {}),
        ("tga", {}),
        ("ppm", {}),
        ("avif", {}),
    ],
)
def test_what_pillow_decodes_is_read(tmp_path, ending, options):
    if ending == "avif" and not features.check("avif"):
        pytest.skip("this Pillow decodes no AVIF")
    save(tmp_path / f"a.{ending}", (200, 30, 90), **options)
    np.testing.assert_allclose(load_image_folder(tmp_path).images[0, 2, 3], (200, 30, 90), atol=3)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_colour_modes_give_the_same_picture(tmp_path, mode):
    ending = {"CMYK": "jpg", "YCbCr": "jpg", "PA": "tif"}.get(mode, "png")
    picture = Image.new("RGB", (6, 4), (255, 255, 255))
    if mode == "PA":
        picture = picture.convert("P")
    picture.convert(mode).save(tmp_path / f"a.{ending}")
    assert (load_image_folder(tmp_path, (4, 6, 3)).images == 255).all()


def test_the_first_picture_of_several_is_read(tmp_path):
    first, second = (Image.new("L", (6, 4), value) for value in (10, 200))
    for ending in ("gif", "tif", "webp"):
        first.save(tmp_path / f"a.{ending}", save_all=True, append_images=[second])
    assert np.abs(load_image_folder(tmp_path).images.astype(int) - 10).max() <= 3


def test_sizes_are_compared_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    for ending in ("jpg", "png", "webp"):
        save(tmp_path / f"a.{ending}", size=(4, 6))
        save(tmp_path / f"b.{ending}", size=(6, 4), exif=exif)
    assert load_image_folder(tmp_path).images.shape == (6, 6, 4, 3)


def test_nested_folders_are_classes_named_by_their_path(tmp_path):
    for alphabet, character in (("Greek", "character02"), ("Greek", "character01"), ("Latin", "a")):
        save(tmp_path / alphabet / character / "1.png")
    loaded = load_image_folder(tmp_path)
    assert loaded.class_names == ("Greek/character01", "Greek/character02", "Latin/a")
    assert loaded.file_names[0] == "Greek/character01/1.png"


def test_what_is_passed_over_is_counted_and_named_once(folder):
    save(folder / "cat" / "more" / "3.png")
    (folder / "cat" / "none").mkdir()
    (folder / "dog" / "gone.jpg").symlink_to("nowhere.jpg")
    (folder / "dog" / "back").symlink_to(folder / "dog")
    (folder / "__MACOSX").mkdir()
    with pytest.warns(UserWarning, match="Not everything") as caught:
        loaded = load_image_folder(folder)
    assert [str(warning.message).split(": ", 1)[1] for warning in caught] == [
        "1 folders without images (cat/none), 1 broken links (dog/gone.jpg), 1 files of other "
        "kinds (dog/notes.txt), 1 folders that were read already (dog/back). Convert or replace "
        "files that should count, and remove the others."
    ]
    assert ("dog/gone.jpg", "broken links") in loaded.skipped
    # Images below a class folder are the class's.
    assert loaded.file_names[:3] == ("cat/1.bmp", "cat/2.png", "cat/more/3.png")
    assert loaded.class_names == ("cat", "dog")


def test_a_class_that_links_to_another_class_is_named(folder):
    (folder / "eel").symlink_to(folder / "dog")
    with pytest.raises(FileNotFoundError, match=r"eel without any, since it links to a folder"):
        load_image_folder(folder)


def test_names_that_differ_in_unicodes_form_alone_are_one_class(tmp_path):
    composed, decomposed = "\u00e9t\u00e9", "e\u0301te\u0301"
    save(tmp_path / composed / "1.png", (1, 1, 1))
    save(tmp_path / decomposed / "1.png", (1, 1, 1))
    save(tmp_path / decomposed / "2.png", (2, 2, 2))
    with pytest.warns(UserWarning, match="1 copies under the same name in another Unicode form"):
        loaded = load_image_folder(tmp_path)
    assert loaded.class_names == (composed,)
    assert loaded.images[:, 0, 0, 0].tolist() == [1, 2]


def test_missing_and_empty_folders_are_said_so(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"must exist\. Received: .*/nowhere"):
        load_image_folder(folder / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"/empty without any"):
        load_image_folder(tmp_path / "empty")
    (folder / "emu").mkdir()
    (folder / "emu" / "a.heix").write_text("of another kind")
    with pytest.raises(FileNotFoundError, match=r"/emu without any, but 1 other files \(emu/a"):
        load_image_folder(folder)


def test_images_beside_class_folders_are_refused(folder):
    save(folder / "stray.png")
    with pytest.raises(ValueError, match=r"2 folders and 1 images, e\.g\. stray\.png"):
        load_image_folder(folder)


@pytest.mark.filterwarnings("ignore:Not everything")
@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 2), (0, 8, 3)])
def test_an_impossible_shape_is_refused(folder, shape):
    with pytest.raises(ValueError, match="image_shape must be"):
        load_image_folder(folder, shape)
