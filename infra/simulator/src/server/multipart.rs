//! Multipart bodies as the SDKs send them: `form-data` or `mixed`, with different part names and sometimes base64.

use data_encoding::BASE64;

use crate::rules::sending::FileDisposition;

#[derive(Debug)]
pub struct MultipartPart {
    /// MIME type in lower case, without parameters.
    pub content_type: Option<String>,
    /// `None` without `Content-Disposition`.
    pub disposition: Option<FileDisposition>,
    /// After decoding the transfer encoding.
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

/// Splits a body into its parts; `None` if it is malformed.
#[must_use]
pub fn parts(body: &[u8], boundary: &str) -> Option<Vec<MultipartPart>> {
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
        // A part starts after the line of its delimiter and ends before the line break of the next delimiter.
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

fn part(text: &[u8]) -> Option<MultipartPart> {
    let (head, content) = if let Some(at) = find(text, b"\r\n\r\n", 0) {
        (&text[..at], &text[at + 4..])
    } else if let Some(at) = find(text, b"\n\n", 0) {
        (&text[..at], &text[at + 2..])
    } else {
        // The part has no headers.
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
    Some(MultipartPart {
        content_type: header("content-type")
            .map(|t| t.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()),
        disposition: header("content-disposition")
            .map(|d| FileDisposition { file_name: parameter(&d, "filename") }),
        bytes,
    })
}

/// The value of a header parameter, written as `name="value"` or `name=value`.
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
    fn form_data_and_mixed_are_split() {
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
            (parts[1].disposition.as_ref().unwrap().file_name.as_deref(), parts[1].bytes.as_slice()),
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
    fn malformed_bodies_are_rejected() {
        for body in [&b""[..], b"--x", b"--x\r\n", b"--x\r\nno end", b"nothing"] {
            assert!(parts(body, "x").is_none());
        }
    }
}
