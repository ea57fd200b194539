"""JPEGs as the extractor writes them: what the nets were trained on, whether they lie on disk or not."""

import numpy as np

from converter.errors import PytsnError
from pytsn.data.frame_images import load_cv2

#: the default of cv2.imencode, which dense_flow uses
JPEG_QUALITY = 95


def encode_jpeg(image: np.ndarray, quality: int = JPEG_QUALITY) -> bytes:
    """uint8 (H, W, 3) BGR or (H, W) -> the bytes of a JPEG file; quality 0 to 100."""
    cv2 = load_cv2()
    done, data = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, quality))
    if not done:
        raise PytsnError(f"an image of {image.shape} cannot be written as JPEG")
    return data.tobytes()


def through_jpeg(image: np.ndarray, flags: int) -> np.ndarray:
    """The image as ``cv2.imread`` with these flags gives it after the extractor wrote it: uint8 (H, W, 3) or (H, W)."""
    return load_cv2().imdecode(np.frombuffer(encode_jpeg(image), np.uint8), flags)
