"""Limits of pictures: of an upload, of its copies, and of the process that makes them."""

MOST_BYTES = 16_000_000  # the server takes requests of 16 MiB, of which the rest is the form's
MOST_PIXELS = 25_000_000  # a small file can unpack to a huge picture
LONGEST_EDGE = 1200  # pixels that are kept
COPY_WIDTHS = (480, 800)  # pixels; those that are narrower than the picture
MOST_MEMORY = 640 * 1024 * 1024  # bytes of the re-encoder's address space
MOST_SECONDS = 20  # of its processor time
