//! Multipart bodies, as the SDKs send them: `form-data` or `mixed`, names that differ, base64 now and then.

use data_encoding::BASE64;

/// One part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its MIME type, without parameters.
    pub content_type: Option<String>,
    /// Its file name.
    pub file_name: Option<String>,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// The boundary of a multipart content type.
#[must_use]
pub fn boundary(content_type: &str) -> Option<String> {
    let (kind, rest) = content_type.split_once(';')?;
    if !kind.trim().to_ascii_lowercase().starts_with("multipart/") {
        return None;
    }
    parameter(rest, "boundary")
}

/// Takes a body apart; none if it is not well formed.
#[must_use]
pub fn parts(body: &[u8], boundary: &str) -> Option<Vec<Part>> {
    let delimiter = format!("--{boundary}");
    let delimiter = delimiter.as_bytes();
    let mut at = find(body, delimiter, 0)?;
    let mut parts = Vec::new();
    loop {
        let start = at + delimiter.len();
        if body[start..].starts_with(b"--") {
            return Some(parts);
        }
        let next = next_delimiter(body, delimiter, start)?;
        // From the end of the delimiter's line to the line break before the next delimiter.
        let first = find(body, b"\n", start)? + 1;
        let mut last = next;
        for end in [b"\n", b"\r"] {
            if last > first && body[..last].ends_with(end) {
                last -= 1;
            }
        }
        parts.push(part(body.get(first..last)?)?);
        at = next;
    }
}

/// The next delimiter at the start of a line.
fn next_delimiter(body: &[u8], delimiter: &[u8], mut from: usize) -> Option<usize> {
    loop {
        let at = find(body, delimiter, from)?;
        if body[..at].ends_with(b"\n") {
            return Some(at);
        }
        from = at + 1;
    }
}

fn part(text: &[u8]) -> Option<Part> {
    let (head, content) = if let Some(at) = find(text, b"\r\n\r\n", 0) {
        (&text[..at], &text[at + 4..])
    } else if let Some(at) = find(text, b"\n\n", 0) {
        (&text[..at], &text[at + 2..])
    } else {
        // No header at all.
        (&text[..0], text.strip_prefix(b"\r\n").or(text.strip_prefix(b"\n"))?)
    };
    let head = std::str::from_utf8(head).ok()?;
    let header = |name: &str| {
        head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    };
    let bytes = match header("content-transfer-encoding").map(|e| e.to_ascii_lowercase()).as_deref() {
        Some("base64") => {
            let packed: Vec<u8> = content.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
            BASE64.decode(&packed).ok()?
        }
        _ => content.to_vec(),
    };
    Some(Part {
        content_type: header("content-type")
            .map(|t| t.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()),
        file_name: header("content-disposition").and_then(|d| parameter(&d, "filename")),
        bytes,
    })
}

/// `name="value"` or `name=value` out of a header's parameters.
fn parameter(header: &str, name: &str) -> Option<String> {
    header.split(';').find_map(|piece| {
        let (key, value) = piece.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"').to_owned())
    })
}

fn find(text: &[u8], wanted: &[u8], from: usize) -> Option<usize> {
    memchr::memmem::find(text.get(from..)?, wanted).map(|at| at + from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_data_and_mixed_come_apart() {
        let body = b"--b1\r\nContent-Disposition: form-data; name=\"json\"; filename=\"request.json\"\r\n\
            Content-Type: application/json\r\n\r\n{\"a\":1}\r\n--b1\r\nContent-Type: image/png\r\n\
            Content-Disposition: attachment; filename=\"a.png\"\r\nContent-Transfer-Encoding: base64\r\n\r\n\
            aGVs\r\nbG8=\r\n--b1--\r\n";
        let parts = parts(body, &boundary("multipart/mixed; boundary=\"b1\"").unwrap()).unwrap();
        assert_eq!(parts.len(), 2);
        assert_eq!(
            (parts[0].content_type.as_deref(), parts[0].bytes.as_slice()),
            (Some("application/json"), &b"{\"a\":1}"[..])
        );
        assert_eq!(
            (parts[1].file_name.as_deref(), parts[1].bytes.as_slice()),
            (Some("a.png"), &b"hello"[..])
        );
    }

    #[test]
    fn binary_content_is_kept_byte_for_byte() {
        let mut body = b"--xyz\r\nContent-Type: image/gif\r\n\r\n".to_vec();
        let content = [0_u8, 13, 10, 45, 45, 120, 255, 13, 10];
        body.extend(content);
        body.extend(b"\r\n--xyz--");
        assert_eq!(parts(&body, "xyz").unwrap()[0].bytes, content);
    }

    #[test]
    fn rubbish_is_refused() {
        for body in [&b""[..], b"--x", b"--x\r\n", b"--x\r\nno end", b"nothing"] {
            assert_eq!(parts(body, "x"), None);
        }
    }
}
