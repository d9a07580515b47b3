//! Who may call S3: the functions, as their policies allow, and the administrator on this machine.

use crate::aws::error::AwsError;
use crate::aws::iam::FunctionPolicies;
use crate::iam_policy::RequiredPermission;
use crate::names;
use s3s::access::S3Access;
use s3s::auth::{Credentials, S3Auth, SecretKey};
use s3s::dto::{
    CopyObjectInput, CopySource, DeleteObjectInput, GetObjectInput, HeadBucketInput, HeadObjectInput,
    ListObjectsV2Input, PutObjectInput,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Result, s3_error};

#[derive(Clone)]
pub struct S3Authorizer {
    policies: FunctionPolicies,
}

impl S3Authorizer {
    pub fn new(policies: FunctionPolicies) -> Self {
        Self { policies }
    }

    /// Rejects an action that the policies of the signing function do not allow. Other signers are administrators.
    pub fn authorize(
        &self,
        credentials: Option<&Credentials>,
        permission: RequiredPermission,
    ) -> S3Result<()> {
        let Some(credentials) = credentials else {
            return Err(s3_error!(AccessDenied, "Access Denied"));
        };
        match names::function_of(&credentials.access_key) {
            None => Ok(()),
            Some(function) => self.policies.check(function, &[permission]).map_err(|error| {
                let AwsError { message, .. } = error;
                S3Error::with_message(S3ErrorCode::AccessDenied, message)
            }),
        }
    }

    pub fn on_object(
        &self,
        credentials: Option<&Credentials>,
        action: &str,
        bucket: &str,
        key: &str,
    ) -> S3Result<()> {
        let permission = RequiredPermission::new(format!("s3:{action}"), names::object_arn(bucket, key));
        self.authorize(credentials, permission)
    }

    /// Listing requires the permission for the bucket. A condition can restrict the prefix.
    pub fn on_list(
        &self,
        credentials: Option<&Credentials>,
        bucket: &str,
        prefix: Option<&str>,
    ) -> S3Result<()> {
        let mut permission = RequiredPermission::new("s3:ListBucket", names::bucket_arn(bucket));
        if let Some(prefix) = prefix {
            permission.context.insert("s3:prefix".to_owned(), vec![prefix.to_owned()]);
        }
        self.authorize(credentials, permission)
    }
}

#[async_trait::async_trait]
impl S3Auth for S3Authorizer {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        let is_known = access_key == names::ADMINISTRATOR_ACCESS_KEY_ID
            || names::function_of(access_key).is_some_and(|function| self.policies.knows(function));
        if is_known {
            Ok(SecretKey::from(names::SECRET_ACCESS_KEY))
        } else {
            Err(s3_error!(
                InvalidAccessKeyId,
                "The AWS Access Key Id you provided does not exist in our records."
            ))
        }
    }
}

#[async_trait::async_trait]
impl S3Access for S3Authorizer {
    async fn put_object(&self, request: &mut S3Request<PutObjectInput>) -> S3Result<()> {
        let PutObjectInput { bucket, key, .. } = &request.input;
        self.on_object(request.credentials.as_ref(), "PutObject", bucket, key)
    }

    async fn get_object(&self, request: &mut S3Request<GetObjectInput>) -> S3Result<()> {
        let GetObjectInput { bucket, key, .. } = &request.input;
        self.on_object(request.credentials.as_ref(), "GetObject", bucket, key)
    }

    async fn head_object(&self, request: &mut S3Request<HeadObjectInput>) -> S3Result<()> {
        let HeadObjectInput { bucket, key, .. } = &request.input;
        self.on_object(request.credentials.as_ref(), "GetObject", bucket, key)
    }

    async fn copy_object(&self, request: &mut S3Request<CopyObjectInput>) -> S3Result<()> {
        let credentials = request.credentials.as_ref();
        let CopyObjectInput { bucket, key, copy_source, .. } = &request.input;
        if let CopySource::Bucket { bucket, key, .. } = copy_source {
            self.on_object(credentials, "GetObject", bucket, key)?;
        }
        self.on_object(credentials, "PutObject", bucket, key)
    }

    async fn delete_object(&self, request: &mut S3Request<DeleteObjectInput>) -> S3Result<()> {
        let DeleteObjectInput { bucket, key, .. } = &request.input;
        self.on_object(request.credentials.as_ref(), "DeleteObject", bucket, key)
    }

    async fn list_objects_v2(&self, request: &mut S3Request<ListObjectsV2Input>) -> S3Result<()> {
        let ListObjectsV2Input { bucket, prefix, .. } = &request.input;
        self.on_list(request.credentials.as_ref(), bucket, Some(prefix.as_deref().unwrap_or_default()))
    }

    async fn head_bucket(&self, request: &mut S3Request<HeadBucketInput>) -> S3Result<()> {
        self.on_list(request.credentials.as_ref(), &request.input.bucket, None)
    }

    // DeleteObjects requires a permission for each key, and the backend reports each failure.
}
