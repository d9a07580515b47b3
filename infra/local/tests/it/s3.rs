//! S3: presigned URLs, conditions, ranges, permissions, faults, the call log, lifecycle rules and state between runs.

use crate::s3_client::{BUCKET, Signer};
use crate::test_stack::{TestStack, options};
use crate::tools;
use data_encoding::BASE64;
use local::{DataLocation, StackOptions};
use md5::{Digest, Md5};
use serde_json::{Value, json};
use tokio::process::Command;

const PICTURE: &[u8] = b"\x89PNG\r\n\x1a\nnot really a picture";

fn denied() -> (u16, String) {
    (403, "AccessDenied".to_owned())
}

fn mismatch() -> (u16, String) {
    (403, "SignatureDoesNotMatch".to_owned())
}

#[tokio::test]
async fn a_presigned_upload_is_bound_to_its_length_its_type_and_a_new_key() {
    let test = TestStack::start().await;
    let url = test.s3_url("/allowed/picture");
    let length = PICTURE.len().to_string();
    let headers =
        [("content-length", length.as_str()), ("content-type", "image/png"), ("if-none-match", "*")];
    let signed = Signer::probe().presign("PUT", &url, &headers, 900);
    let put =
        async |headers: &[(&str, &str)], body: &[u8]| test.send("PUT", &signed, headers, body).await.error();

    let kind = ("content-type", "image/png");
    let is_new = ("if-none-match", "*");
    assert_eq!(put(&[kind], PICTURE).await, mismatch(), "without the condition");
    assert_eq!(put(&[is_new], PICTURE).await, mismatch(), "without a type");
    assert_eq!(put(&[("content-type", "text/html"), is_new], PICTURE).await, mismatch(), "another type");
    assert_eq!(put(&[kind, is_new], b"longer or shorter").await, mismatch(), "another length");
    assert_eq!(put(&[kind, is_new, ("x-amz-meta-more", "1")], PICTURE).await, denied(), "one header more");
    assert_eq!(test.send("PUT", &url, &[kind, is_new], PICTURE).await.error(), denied(), "unsigned");
    let other = signed.replace("/picture", "/another");
    assert_eq!(test.send("PUT", &other, &[kind, is_new], PICTURE).await.error(), mismatch(), "another key");
    assert_eq!(test.send("GET", &signed, &[], b"").await.error(), mismatch(), "another method");

    assert_eq!(put(&[kind, is_new], PICTURE).await, (200, String::new()));
    let again = put(&[kind, is_new], PICTURE).await;
    assert_eq!(again, (412, "PreconditionFailed".to_owned()), "the bytes cannot change");
    test.post("/_local/clock", &json!({ "advanceSeconds": 901 })).await;
    let late = test.send("PUT", &signed, &[kind, is_new], PICTURE).await;
    assert_eq!(late.error(), denied());
    assert!(late.text().contains("<Message>Request has expired</Message>"), "{}", late.text());
}

#[tokio::test]
async fn a_presigned_download_has_the_headers_that_the_signer_chose() {
    let test = TestStack::start().await;
    let signer = Signer::probe();
    let kind = [("content-type", "image/png"), ("content-disposition", "inline"), ("x-amz-meta-a", "b")];
    let put = test.s3(&signer, "PUT", "/allowed/a%20b%2Bc", &kind, PICTURE).await;
    assert_eq!(put.status, 200, "{}", put.text());

    let query = "?response-content-disposition=attachment%3B%20filename%3D%22a.png%22&response-cache-control=no-store";
    let signed = signer.presign("GET", &test.s3_url(&format!("/allowed/a%20b%2Bc{query}")), &[], 300);
    let whole = test.send("GET", &signed, &[], b"").await;
    assert_eq!((whole.status, whole.body.as_slice()), (200, PICTURE), "{}", whole.text());
    assert_eq!(whole.header("content-disposition"), "attachment; filename=\"a.png\"");
    assert_eq!(whole.header("cache-control"), "no-store");
    assert_eq!(whole.header("content-type"), "image/png");
    assert_eq!(whole.header("x-amz-meta-a"), "b");
    assert_eq!(whole.header("x-amz-server-side-encryption"), "AES256");
    assert_eq!(whole.header("etag"), put.header("etag"));

    let part = test.send("GET", &signed, &[("range", "bytes=1-3")], b"").await;
    assert_eq!((part.status, part.body.as_slice()), (206, &b"PNG"[..]));
    assert_eq!(part.header("content-range"), format!("bytes 1-3/{}", PICTURE.len()));
    let beyond = test.send("GET", &signed, &[("range", "bytes=900-")], b"").await;
    assert_eq!(beyond.error(), (416, "InvalidRange".to_owned()));
    let same = test.send("GET", &signed, &[("if-none-match", put.header("etag"))], b"").await;
    assert_eq!((same.status, same.body.len()), (304, 0));
    let changed = signed.replace("a.png", "b.png");
    assert_eq!(test.send("GET", &changed, &[], b"").await.error(), mismatch());

    // A URL that was signed with the stack's time, after it has moved, and one with the real time.
    test.post("/_local/clock", &json!({ "advanceSeconds": 7200 })).await;
    assert_eq!(test.send("GET", &signed, &[], b"").await.error(), denied(), "expired");
    let url = test.s3_url("/allowed/a%20b%2Bc");
    let signer = Signer::new("ASIALOCAL.probe", "local", Some("instance-2-7200"));
    for (signer, ahead) in [(&signer, 7200), (&signer, 0), (&Signer::administrator(), 0)] {
        let signed = signer.ahead(ahead).presign("GET", &url, &[], 300);
        assert_eq!(test.send("GET", &signed, &[], b"").await.status, 200, "signed {ahead} s ahead");
    }
    let signed = signer.ahead(9000).presign("GET", &url, &[], 300);
    assert_eq!(test.send("GET", &signed, &[], b"").await.error(), denied(), "not valid yet");
    let signed = signer.ahead(0).presign("GET", &url, &[], 700_000);
    let expected = (400, "AuthorizationQueryParametersError".to_owned());
    assert_eq!(test.send("GET", &signed, &[], b"").await.error(), expected, "more than a week");
}

#[tokio::test]
async fn the_rights_of_the_signer_count_for_requests_and_for_presigned_urls() {
    let test = TestStack::start().await;
    let (probe, administrator) = (Signer::probe(), Signer::administrator());
    for path in ["/allowed/old/a", "/allowed/b", "/other/c"] {
        assert_eq!(test.s3(&administrator, "PUT", path, &[], PICTURE).await.status, 200, "{path}");
    }
    let call = async |method: &str, path: &str| test.s3(&probe, method, path, &[], b"").await.error();
    assert_eq!(call("GET", "/allowed/b").await.0, 200);
    assert_eq!(call("GET", "/other/c").await, denied());
    assert_eq!(call("HEAD", "/other/c").await.0, 403);
    assert_eq!(call("DELETE", "/allowed/b").await, denied());
    assert_eq!(call("DELETE", "/allowed/old/a").await.0, 204);
    assert_eq!(call("GET", "?list-type=2").await, denied());
    assert_eq!(call("GET", "?list-type=2&prefix=other%2F").await, denied());
    assert_eq!(call("GET", "?list-type=2&prefix=allowed%2F").await.0, 200);
    // Only who may list the whole bucket learns that a key does not exist.
    assert_eq!(call("GET", "/allowed/missing").await, denied());
    let missing = test.s3(&administrator, "GET", "/allowed/missing", &[], b"").await;
    assert_eq!(missing.error(), (404, "NoSuchKey".to_owned()));

    let signed = probe.presign("GET", &test.s3_url("/other/c"), &[], 300);
    let response = test.send("GET", &signed, &[], b"").await;
    assert_eq!(response.error(), denied());
    assert!(response.text().contains("is not authorized to perform: s3:GetObject"), "{}", response.text());
    let source = ("x-amz-copy-source", "ringbridge-local-files/other/c");
    let copy = test.s3(&probe, "PUT", "/allowed/copy", &[source], b"").await;
    assert_eq!(copy.error(), denied(), "the source is not allowed");

    for (signer, code) in [
        (Signer::new("AKIAUNKNOWN", "local", None), "InvalidAccessKeyId"),
        (Signer::new("ASIALOCAL.unknown", "local", Some("instance-1-0")), "InvalidAccessKeyId"),
        (Signer::new("ASIALOCAL.probe", "local", None), "InvalidAccessKeyId"),
        (Signer::new("ASIALOCAL.probe", "local", Some("other")), "InvalidToken"),
        (Signer::new("ASIALOCAL.probe", "wrong", Some("instance-1-0")), "SignatureDoesNotMatch"),
        (Signer::probe().ahead(-3600), "RequestTimeTooSkewed"),
    ] {
        assert_eq!(test.s3(&signer, "GET", "/allowed/b", &[], b"").await.error().1, code);
    }
    let environment = test.get("/probe?do=env").await.json();
    assert_eq!(environment["FILES"], BUCKET);
    assert_eq!(environment["FILES_ARN"], "arn:aws:s3:::ringbridge-local-files");
}

#[tokio::test]
async fn objects_are_copied_listed_and_deleted() {
    let test = TestStack::start().await;
    let signer = Signer::administrator();
    let call = async |method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]| {
        test.s3(&signer, method, path, headers, body).await
    };
    let kind = ("content-type", "image/png");
    let put = call("PUT", "/a/1", &[kind], PICTURE).await;
    let source = ("x-amz-copy-source", "/ringbridge-local-files/a/1");
    assert_eq!(call("PUT", "/b/2", &[source], b"").await.status, 200);
    let copy = call("HEAD", "/b/2", &[], b"").await;
    assert_eq!((copy.header("content-type"), copy.header("etag")), ("image/png", put.header("etag")));
    let replace = ("x-amz-metadata-directive", "REPLACE");
    assert_eq!(call("PUT", "/b/3", &[source, replace, ("content-type", "image/gif")], b"").await.status, 200);
    assert_eq!(call("HEAD", "/b/3", &[], b"").await.header("content-type"), "image/gif");
    let is_same = |etag| [source, ("x-amz-copy-source-if-match", etag)];
    let other = call("PUT", "/b/4", &is_same("\"another\""), b"").await;
    assert_eq!(other.error(), (412, "PreconditionFailed".to_owned()));
    assert_eq!(call("PUT", "/b/4", &is_same(put.header("etag")), b"").await.status, 200);
    assert_eq!(call("PUT", "/a/1", &[source], b"").await.error().1, "InvalidRequest");

    let shown = test.aws_control("GET", "s3", &Value::Null).await.json();
    let first = &shown["objects"][0];
    assert_eq!((&first["key"], &first["size"]), (&json!("a/1"), &json!(PICTURE.len())));
    let all = call("GET", "?list-type=2", &[], b"").await.text();
    assert_eq!(keys(&all), ["a/1", "b/2", "b/3", "b/4"]);
    let first = call("GET", "?list-type=2&max-keys=3", &[], b"").await.text();
    assert_eq!(keys(&first), ["a/1", "b/2", "b/3"]);
    let token = between(&first, "<NextContinuationToken>", "</NextContinuationToken>");
    let rest = call("GET", &format!("?list-type=2&continuation-token={token}"), &[], b"").await.text();
    assert_eq!(keys(&rest), ["b/4"]);
    assert!(rest.contains("<IsTruncated>false</IsTruncated>"), "{rest}");
    let groups = call("GET", "?delimiter=%2F&list-type=2", &[], b"").await.text();
    assert_eq!(keys(&groups).len(), 0, "{groups}");
    assert_eq!(groups.matches("<CommonPrefixes>").count(), 2, "{groups}");

    let body = "<Delete><Object><Key>b/2</Key></Object><Object><Key>b/none</Key></Object></Delete>";
    let without = call("POST", "?delete", &[], body.as_bytes()).await;
    assert_eq!(without.error(), (400, "InvalidRequest".to_owned()));
    let digest = BASE64.encode(Md5::digest(body.as_bytes()).as_slice());
    let deleted = call("POST", "?delete", &[("content-md5", &digest)], body.as_bytes()).await;
    assert_eq!(deleted.text().matches("<Deleted>").count(), 2, "{}", deleted.text());
    assert_eq!(call("GET", "/b/2", &[], b"").await.error().1, "NoSuchKey");

    let wrong = call("PUT", "/c", &[("content-md5", &BASE64.encode(&[0; 16]))], PICTURE).await;
    assert_eq!(wrong.error(), (400, "BadDigest".to_owned()));
    let public = call("PUT", "/c", &[("x-amz-acl", "public-read")], PICTURE).await;
    assert_eq!(public.error().1, "AccessControlListNotSupported");
    assert_eq!(
        call("PUT", "/c?tagging", &[], b"<Tagging/>").await.error(),
        (501, "NotImplemented".to_owned())
    );
}

fn keys(list: &str) -> Vec<&str> {
    list.split("<Key>").skip(1).map(|rest| rest.split_once("</Key>").unwrap().0).collect()
}

fn between<'text>(text: &'text str, start: &str, end: &str) -> &'text str {
    text.split_once(start).unwrap().1.split_once(end).unwrap().0
}

#[tokio::test]
async fn faults_and_the_call_log_cover_s3() {
    let test = TestStack::start().await;
    let signer = Signer::probe();
    let fault = |action: Value| json!([{ "match": { "service": "s3", "operation": "PutObject", "function": "probe" }, "times": 1, "do": action }]);
    let path = "/allowed/1";
    test.aws_control("PUT", "faults", &fault(json!({ "error": "SlowDown", "status": 503 }))).await;
    assert_eq!(test.s3(&signer, "PUT", path, &[], PICTURE).await.error(), (503, "SlowDown".to_owned()));
    assert_eq!(test.s3(&Signer::administrator(), "GET", path, &[], b"").await.status, 404);

    test.aws_control("PUT", "faults", &fault(json!({ "applyThenDrop": true }))).await;
    let signed = signer.presign("PUT", &test.s3_url(path), &[], 900);
    let dropped = test.client.put(&signed).body(PICTURE).send().await;
    assert!(dropped.is_err());
    assert_eq!(test.s3(&signer, "GET", path, &[], b"").await.body, PICTURE);

    let log = test.aws_control("GET", "calls", &Value::Null).await.json();
    let calls = log["calls"].as_array().unwrap().iter().filter(|call| call["service"] == "s3");
    let calls: Vec<Value> = calls
        .map(|call| {
            json!([
                call["operation"],
                call["function"],
                call["key"],
                call["status"],
                call["error"],
                call["presigned"]
            ])
        })
        .collect();
    assert_eq!(
        calls,
        [
            json!(["PutObject", "probe", "allowed/1", 503, "SlowDown", false]),
            json!(["GetObject", null, "allowed/1", 404, "NoSuchKey", false]),
            json!(["PutObject", "probe", "allowed/1", 0, null, true]),
            json!(["GetObject", "probe", "allowed/1", 200, null, false]),
        ]
    );
}

#[tokio::test]
async fn objects_survive_a_restart_and_expire_by_the_stacks_clock() {
    let folder = tempfile::tempdir().unwrap();
    let start = || {
        let data = DataLocation::Folder(folder.path().join("data"));
        TestStack::with(StackOptions { data, ..options() })
    };
    let signer = Signer::administrator();
    let test = start().await;
    for path in ["/short/1", "/long/1"] {
        assert_eq!(
            test.s3(&signer, "PUT", path, &[("content-type", "image/gif")], PICTURE).await.status,
            200
        );
    }
    test.stack.stop().await.unwrap();

    let test = start().await;
    let kept = test.s3(&signer, "GET", "/short/1", &[], b"").await;
    assert_eq!((kept.body.as_slice(), kept.header("content-type")), (PICTURE, "image/gif"));
    test.post("/_local/clock", &json!({ "advanceSeconds": 12 * 3600 })).await;
    assert_eq!(test.s3(&signer, "GET", "/short/1", &[], b"").await.status, 200);
    test.post("/_local/clock", &json!({ "advanceSeconds": 36 * 3600 })).await;
    assert_eq!(test.s3(&signer, "GET", "/short/1", &[], b"").await.status, 404);
    assert_eq!(test.s3(&signer, "GET", "/long/1", &[], b"").await.status, 200);
    let files = std::fs::read_dir(folder.path().join("data/s3")).unwrap().count();
    assert_eq!(files, 1, "an expired object's bytes are gone");
}

/// The operations as another client calls them: with checksums, chunks and its own signatures.
const BOTO3: &str = r#"
import boto3, sys, urllib.request, urllib.error
from botocore.config import Config
from botocore.exceptions import ClientError
url, bucket = sys.argv[1:]
s3 = boto3.client("s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="watch",
    aws_secret_access_key="local", config=Config(s3={"addressing_style": "path"}, signature_version="s3v4"))
data = bytes(range(256)) * 1000
s3.put_object(Bucket=bucket, Key="ä b+c/1", Body=data, ContentType="image/png", Metadata={"k": "v"})
found = s3.get_object(Bucket=bucket, Key="ä b+c/1")
assert found["Body"].read() == data and found["ContentType"] == "image/png" and found["Metadata"] == {"k": "v"}
for algorithm in ["CRC32", "SHA1", "SHA256"]:
    s3.put_object(Bucket=bucket, Key="sum", Body=data, ChecksumAlgorithm=algorithm)
s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "ä b+c/1"})
assert s3.head_object(Bucket=bucket, Key="copy")["ContentLength"] == len(data)
assert s3.get_object(Bucket=bucket, Key="copy", Range="bytes=-3")["Body"].read() == data[-3:]
pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, PaginationConfig={"PageSize": 2})
assert [o["Key"] for page in pages for o in page["Contents"]] == ["copy", "sum", "ä b+c/1"]
try:
    s3.put_object(Bucket=bucket, Key="copy", Body=b"x", IfNoneMatch="*")
    sys.exit("replaced")
except ClientError as error:
    assert error.response["Error"]["Code"] == "PreconditionFailed", error
signed = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "ä b+c/1",
    "ResponseContentDisposition": "attachment"}, ExpiresIn=60)
with urllib.request.urlopen(signed) as response:
    assert response.read() == data and response.headers["Content-Disposition"] == "attachment"
try:
    urllib.request.urlopen(signed.replace("X-Amz-Signature=", "X-Amz-Signature=0"))
    sys.exit("a wrong signature was accepted")
except urllib.error.HTTPError as error:
    assert error.code in (400, 403), error
s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "copy"}, {"Key": "sum"}]})
s3.delete_object(Bucket=bucket, Key="ä b+c/1")
assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
try:
    s3.get_object(Bucket="another-bucket", Key="a")
    sys.exit("there is no such bucket")
except ClientError as error:
    assert error.response["Error"]["Code"] == "NoSuchBucket", error
"#;

#[tokio::test]
async fn boto3_works_with_the_stacks_credentials() {
    let has_boto3 = Command::new("python3").args(["-c", "import boto3"]).output().await;
    if !has_boto3.is_ok_and(|output| output.status.success()) {
        return tools::skip("boto3", "pip install boto3");
    }
    let test = TestStack::start().await;
    let mut python = Command::new("python3");
    python.args(["-c", BOTO3, test.stack.info().aws(), BUCKET]).env("NO_PROXY", "127.0.0.1");
    let output = python.output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
