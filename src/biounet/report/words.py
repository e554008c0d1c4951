"""Names and notes as a page says them."""


def sentence(note: str) -> str:
    """A note with a capital letter and a full stop."""
    return note[:1].upper() + note[1:].rstrip(".") + "."


def name_of(image: str) -> str:
    """An image's name; of arrays, which have none, their number."""
    return f"image {image}" if image.isdigit() else image


def title(image: str) -> str:
    """An image's name where a sentence begins."""
    return f"Image {image}" if image.isdigit() else image
