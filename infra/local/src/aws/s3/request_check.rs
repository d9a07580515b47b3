//! What AWS checks about a request before it is applied, and `s3s` does not.

use crate::aws::error::AwsError;
use crate::aws::request::AwsCall;
use crate::aws::s3_wire::SUPPORTED;
use crate::clock::StackClock;
use crate::names;
use crate::server::HttpRequest;
use aws_lc_rs::digest;
use data_encoding::{BASE64, HEXLOWER};
use hyper::Method;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use md5::{Digest, Md5};

/// How far the time of a signature may be from the time of its arrival.
const MAX_SKEW_SECONDS: i64 = 15 * 60;
/// A presigned URL lives for at most seven days.
const MAX_EXPIRES_SECONDS: i64 = 604_800;

pub fn check(call: &AwsCall, clock: &StackClock) -> Result<(), AwsError> {
    let http = &call.http;
    if !SUPPORTED.contains(&call.operation.as_str()) {
        return Err(not_implemented(&format!("{} is not supported by the local stack", call.operation)));
    }
    if call.is_presigned {
        check_presigned(call, clock)?;
    } else {
        match http.header("authorization") {
            None => return Err(denied("Access Denied")),
            Some(header) if !header.starts_with("AWS4-HMAC-SHA256 ") => {
                return Err(AwsError::new(
                    "InvalidRequest",
                    "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.",
                ));
            }
            Some(_) => check_time(http, clock)?,
        }
    }
    check_session_token(call)?;
    check_headers(call)?;
    check_digests(call)
}

/// The time of a signed request must be near the real time or the stack's, because clients on this machine have one or the
/// other.
fn check_time(http: &HttpRequest, clock: &StackClock) -> Result<(), AwsError> {
    let Some(signed) = http.header("x-amz-date").and_then(read_time) else {
        return Err(denied("AWS authentication requires a valid Date or x-amz-date header"));
    };
    let is_near = |now: Timestamp| (now.as_second() - signed.as_second()).abs() <= MAX_SKEW_SECONDS;
    if is_near(Timestamp::now()) || is_near(clock.now()) {
        return Ok(());
    }
    Err(AwsError::with_status(
        403,
        "RequestTimeTooSkewed",
        "The difference between the request time and the current time is too large.",
    ))
}

/// A function's presigned URL expires by the stack's clock, whether it was signed with the stack's time or the real one. Other
/// signers have the real time.
fn check_presigned(call: &AwsCall, clock: &StackClock) -> Result<(), AwsError> {
    let parameter = |name: &str| call.http.query(name);
    let malformed = |message: &str| Err(AwsError::new("AuthorizationQueryParametersError", message));
    if parameter("X-Amz-Algorithm").as_deref() != Some("AWS4-HMAC-SHA256") {
        return malformed("X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\"");
    }
    let Some(signed) = parameter("X-Amz-Date").as_deref().and_then(read_time) else {
        return malformed("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"");
    };
    let Some(expires) = parameter("X-Amz-Expires").and_then(|text| text.parse::<i64>().ok()) else {
        return malformed("X-Amz-Expires should be a number");
    };
    if expires < 0 {
        return malformed("X-Amz-Expires must be non-negative");
    }
    if expires > MAX_EXPIRES_SECONDS {
        return malformed(
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds",
        );
    }
    let real = Timestamp::now();
    // All signers have this machine's clock, so a time in the future is the stack's.
    let offset_when_signed = match parameter("X-Amz-Security-Token").as_deref().and_then(names::instance_of) {
        _ if signed > real => 0,
        // An instance ends when the clock moves.
        Some((_, offset)) => offset,
        None => clock.offset_seconds(),
    };
    let age = clock.now().as_second() - signed.as_second() - offset_when_signed;
    if age < -MAX_SKEW_SECONDS {
        return Err(denied("Request is not valid yet"));
    }
    if age > expires {
        return Err(denied("Request has expired"));
    }
    let signed_headers = parameter("X-Amz-SignedHeaders").unwrap_or_default();
    let is_signed = |name: &str| signed_headers.split(';').any(|signed| signed == name);
    let unsigned = call.http.headers.keys().find(|name| {
        let name = name.as_str();
        name.starts_with("x-amz-") && name != "x-amz-content-sha256" && !is_signed(name)
    });
    match unsigned {
        Some(_) => Err(denied("There were headers present in the request which were not signed")),
        None => Ok(()),
    }
}

/// Temporary credentials are invalid without their session token.
fn check_session_token(call: &AwsCall) -> Result<(), AwsError> {
    if call.function.is_none() {
        return Ok(());
    }
    let parameter = call.http.query("X-Amz-Security-Token");
    let token =
        if call.is_presigned { parameter.as_deref() } else { call.http.header("x-amz-security-token") };
    match token {
        None => Err(AwsError::with_status(
            403,
            "InvalidAccessKeyId",
            "The AWS Access Key Id you provided does not exist in our records.",
        )),
        Some(token) if names::instance_of(token).is_none() => {
            Err(AwsError::new("InvalidToken", "The provided token is malformed or otherwise invalid."))
        }
        Some(_) => Ok(()),
    }
}

/// Headers that change what an operation does, and that the local stack does not have.
const UNSUPPORTED_HEADERS: [&str; 9] = [
    "x-amz-tagging",
    "x-amz-website-redirect-location",
    "x-amz-object-lock-mode",
    "x-amz-object-lock-legal-hold",
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-write-offset-bytes",
    "x-amz-grant-read",
    "x-amz-grant-full-control",
];

fn check_headers(call: &AwsCall) -> Result<(), AwsError> {
    let headers = &call.http.headers;
    if let Some(name) = UNSUPPORTED_HEADERS.iter().find(|name| headers.contains_key(**name)) {
        return Err(not_implemented(&format!("{name} is not supported by the local stack")));
    }
    let is_conditional = headers.contains_key("if-none-match") || headers.contains_key("if-match");
    if is_conditional && ["CopyObject", "DeleteObject"].contains(&call.operation.as_str()) {
        return Err(not_implemented(&format!(
            "a conditional {} is not supported by the local stack",
            call.operation
        )));
    }
    let encryption = call.http.header("x-amz-server-side-encryption");
    if encryption.is_some_and(|encryption| encryption != "AES256") {
        return Err(not_implemented(
            "x-amz-server-side-encryption: only AES256 is supported by the local stack",
        ));
    }
    // The buckets have no access control lists (BucketOwnerEnforced).
    let acl = call.http.header("x-amz-acl");
    if acl.is_some_and(|acl| acl != "bucket-owner-full-control") {
        return Err(AwsError::new("AccessControlListNotSupported", "The bucket does not allow ACLs"));
    }
    Ok(())
}

fn check_digests(call: &AwsCall) -> Result<(), AwsError> {
    let http = &call.http;
    if let Some(expected) = http.header("content-md5") {
        match BASE64.decode(expected.as_bytes()) {
            Ok(expected) if expected.len() == 16 => {
                if expected != Md5::digest(&http.body).as_slice() {
                    return Err(AwsError::new(
                        "BadDigest",
                        "The Content-MD5 you specified did not match what we received.",
                    ));
                }
            }
            _ => {
                return Err(AwsError::new("InvalidDigest", "The Content-MD5 you specified is not valid."));
            }
        }
    }
    let is_hash = |text: &&str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if let Some(expected) = http.header("x-amz-content-sha256").filter(is_hash)
        && !expected
            .eq_ignore_ascii_case(&HEXLOWER.encode(digest::digest(&digest::SHA256, &http.body).as_ref()))
    {
        return Err(AwsError::new(
            "XAmzContentSHA256Mismatch",
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        ));
    }
    let has_checksum = || http.headers.keys().any(|name| name.as_str().starts_with("x-amz-checksum-"));
    if call.operation == "DeleteObjects" && http.header("content-md5").is_none() && !has_checksum() {
        return Err(AwsError::new("InvalidRequest", "Missing required header for this request: Content-MD5"));
    }
    if http.method == Method::PUT && call.operation == "PutObject" && http.header("content-length").is_none()
    {
        return Err(AwsError::with_status(
            411,
            "MissingContentLength",
            "You must provide the Content-Length HTTP header.",
        ));
    }
    Ok(())
}

fn read_time(text: &str) -> Option<Timestamp> {
    let time = DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

fn denied(message: &str) -> AwsError {
    AwsError::with_status(403, "AccessDenied", message)
}

fn not_implemented(message: &str) -> AwsError {
    AwsError::with_status(501, "NotImplemented", message)
}
