//! The operations of S3 on the stored objects.

use super::access::S3Authorizer;
use super::object::{ObjectHeaders, StoredObject};
use super::store::{ObjectStore, WriteCondition, WriteError};
use crate::clock::StackClock;
use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use http_body_util::BodyExt;
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::auth::Credentials;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Sha1, Sha256};
use s3s::dto::{
    Checksum, CommonPrefix, CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopySource,
    DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, ETag,
    ETagCondition, Error, GetObjectInput, GetObjectOutput, HeadBucketInput, HeadBucketOutput,
    HeadObjectInput, HeadObjectOutput, ListObjectsV2Input, ListObjectsV2Output, MetadataDirective, Object,
    PutObjectInput, PutObjectOutput, Range, ServerSideEncryption, StreamingBlob,
};
use s3s::{Body, S3, S3Request, S3Response, S3Result, s3_error};
use std::sync::Arc;
use std::time::SystemTime;

/// What S3 leaves as it is with `encoding-type=url`.
const UNENCODED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'*').remove(b'~');
const MAX_KEYS: i32 = 1_000;
const DEFAULT_CONTENT_TYPE: &str = "binary/octet-stream";

pub struct S3Backend {
    objects: Arc<ObjectStore>,
    authorizer: S3Authorizer,
    clock: StackClock,
}

impl S3Backend {
    pub fn new(objects: Arc<ObjectStore>, authorizer: S3Authorizer, clock: StackClock) -> Self {
        Self { objects, authorizer, clock }
    }

    fn require_bucket(&self, bucket: &str) -> S3Result<()> {
        if self.objects.has_bucket(bucket) {
            Ok(())
        } else {
            Err(s3_error!(NoSuchBucket, "The specified bucket does not exist"))
        }
    }

    /// The object, or why there is none. Only a caller that may list the bucket learns that a key does not exist.
    fn find(&self, credentials: Option<&Credentials>, bucket: &str, key: &str) -> S3Result<StoredObject> {
        self.require_bucket(bucket)?;
        match self.objects.get(bucket, key) {
            Some(object) => Ok(object),
            None => {
                self.authorizer.on_list(credentials, bucket, None)?;
                Err(s3_error!(NoSuchKey, "The specified key does not exist."))
            }
        }
    }
}

#[async_trait::async_trait]
impl S3 for S3Backend {
    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let mut input = request.input;
        let bytes = match input.body.take() {
            Some(body) => read(body).await?,
            None => Bytes::new(),
        };
        let checksum = checksum(&input, &bytes)?;
        let condition = match (&input.if_none_match, &input.if_match) {
            (None, None) => WriteCondition::None,
            (Some(ETagCondition::Any), None) => WriteCondition::IsNew,
            (None, Some(ETagCondition::ETag(etag))) => WriteCondition::HasEtag(etag.value().to_owned()),
            _ => return Err(s3_error!(NotImplemented, "this condition is not supported")),
        };
        let headers = ObjectHeaders {
            content_type: input.content_type,
            content_disposition: input.content_disposition,
            content_encoding: input.content_encoding.filter(|encoding| encoding != "aws-chunked"),
            content_language: input.content_language,
            cache_control: input.cache_control,
            metadata: input.metadata.unwrap_or_default().into_iter().collect(),
        };
        let put = self.objects.put(&input.bucket, &input.key, bytes, headers, &condition, self.clock.now());
        let object = put.map_err(write_error)?;
        Ok(S3Response::new(PutObjectOutput {
            e_tag: Some(ETag::Strong(object.etag)),
            server_side_encryption: Some(encryption()),
            checksum_crc32: checksum.checksum_crc32,
            checksum_crc32c: checksum.checksum_crc32c,
            checksum_crc64nvme: checksum.checksum_crc64nvme,
            checksum_sha1: checksum.checksum_sha1,
            checksum_sha256: checksum.checksum_sha256,
            ..PutObjectOutput::default()
        }))
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let input = &request.input;
        unsupported(input.version_id.is_some() || input.part_number.is_some())?;
        unsupported(input.if_modified_since.is_some() || input.if_unmodified_since.is_some())?;
        let object = self.find(request.credentials.as_ref(), &input.bucket, &input.key)?;
        check_conditions(&object, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let (bytes, content_range) = part(&object, input.range)?;
        let headers = object.headers;
        Ok(S3Response::new(GetObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: i64::try_from(bytes.len()).ok(),
            content_range,
            body: Some(StreamingBlob::from(Body::from(bytes))),
            content_type: Some(headers.content_type.unwrap_or_else(|| DEFAULT_CONTENT_TYPE.to_owned())),
            content_disposition: headers.content_disposition,
            content_encoding: headers.content_encoding,
            content_language: headers.content_language,
            cache_control: headers.cache_control,
            metadata: Some(headers.metadata.into_iter().collect()),
            e_tag: Some(ETag::Strong(object.etag)),
            last_modified: Some(time(object.modified)),
            server_side_encryption: Some(encryption()),
            ..GetObjectOutput::default()
        }))
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = &request.input;
        unsupported(input.version_id.is_some() || input.part_number.is_some())?;
        unsupported(input.if_modified_since.is_some() || input.if_unmodified_since.is_some())?;
        let object = self.find(request.credentials.as_ref(), &input.bucket, &input.key)?;
        check_conditions(&object, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let (bytes, content_range) = part(&object, input.range)?;
        let headers = object.headers;
        Ok(S3Response::new(HeadObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: i64::try_from(bytes.len()).ok(),
            content_range,
            content_type: Some(headers.content_type.unwrap_or_else(|| DEFAULT_CONTENT_TYPE.to_owned())),
            content_disposition: headers.content_disposition,
            content_encoding: headers.content_encoding,
            content_language: headers.content_language,
            cache_control: headers.cache_control,
            metadata: Some(headers.metadata.into_iter().collect()),
            e_tag: Some(ETag::Strong(object.etag)),
            last_modified: Some(time(object.modified)),
            server_side_encryption: Some(encryption()),
            ..HeadObjectOutput::default()
        }))
    }

    async fn copy_object(
        &self,
        request: S3Request<CopyObjectInput>,
    ) -> S3Result<S3Response<CopyObjectOutput>> {
        let credentials = request.credentials.as_ref();
        let input = &request.input;
        let CopySource::Bucket { bucket: source_bucket, key: source_key, version_id: None } =
            &input.copy_source
        else {
            return Err(s3_error!(NotImplemented, "this copy source is not supported by the local stack"));
        };
        unsupported(
            input.copy_source_if_modified_since.is_some() || input.copy_source_if_unmodified_since.is_some(),
        )?;
        let source = self.find(credentials, source_bucket, source_key)?;
        if check_conditions(
            &source,
            input.copy_source_if_match.as_ref(),
            input.copy_source_if_none_match.as_ref(),
        )
        .is_err()
        {
            return Err(precondition_failed());
        }
        let directive = input.metadata_directive.as_ref().map(MetadataDirective::as_str);
        let headers = match directive {
            None | Some(MetadataDirective::COPY) => {
                if **source_bucket == *input.bucket && **source_key == *input.key {
                    return Err(s3_error!(
                        InvalidRequest,
                        "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes."
                    ));
                }
                source.headers
            }
            Some(MetadataDirective::REPLACE) => ObjectHeaders {
                content_type: input.content_type.clone(),
                content_disposition: input.content_disposition.clone(),
                content_encoding: input.content_encoding.clone(),
                content_language: input.content_language.clone(),
                cache_control: input.cache_control.clone(),
                metadata: input.metadata.clone().unwrap_or_default().into_iter().collect(),
            },
            Some(_) => return Err(s3_error!(InvalidArgument, "Unknown metadata directive.")),
        };
        let now = self.clock.now();
        let put =
            self.objects.put(&input.bucket, &input.key, source.bytes, headers, &WriteCondition::None, now);
        let object = put.map_err(write_error)?;
        Ok(S3Response::new(CopyObjectOutput {
            copy_object_result: Some(CopyObjectResult {
                e_tag: Some(ETag::Strong(object.etag)),
                last_modified: Some(time(object.modified)),
                ..CopyObjectResult::default()
            }),
            server_side_encryption: Some(encryption()),
            ..CopyObjectOutput::default()
        }))
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let input = request.input;
        unsupported(input.version_id.is_some())?;
        self.objects.delete(&input.bucket, &[input.key]).map_err(write_error)?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let input = request.input;
        let credentials = request.credentials.as_ref();
        self.require_bucket(&input.bucket)?;
        let identifiers = input.delete.objects;
        if identifiers.is_empty() || identifiers.len() > 1_000 {
            return Err(s3_error!(
                MalformedXML,
                "The XML you provided was not well-formed or did not validate against our published schema"
            ));
        }
        let mut keys = Vec::new();
        let mut errors = Vec::new();
        for identifier in identifiers {
            unsupported(identifier.version_id.is_some() || identifier.e_tag.is_some())?;
            let key = identifier.key;
            match self.authorizer.on_object(credentials, "DeleteObject", &input.bucket, &key) {
                Ok(()) => keys.push(key),
                Err(error) => errors.push(Error {
                    code: Some(error.code().as_str().to_owned()),
                    message: error.message().map(str::to_owned),
                    key: Some(key),
                    version_id: None,
                }),
            }
        }
        self.objects.delete(&input.bucket, &keys).map_err(write_error)?;
        let is_quiet = input.delete.quiet == Some(true);
        let deleted = keys.into_iter().filter(|_| !is_quiet);
        let deleted = deleted.map(|key| DeletedObject { key: Some(key), ..DeletedObject::default() });
        Ok(S3Response::new(DeleteObjectsOutput {
            deleted: Some(deleted.collect()),
            errors: Some(errors),
            ..DeleteObjectsOutput::default()
        }))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        self.require_bucket(&input.bucket)?;
        let max_keys = input.max_keys.unwrap_or(MAX_KEYS);
        let Ok(limit) = usize::try_from(max_keys.min(MAX_KEYS)) else {
            return Err(s3_error!(
                InvalidArgument,
                "Argument maxKeys must be an integer between 0 and 2147483647"
            ));
        };
        let after = match &input.continuation_token {
            Some(token) => read_token(token)?,
            None => input.start_after.clone().unwrap_or_default(),
        };
        let prefix = input.prefix.clone().unwrap_or_default();
        let delimiter = input.delimiter.clone().filter(|delimiter| !delimiter.is_empty());
        let encode = |text: &str| match &input.encoding_type {
            Some(encoding) if encoding.as_str() == "url" => utf8_percent_encode(text, UNENCODED).to_string(),
            _ => text.to_owned(),
        };
        let mut contents = Vec::new();
        let mut common: Vec<String> = Vec::new();
        let mut last = String::new();
        let mut is_truncated = false;
        for (key, object) in self.objects.list(&input.bucket, &prefix, &after) {
            let group = delimiter.as_ref().and_then(|delimiter| {
                let at = key[prefix.len()..].find(delimiter.as_str())?;
                Some(key[..prefix.len() + at + delimiter.len()].to_owned())
            });
            // A page that ended with a common prefix continues after all of its keys.
            if group.as_ref().is_some_and(|group| common.contains(group) || after.starts_with(group)) {
                last = key;
                continue;
            }
            if contents.len() + common.len() >= limit {
                is_truncated = limit > 0;
                break;
            }
            last.clone_from(&key);
            match group {
                Some(group) => common.push(group),
                None => contents.push(Object {
                    key: Some(encode(&key)),
                    size: i64::try_from(object.bytes.len()).ok(),
                    e_tag: Some(ETag::Strong(object.etag)),
                    last_modified: Some(time(object.modified)),
                    storage_class: Some("STANDARD".to_owned().into()),
                    ..Object::default()
                }),
            }
        }
        let key_count = i32::try_from(contents.len() + common.len()).ok();
        let common = common.iter().map(|group| CommonPrefix { prefix: Some(encode(group)) });
        Ok(S3Response::new(ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: Some(encode(&prefix)),
            delimiter: delimiter.as_deref().map(encode),
            start_after: input.start_after.as_deref().map(encode),
            max_keys: Some(max_keys.min(MAX_KEYS)),
            key_count,
            is_truncated: Some(is_truncated),
            next_continuation_token: is_truncated.then(|| BASE64URL_NOPAD.encode(last.as_bytes())),
            continuation_token: input.continuation_token,
            encoding_type: input.encoding_type.clone(),
            common_prefixes: Some(common.collect()),
            contents: Some(contents),
            ..ListObjectsV2Output::default()
        }))
    }

    async fn head_bucket(
        &self,
        request: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        self.require_bucket(&request.input.bucket)?;
        Ok(S3Response::new(HeadBucketOutput {
            bucket_region: Some(crate::names::REGION.to_owned()),
            ..HeadBucketOutput::default()
        }))
    }
}

async fn read(body: StreamingBlob) -> S3Result<Bytes> {
    match Body::from(body).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(_) => Err(s3_error!(
            IncompleteBody,
            "The request body is incomplete, or a chunk of it has a wrong signature or checksum"
        )),
    }
}

/// Compares the checksums that the client sent, and returns them.
fn checksum(input: &PutObjectInput, bytes: &Bytes) -> S3Result<Checksum> {
    let mut hasher = ChecksumHasher {
        crc32: input.checksum_crc32.is_some().then(Crc32::new),
        crc32c: input.checksum_crc32c.is_some().then(Crc32c::new),
        crc64nvme: input.checksum_crc64nvme.is_some().then(Crc64Nvme::new),
        sha1: input.checksum_sha1.is_some().then(Sha1::new),
        sha256: input.checksum_sha256.is_some().then(Sha256::new),
    };
    hasher.update(bytes);
    let computed = hasher.finalize();
    let is_equal = computed.checksum_crc32 == input.checksum_crc32
        && computed.checksum_crc32c == input.checksum_crc32c
        && computed.checksum_crc64nvme == input.checksum_crc64nvme
        && computed.checksum_sha1 == input.checksum_sha1
        && computed.checksum_sha256 == input.checksum_sha256;
    if is_equal {
        Ok(computed)
    } else {
        Err(s3_error!(BadDigest, "The checksum you specified did not match the calculated checksum."))
    }
}

fn check_conditions(
    object: &StoredObject,
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
) -> S3Result<()> {
    let matches = |condition: &ETagCondition| match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(etag) => etag.value() == object.etag,
    };
    if if_match.is_some_and(|condition| !matches(condition)) {
        return Err(precondition_failed());
    }
    if if_none_match.is_some_and(matches) {
        return Err(s3_error!(NotModified, "Not Modified"));
    }
    Ok(())
}

/// The bytes of a range, and the value of `Content-Range`.
fn part(object: &StoredObject, range: Option<Range>) -> S3Result<(Bytes, Option<String>)> {
    let Some(range) = range else { return Ok((object.bytes.clone(), None)) };
    let length = object.bytes.len();
    let checked = range.check(length as u64)?;
    let invalid = |_| s3_error!(InvalidRange, "The requested range is not satisfiable");
    let start = usize::try_from(checked.start).map_err(invalid)?;
    let end = usize::try_from(checked.end).map_err(invalid)?;
    let content_range = format!("bytes {start}-{}/{length}", end.saturating_sub(1));
    Ok((object.bytes.slice(start..end), Some(content_range)))
}

fn read_token(token: &str) -> S3Result<String> {
    let key = BASE64URL_NOPAD.decode(token.as_bytes()).ok().and_then(|key| String::from_utf8(key).ok());
    key.ok_or_else(|| s3_error!(InvalidArgument, "The continuation token provided is incorrect"))
}

fn write_error(error: WriteError) -> s3s::S3Error {
    match error {
        WriteError::NoSuchBucket => s3_error!(NoSuchBucket, "The specified bucket does not exist"),
        WriteError::NoSuchKey => s3_error!(NoSuchKey, "The specified key does not exist."),
        WriteError::ConditionFailed => precondition_failed(),
        WriteError::NotSaved => {
            s3_error!(InternalError, "We encountered an internal error. Please try again.")
        }
    }
}

fn precondition_failed() -> s3s::S3Error {
    s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold")
}

fn unsupported(is_used: bool) -> S3Result<()> {
    if is_used {
        return Err(s3_error!(
            NotImplemented,
            "a parameter or condition is not supported by the local stack"
        ));
    }
    Ok(())
}

/// Every object is encrypted with keys of S3, as on AWS.
fn encryption() -> ServerSideEncryption {
    ServerSideEncryption::from_static(ServerSideEncryption::AES256)
}

fn time(at: Timestamp) -> s3s::dto::Timestamp {
    SystemTime::from(at).into()
}
