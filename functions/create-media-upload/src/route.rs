//! The facts of this route.

use shared::http::route::Route;
use shared::media::UploadRequest;
use shared::model::app::Scope;
use shared::views::media::UploadView;

pub const ROUTE: Route = Route::new("POST /v1/media", "Create an upload")
    .description(
        "Returns a URL for a file that has no public URL. Send the file there with PUT and exactly the headers of `uploadHeaders`, \
         once, within 15 minutes. Then send messages with its `mediaId`, for 24 hours.",
    )
    .key_with(&[Scope::SmsSend])
    .request::<UploadRequest>(r#"{ "contentType": "image/png", "fileName": "menu.png", "size": 48213 }"#)
    .response::<UploadView>(
        201,
        "The upload.",
        r#"{
          "expiresAt": "2026-11-21T23:40:21.488Z", "mediaExpiresAt": "2026-11-22T23:25:21.488Z",
          "mediaId": "media_0199c2f4d7b81c3e5a6f7089b1c200",
          "uploadHeaders": { "content-length": "48213", "content-type": "image/png", "if-none-match": "*" },
          "uploadUrl": "https://example-media.s3.us-east-1.amazonaws.com/uploads/tenant_5f2b8c1d9e3a7046/media_0199c2f4d7b81c3e5a6f7089b1c200?X-Amz-Expires=900"
        }"#,
    )
    .errors(&["missing_field", "invalid_field", "media_type_unsupported", "media_too_large"]);
