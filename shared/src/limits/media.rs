//! Limits of media: the files of MMS.

/// Files of a message, and their size in all. RingCentral's limits.
pub const MEDIA_FILES: usize = 10;
pub const MEDIA_BYTES: usize = 1_500_000;
/// The longest text of a message with media, in UTF-16 code units: it is not split.
pub const MEDIA_TEXT_UNITS: usize = 1_000;
/// The longest URL of a file.
pub const MEDIA_URL_CHARS: usize = 2_048;
/// The longest file name of an upload.
pub const FILE_NAME_CHARS: usize = 100;
/// How long an upload URL is valid, and how long the uploaded file can be sent.
pub const UPLOAD_URL_SECONDS: i64 = 15 * 60;
pub const UPLOAD_KEPT_SECONDS: i64 = 24 * 60 * 60;
/// How long a download URL is valid.
pub const DOWNLOAD_URL_SECONDS: i64 = 300;
/// Until a client asks again for a file that is being copied.
pub const MEDIA_PENDING_RETRY_SECONDS: u64 = 5;
/// A message with media is sent at most this far ahead.
pub const MEDIA_SEND_AHEAD_DAYS: u32 = 30;

/// The download of one file. The files of a message are downloaded side by side.
pub const MEDIA_FILE_MS: u64 = 5_000;
/// Redirects that a download follows.
pub const MEDIA_REDIRECTS: usize = 3;
/// The waits between three attempts to download the files of an outbound message, which are made within two minutes.
pub const MEDIA_RETRY_SECONDS: [i64; 2] = [15, 60];
/// Until the sweep queues a message again whose files are not stored. Longer than a run and its redelivery.
pub const MEDIA_CLAIM_SECONDS: i64 = 120;
/// The first and the longest wait between attempts to copy an inbound file, and until it is given up.
pub const MEDIA_COPY_RETRY_SECONDS: i64 = 60;
pub const MEDIA_COPY_RETRY_MAX_SECONDS: i64 = 60 * 60;
pub const MEDIA_COPY_GIVE_UP_SECONDS: i64 = 3 * 24 * 60 * 60;
/// Until a copy tries again whether the sender has finished sending.
pub const MEDIA_COPY_BUSY_SECONDS: i64 = 5;
/// Files of an inbound message that are copied.
pub const INBOUND_FILES: usize = 50;
/// One call of S3 with a file.
pub const MEDIA_STORE_MS: u64 = 5_000;
/// Objects of a deleted tenant that are deleted concurrently.
pub const MEDIA_ERASE_AT_ONCE: usize = 16;
