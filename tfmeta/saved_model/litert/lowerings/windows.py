"""Windows that move over images: what each position of a window sees, and the way back."""

import dataclasses

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Windows:
    """How windows lie over images [N, height, width, C].

    Attributes:
        images: (height, width).
        outputs: (height, width): how many windows there are.
        size: (height, width) of a window.
        strides: from one window to the next, down and to the right.
        dilations: from one position of a window to the next.
        before: rows and columns of padding before the images.
    """

    images: tuple
    outputs: tuple
    size: tuple
    strides: tuple
    dilations: tuple
    before: tuple

    @classmethod
    def of(cls, operation, size, images, outputs):
        """The windows of an operation with TensorFlow's attributes.

        Args:
            operation: has strides, padding and, for convolutions, dilations.
            size: (height, width) of a window.
            images: shape [N, height, width, C] of what it moves over.
            outputs: shape [N, height, width, C] of what it makes.
        """
        attributes = operation.node_def.attr
        strides = tuple(operation.get_attr("strides"))[1:3]
        dilations = (1, 1)
        if "dilations" in attributes:
            dilations = tuple(operation.get_attr("dilations"))[1:3]
        images, outputs = tuple(images)[1:3], tuple(outputs)[1:3]
        padding = operation.get_attr("padding")
        before = [0, 0]
        if padding == b"EXPLICIT":
            before = list(operation.get_attr("explicit_paddings"))[2:6:2]
        for axis in range(2) if padding == b"SAME" else ():
            reach = (size[axis] - 1) * dilations[axis] + 1
            total = (outputs[axis] - 1) * strides[axis] + reach - images[axis]
            before[axis] = max(total, 0) // 2
        return cls(images, outputs, tuple(size), strides, dilations, tuple(before))

    @property
    def reach(self) -> tuple:
        """(height, width) of what all windows together cover, padding included."""
        return tuple(
            (self.outputs[a] - 1) * self.strides[a] + (self.size[a] - 1) * self.dilations[a] + 1
            for a in range(2)
        )

    def padded(self, images, value=0.0):
        """The images with padding, cut to what the windows cover."""
        paddings = [[0, 0]]
        for axis in range(2):
            after = self.reach[axis] - self.images[axis] - self.before[axis]
            paddings.append([self.before[axis], max(after, 0)])
        if any(any(pair) for pair in paddings):
            images = tf.pad(
                images, [*paddings, [0, 0]], constant_values=tf.constant(value, images.dtype)
            )
        return images[:, : self.reach[0], : self.reach[1]]

    def positions(self):
        """(row, column) of each position of a window, row by row."""
        return [(i, j) for i in range(self.size[0]) for j in range(self.size[1])]

    def seen(self, padded, position):
        """What a position sees of `padded` images: [N, *outputs, C]."""
        slices = []
        for axis in range(2):
            start = position[axis] * self.dilations[axis]
            stop = start + (self.outputs[axis] - 1) * self.strides[axis] + 1
            slices.append(slice(start, stop, self.strides[axis]))
        return padded[:, slices[0], slices[1]]

    def scattered(self, parts):
        """The sum over positions of what each puts where it sees: the transpose of `seen`.

        Args:
            parts: `{position: [N, *outputs, C]}`.

        Returns:
            [N, *images, C].
        """
        # A position's entries lie a stride apart, so positions of equal remainder share a grid.
        blocks = [-(-self.reach[a] // self.strides[a]) for a in range(2)]
        grids: dict[tuple[int, int], tf.Tensor] = {}
        for position, part in parts.items():
            place = [divmod(position[a] * self.dilations[a], self.strides[a]) for a in range(2)]
            paddings = [[0, 0]]
            for axis, (shift, _) in enumerate(place):
                paddings.append([shift, blocks[axis] - self.outputs[axis] - shift])
            remainder = (place[0][1], place[1][1])
            part = tf.pad(part, [*paddings, [0, 0]])
            grids[remainder] = grids[remainder] + part if remainder in grids else part
        image = self._interleaved(grids, blocks)
        return self._cut(image)

    def _interleaved(self, grids, blocks):
        some = next(iter(grids.values()))
        rows = []
        for i in range(self.strides[0]):
            row = [grids.get((i, j), tf.zeros_like(some)) for j in range(self.strides[1])]
            rows.append(_woven(row, axis=2))
        return _woven(rows, axis=1)

    def _cut(self, image):
        for axis in range(2):
            begin = self.before[axis]
            index = [slice(None)] * 4
            index[axis + 1] = slice(begin, begin + self.images[axis])
            image = image[tuple(index)]
            missing = self.images[axis] - image.shape[axis + 1]
            if missing > 0:
                image = tf.pad(image, [[0, missing if a == axis + 1 else 0] for a in range(4)])
        return image


def _woven(tensors, axis):
    """Entries of n tensors in turn along an axis."""
    if len(tensors) == 1:
        return tensors[0]
    shape = tensors[0].shape.as_list()
    shape[axis] *= len(tensors)
    return tf.reshape(tf.stack(tensors, axis=axis + 1), shape)
