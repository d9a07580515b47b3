//! The S3 bucket of the files of messages.
//!
//! `aws-sdk-s3` would take longer to build than all other SDK crates together, for six operations whose requests have no structure.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};

use crate::aws::{AwsClient, AwsRequest, AwsResponse, percent_encoded};
use crate::error::Error;
use crate::limits;

#[derive(Debug, Clone)]
pub struct MediaBucket {
    aws: AwsClient,
    bucket: String,
}

/// A failed request. It may have been carried out.
#[derive(Debug, thiserror::Error)]
#[error("S3 {operation}: {reason}")]
pub struct BucketError {
    operation: &'static str,
    reason: String,
}

impl From<BucketError> for Error {
    fn from(error: BucketError) -> Self {
        Self::unavailable("the media bucket", error)
    }
}

impl MediaBucket {
    pub fn new(aws: AwsClient, bucket: String) -> Self {
        Self { aws, bucket }
    }

    /// Stores an object.
    pub async fn put(&self, key: &str, content_type: &str, bytes: Bytes) -> Result<(), BucketError> {
        let headers = vec![("content-type", content_type.to_owned())];
        self.send("PutObject", "PUT", &format!("/{key}"), headers, bytes).await.map(drop)
    }

    /// Reads an object; `None` if it does not exist.
    pub async fn get(&self, key: &str) -> Result<Option<Bytes>, BucketError> {
        let response = self.find("GetObject", "GET", key, Vec::new()).await?;
        Ok(response.map(|response| response.body))
    }

    /// The size of an object in bytes; `None` if it does not exist.
    pub async fn size(&self, key: &str) -> Result<Option<u64>, BucketError> {
        let response = self.find("HeadObject", "HEAD", key, Vec::new()).await?;
        response
            .map(|response| response.content_length.ok_or_else(|| failure("HeadObject", "no content-length")))
            .transpose()
    }

    /// Copies an object with its content type. False if it does not exist.
    pub async fn copy(&self, from: &str, to: &str) -> Result<bool, BucketError> {
        let headers = vec![("x-amz-copy-source", format!("/{}/{from}", self.bucket))];
        let response = self.find("CopyObject", "PUT", to, headers).await?;
        match response {
            // S3 may report a failure after it has sent the status 200.
            Some(response) if !contains(&response.body, b"<CopyObjectResult") => {
                Err(failure("CopyObject", "an incomplete copy"))
            }
            copied => Ok(copied.is_some()),
        }
    }

    /// Deletes up to 1,000 objects whose keys begin with `prefix`. Returns how many there were.
    pub async fn delete_some(&self, prefix: &str) -> Result<usize, BucketError> {
        let path = format!("/?list-type=2&prefix={}", percent_encoded(prefix));
        let list = self.send("ListObjectsV2", "GET", &path, Vec::new(), Bytes::new()).await?;
        let list = String::from_utf8_lossy(&list.body).into_owned();
        // Keys have no characters that XML escapes.
        let keys = list.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next());
        let deletions = stream::iter(keys).map(async |key| {
            self.send("DeleteObject", "DELETE", &format!("/{key}"), Vec::new(), Bytes::new()).await
        });
        let deleted: Vec<_> = deletions.buffer_unordered(limits::MEDIA_ERASE_AT_ONCE).collect().await;
        let count = deleted.len();
        deleted.into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok(count)
    }

    /// A URL at which anyone can download the object for [`limits::DOWNLOAD_URL_SECONDS`]. Browsers save it as a file with this
    /// name.
    pub fn download_url(&self, key: &str, file_name: &str) -> Result<String, BucketError> {
        let disposition = format!("attachment; filename*=UTF-8''{}", percent_encoded(file_name));
        let path = format!("/{key}?response-content-disposition={}", percent_encoded(&disposition));
        self.presigned("GetObject", "GET", &path, &[], limits::DOWNLOAD_URL_SECONDS)
    }

    /// A URL at which anyone can upload a file with these headers, once, for [`limits::UPLOAD_URL_SECONDS`].
    pub fn upload_url(&self, key: &str, headers: &[(&'static str, String)]) -> Result<String, BucketError> {
        self.presigned("PutObject", "PUT", &format!("/{key}"), headers, limits::UPLOAD_URL_SECONDS)
    }

    fn presigned(
        &self,
        operation: &'static str,
        method: &'static str,
        path: &str,
        headers: &[(&'static str, String)],
        seconds: i64,
    ) -> Result<String, BucketError> {
        let expires_in = Duration::from_secs(seconds.unsigned_abs());
        let url = self.aws.presigned_url(method, &self.bucket, path, headers, expires_in);
        url.map_err(|error| failure(operation, &error.to_string()))
    }

    async fn find(
        &self,
        operation: &'static str,
        method: &'static str,
        key: &str,
        headers: Vec<(&'static str, String)>,
    ) -> Result<Option<AwsResponse>, BucketError> {
        let response = self.request(operation, method, &format!("/{key}"), headers, Bytes::new()).await?;
        match response.status {
            404 => Ok(None),
            _ => checked(operation, response).map(Some),
        }
    }

    async fn send(
        &self,
        operation: &'static str,
        method: &'static str,
        path: &str,
        headers: Vec<(&'static str, String)>,
        body: Bytes,
    ) -> Result<AwsResponse, BucketError> {
        checked(operation, self.request(operation, method, path, headers, body).await?)
    }

    /// Sends a request, again if S3 is busy. Every request has the same effect if it is repeated.
    async fn request(
        &self,
        operation: &'static str,
        method: &'static str,
        path: &str,
        headers: Vec<(&'static str, String)>,
        body: Bytes,
    ) -> Result<AwsResponse, BucketError> {
        let mut last = failure(operation, "no response");
        for _ in 0..limits::AWS_ATTEMPTS {
            let request = AwsRequest {
                service: "s3",
                operation,
                method,
                bucket: Some(self.bucket.clone()),
                path: path.to_owned(),
                headers: headers.clone(),
                body: body.clone(),
                timeout: Duration::from_millis(limits::MEDIA_STORE_MS),
            };
            match self.aws.send(request).await {
                Ok(response) if response.status < 500 && response.status != 429 => return Ok(response),
                Ok(response) => last = failure(operation, &format!("status {}", response.status)),
                Err(error) => last = failure(operation, &error.to_string()),
            }
        }
        Err(last)
    }
}

fn checked(operation: &'static str, response: AwsResponse) -> Result<AwsResponse, BucketError> {
    if (200..300).contains(&response.status) {
        return Ok(response);
    }
    Err(failure(operation, &format!("status {}", response.status)))
}

fn failure(operation: &'static str, reason: &str) -> BucketError {
    BucketError { operation, reason: reason.to_owned() }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
