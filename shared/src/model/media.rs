//! Media: the files of MMS.
//!
//! A file is first known by where it comes from: a URL, an upload, or RingCentral. It is copied to the stack's bucket, and from
//! then on known by its object there.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::ids::{MessageId, TenantId};
use super::string_enum::string_enum;

string_enum! {
    /// Whether a message has files.
    pub enum MessageKind {
        Sms = "sms",
        Mms = "mms",
    }
}

string_enum! {
    /// Whether a file can be downloaded.
    pub enum MediaStatus {
        /// It is being copied.
        Pending = "pending",
        Stored = "stored",
        /// RingCentral does not have it any more.
        Gone = "gone",
        /// It could not be copied.
        Failed = "failed",
    }
}

/// `media_`, the digits of a message id, and the number of the file in the message in two hexadecimal digits. The number of an
/// upload, which belongs to no message, is 0.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MediaId {
    message: MessageId,
    number: u8,
}

impl MediaId {
    const PREFIX: &str = "media_";
    /// The regular expression of the id.
    pub const PATTERN: &str = "^media_[0-9a-f]{14,66}$";

    pub fn generate_upload(now: Timestamp) -> Self {
        Self { message: MessageId::generate(now), number: 0 }
    }

    /// The id of the file with this index.
    pub fn of(message: &MessageId, index: usize) -> Self {
        let number = u8::try_from(index.saturating_add(1)).unwrap_or(u8::MAX);
        Self { message: message.clone(), number }
    }

    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(Self::PREFIX)?;
        let (message, number) = digits.split_at_checked(digits.len().checked_sub(2)?)?;
        let message = MessageId::parse(&format!("{}{message}", MessageId::PREFIX))?;
        let is_lower_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let number =
            number.bytes().all(is_lower_hex).then(|| u8::from_str_radix(number, 16).ok()).flatten()?;
        Some(Self { message, number })
    }

    /// The message of the file and its index there; `None` for an upload.
    pub fn message(&self) -> Option<(&MessageId, usize)> {
        Some((&self.message, usize::from(self.number.checked_sub(1)?)))
    }
}

impl fmt::Display for MediaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.message.as_str().trim_start_matches(MessageId::PREFIX);
        write!(f, "{}{digits}{:02x}", Self::PREFIX, self.number)
    }
}

/// Makes the URLs at which the API serves files.
#[derive(Debug, Clone)]
pub struct MediaUrls {
    /// The public origin of the stack, without a trailing slash.
    pub public_url: String,
}

impl MediaUrls {
    pub fn url(&self, id: &MediaId) -> String {
        format!("{}/v1/media/{id}", self.public_url)
    }
}

/// Where a file comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaSource {
    Url(String),
    Upload(MediaId),
    RingCentral {
        /// RingCentral's attachment id.
        attachment: String,
        /// RingCentral's URL of the file, if it reports one.
        uri: Option<String>,
    },
}

/// A file of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// `None` once the file of a URL or an upload is stored.
    pub source: Option<MediaSource>,
    pub status: MediaStatus,
    /// Before the file is stored, as its source reports it.
    pub content_type: Option<String>,
    /// In bytes. Before the file is stored, as its source reports it.
    pub size: Option<i64>,
    /// As the sender chose it; empty if there is none.
    pub file_name: String,
    /// The key of the stored file in the bucket.
    pub object: Option<String>,
    pub stored_at: Option<Timestamp>,
}

impl Media {
    pub fn of(source: MediaSource) -> Self {
        Self {
            source: Some(source),
            status: MediaStatus::Pending,
            content_type: None,
            size: None,
            file_name: String::new(),
            object: None,
            stored_at: None,
        }
    }

    /// Records that the file is stored.
    pub fn store(&mut self, object: String, content_type: &str, size: usize, now: Timestamp) {
        if !matches!(self.source, Some(MediaSource::RingCentral { .. })) {
            self.source = None;
        }
        self.status = MediaStatus::Stored;
        self.content_type = Some(content_type.to_owned());
        self.size = i64::try_from(size).ok();
        self.object = Some(object);
        self.stored_at = Some(now);
    }

    /// The file name under which the file is sent or downloaded: the chosen one, or `file` with its number and the extension of its
    /// type.
    pub fn name(&self, index: usize) -> String {
        if !self.file_name.is_empty() {
            return self.file_name.clone();
        }
        let extension =
            self.content_type.as_deref().and_then(media_type).map_or("bin", |known| known.extension);
        format!("file{}.{extension}", index.saturating_add(1))
    }
}

/// The key of a file of a message. `attempt` is random: an object is never overwritten.
pub fn media_object(tenant: &TenantId, message: &MessageId, index: usize, attempt: &str) -> String {
    format!("{}{message}/{}-{attempt}", media_prefix(tenant), index.saturating_add(1))
}

/// The prefix of the files of a tenant's messages.
pub fn media_prefix(tenant: &TenantId) -> String {
    format!("media/{tenant}/")
}

/// The key of an upload.
pub fn upload_object(tenant: &TenantId, id: &MediaId) -> String {
    format!("{}{id}", upload_prefix(tenant))
}

/// The prefix of a tenant's uploads.
pub fn upload_prefix(tenant: &TenantId) -> String {
    format!("uploads/{tenant}/")
}

/// A file as the API shows it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Media")]
pub struct MediaView {
    /// The id of the file.
    id: String,
    /// The media type; `null` if it is not known yet.
    content_type: Option<String>,
    /// The size in bytes; `null` if it is not known yet.
    size: Option<i64>,
    /// The URL of the file at this gateway. A request needs an API key and is redirected to the file.
    url: String,
    /// `pending`: the file is being copied. `stored`: it can be downloaded. `gone`: RingCentral does not have it any more.
    /// `failed`: it could not be copied.
    status: MediaStatus,
}

impl MediaView {
    /// The files of a message.
    pub fn all(message: &MessageId, media: &[Media], urls: &MediaUrls) -> Vec<Self> {
        let view = |(index, file): (usize, &Media)| {
            let id = MediaId::of(message, index);
            Self {
                url: urls.url(&id),
                id: id.to_string(),
                content_type: file.content_type.clone(),
                size: file.size,
                status: file.status,
            }
        };
        media.iter().enumerate().map(view).collect()
    }
}

/// A media type that RingCentral accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaType {
    pub name: &'static str,
    /// Of file names.
    pub extension: &'static str,
    /// Other names of it. RingCentral does not accept them.
    aliases: &'static [&'static str],
    /// How every such file begins, at an offset; empty if there is no such beginning.
    signatures: &'static [(usize, &'static [u8])],
}

const fn plain(name: &'static str, extension: &'static str) -> MediaType {
    MediaType { name, extension, aliases: &[], signatures: &[] }
}

const fn signed(
    name: &'static str,
    extension: &'static str,
    signatures: &'static [(usize, &'static [u8])],
) -> MediaType {
    MediaType { name, extension, aliases: &[], signatures }
}

impl MediaType {
    const fn also(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    /// False if these bytes are certainly not a file of this type.
    pub fn may_be(&self, bytes: &[u8]) -> bool {
        let has = |(offset, signature): &(usize, &[u8])| {
            bytes.get(*offset..).is_some_and(|rest| rest.starts_with(signature))
        };
        self.signatures.is_empty() || self.signatures.iter().any(has)
    }
}

/// The types of RingCentral's guide on sending images, and the names that other programs use for them.
const MEDIA_TYPES: [MediaType; 31] = [
    signed("image/jpeg", "jpg", &[(0, b"\xFF\xD8\xFF")]).also(&["image/jpg", "image/pjpeg"]),
    signed("image/png", "png", &[(0, b"\x89PNG\r\n\x1A\n")]).also(&["image/x-png"]),
    signed("image/bmp", "bmp", &[(0, b"BM")]).also(&["image/x-ms-bmp", "image/x-bmp"]),
    signed("image/gif", "gif", &[(0, b"GIF8")]),
    signed("image/tiff", "tiff", &[(0, b"II"), (0, b"MM")]),
    plain("image/svg+xml", "svg"),
    signed("image/webp", "webp", &[(8, b"WEBP")]),
    plain("video/3gpp", "3gp"),
    plain("video/mp4", "mp4").also(&["video/x-m4v"]),
    plain("video/mpeg", "mpeg"),
    plain("video/avi", "avi").also(&["video/msvideo", "video/x-msvideo"]),
    plain("video/x-flv", "flv"),
    plain("video/x-ms-wmv", "wmv"),
    plain("video/quicktime", "mov"),
    plain("video/webm", "webm"),
    plain("video/ogg", "ogv"),
    plain("audio/mpeg", "mp3").also(&["audio/mp3"]),
    plain("audio/mp4", "m4a").also(&["audio/m4a", "audio/x-m4a"]),
    plain("audio/ogg", "ogg"),
    plain("audio/wav", "wav").also(&["audio/x-wav", "audio/wave"]),
    plain("audio/amr", "amr"),
    plain("audio/3gpp", "3ga"),
    plain("text/vcard", "vcf").also(&["text/x-vcard"]),
    signed("application/zip", "zip", &[(0, b"PK")]).also(&["application/x-zip-compressed"]),
    signed("application/gzip", "gz", &[(0, b"\x1F\x8B")]).also(&["application/x-gzip"]),
    plain("application/rtf", "rtf").also(&["text/rtf"]),
    signed("application/pdf", "pdf", &[(0, b"%PDF")]),
    plain("text/html", "html"),
    plain("text/plain", "txt"),
    plain("text/csv", "csv"),
    plain("text/calendar", "ics"),
];

/// The accepted media type that a `Content-Type` stands for. Its parameters and its case do not matter.
pub fn media_type(text: &str) -> Option<&'static MediaType> {
    let name = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    MEDIA_TYPES.iter().find(|known| known.name == name || known.aliases.contains(&name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_a_message_and_a_file_of_it() {
        let message = MessageId::generate(Timestamp::UNIX_EPOCH);
        for index in [0, 1, 9, 49] {
            let id = MediaId::parse(&MediaId::of(&message, index).to_string()).unwrap();
            assert_eq!(id.message(), Some((&message, index)));
        }
        let upload = MediaId::generate_upload(Timestamp::UNIX_EPOCH);
        assert_eq!(MediaId::parse(&upload.to_string()).unwrap(), upload);
        assert_eq!(upload.message(), None);
        for bad in [
            "",
            "media_",
            "media_0",
            "media_é0123456789ab00",
            "msg_0123456789ab00",
            "media_0123456789abXY",
            "media_0123456789ab+1",
        ] {
            assert_eq!(MediaId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_type_is_found_by_each_of_its_names() {
        for (text, name) in [
            ("image/jpeg", "image/jpeg"),
            ("IMAGE/JPG", "image/jpeg"),
            ("image/png; charset=binary", "image/png"),
            (" text/vcard ;x=y", "text/vcard"),
            ("audio/x-wav", "audio/wav"),
        ] {
            assert_eq!(media_type(text).map(|known| known.name), Some(name), "{text}");
        }
        for text in
            ["", "image", "image/heic", "application/octet-stream", "image/jpeg2000", "image/jpeg, image/png"]
        {
            assert_eq!(media_type(text), None, "{text}");
        }
    }

    #[test]
    fn a_file_of_another_type_is_recognized() {
        let jpeg = media_type("image/jpeg").unwrap();
        assert!(jpeg.may_be(b"\xFF\xD8\xFF\xE0") && !jpeg.may_be(b"<html>") && !jpeg.may_be(b""));
        let webp = media_type("image/webp").unwrap();
        assert!(webp.may_be(b"RIFF\0\0\0\0WEBPVP8 ") && !webp.may_be(b"RIFF"));
        assert!(media_type("text/plain").unwrap().may_be(b"anything"));
    }
}
