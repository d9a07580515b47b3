//! The dimensions of images, for the `width` and `height` of attachments.

/// Width and height in pixels of a PNG, GIF or JPEG image; `None` for other content.
#[must_use]
pub fn image_dimensions(bytes: &[u8]) -> Option<(u32, u32)> {
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        let number = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        return Some((number(16)?, number(20)?));
    }
    if bytes.starts_with(b"GIF8") {
        let number = |at: usize| Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
        return Some((number(6)?.into(), number(8)?.into()));
    }
    jpeg_dimensions(bytes)
}

/// Reads the segments of a JPEG file up to its frame header.
fn jpeg_dimensions(bytes: &[u8]) -> Option<(u32, u32)> {
    let number = |at: usize| Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let mut at = if bytes.starts_with(b"\xff\xd8") { 2 } else { return None };
    loop {
        let [marker, kind] = *bytes.get(at..at + 2)? else { return None };
        if marker != 0xff {
            return None;
        }
        // Frame headers are C0 to CF, except for tables (C4, C8, CC).
        if matches!(kind, 0xc0..=0xcf) && !matches!(kind, 0xc4 | 0xc8 | 0xcc) {
            return Some((number(at + 7)?.into(), number(at + 5)?.into()));
        }
        at += 2 + usize::from(number(at + 2)?);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dimensions_are_read_from_png_gif_and_jpeg() {
        let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x02\x80\0\0\x01\xe0\x08\x02\0\0\0";
        assert_eq!(image_dimensions(png), Some((640, 480)));
        assert_eq!(image_dimensions(b"GIF89a\x40\x01\xc8\0\0\0\0"), Some((320, 200)));
        let jpeg = b"\xff\xd8\xff\xe0\0\x04ab\xff\xc4\0\x03c\xff\xc2\0\x0b\x08\x03\0\x04\0\x01\x01\x11\0";
        assert_eq!(image_dimensions(jpeg), Some((1024, 768)));
    }

    #[test]
    fn other_and_truncated_content_has_no_dimensions() {
        for bytes in
            [&b""[..], b"hello", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xff\xd8", b"\xff\xd8\xff\xe0\0\x04ab"]
        {
            assert_eq!(image_dimensions(bytes), None, "{bytes:?}");
        }
    }
}
