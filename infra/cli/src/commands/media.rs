//! Files of a message: uploaded from this machine, or named by their URLs.

use std::path::Path;

use crate::api::{self, SendRequest, UploadRequest};
use crate::client::{self, Client};
use crate::error::{CliError, CliResult, Exit};
use crate::target;

/// The content types of files, by the ending of their names (docs/media.md).
const TYPES: [(&str, &str); 32] = [
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("png", "image/png"),
    ("gif", "image/gif"),
    ("bmp", "image/bmp"),
    ("tif", "image/tiff"),
    ("tiff", "image/tiff"),
    ("webp", "image/webp"),
    ("svg", "image/svg+xml"),
    ("mp4", "video/mp4"),
    ("3gp", "video/3gpp"),
    ("mpeg", "video/mpeg"),
    ("mov", "video/quicktime"),
    ("avi", "video/avi"),
    ("webm", "video/webm"),
    ("ogv", "video/ogg"),
    ("flv", "video/x-flv"),
    ("wmv", "video/x-ms-wmv"),
    ("mp3", "audio/mpeg"),
    ("m4a", "audio/mp4"),
    ("ogg", "audio/ogg"),
    ("wav", "audio/wav"),
    ("amr", "audio/amr"),
    ("vcf", "text/vcard"),
    ("txt", "text/plain"),
    ("csv", "text/csv"),
    ("html", "text/html"),
    ("ics", "text/calendar"),
    ("pdf", "application/pdf"),
    ("rtf", "application/rtf"),
    ("zip", "application/zip"),
    ("gz", "application/gzip"),
];

/// Adds files to a message: URLs as they are, and uploads of files.
pub async fn add(client: &Client, request: &mut SendRequest, media: &[String]) -> CliResult<()> {
    for source in media {
        if source.starts_with("https://") {
            request.media_urls.get_or_insert_default().push(source.clone());
        } else {
            let id = upload(client, Path::new(source)).await?;
            request.media_ids.get_or_insert_default().push(id);
        }
    }
    Ok(())
}

async fn upload(client: &Client, file: &Path) -> CliResult<String> {
    let content = std::fs::read(file).map_err(|error| CliError::file(file, &error))?;
    let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_lowercase();
    let known = TYPES.iter().find(|(known, _)| *known == ending);
    let (_, content_type) = known.ok_or_else(|| {
        CliError::usage(format!("{} has no known type", file.display()))
            .advice("docs/media.md has the types that can be sent.")
    })?;
    let request = UploadRequest {
        content_type: (*content_type).to_owned(),
        size: i64::try_from(content.len()).ok(),
        file_name: file.file_name().and_then(|name| name.to_str()).map(str::to_owned),
    };
    let upload = client.call(&api::create_media_upload(&request)).await?.value;
    let failed = |reason: String| {
        CliError::new(Exit::Unavailable, format!("{} could not be uploaded: {reason}", file.display()))
    };
    let url = target::parse(&upload.upload_url)?;
    let mut put = client::http(&url)?.put(url);
    for (name, value) in upload.upload_headers.as_object().into_iter().flatten() {
        // The length is that of the body.
        if let Some(value) = value.as_str().filter(|_| name != "content-length") {
            put = put.header(name, value);
        }
    }
    let response = put.body(content).send().await.map_err(|error| failed(client::reason(&error)))?;
    if !response.status().is_success() {
        return Err(failed(format!("the storage returned {}", response.status())));
    }
    Ok(upload.media_id)
}
