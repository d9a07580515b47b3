//! A function that reads one item of the tenants table with the AWS SDK. The client is built while the process starts.

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::config::BehaviorVersion;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_dynamodb::{Client, Config};
use aws_types::region::Region;
use lambda_http::{Body, Error, Request, Response, run, service_fn};

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::disallowed_methods, reason = "Lambda sets these variables")]
async fn main() -> Result<(), Error> {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let (key, secret) = (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY"));
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(variable("AWS_REGION")))
        .endpoint_url(variable("AWS_ENDPOINT_URL"))
        .credentials_provider(Credentials::new(key, secret, None, None, "environment"))
        .build();
    let (db, table) = (Client::from_conf(config), variable("TENANTS_TABLE"));
    run(service_fn(|_: Request| read(&db, &table))).await
}

async fn read(db: &Client, table: &str) -> Result<Response<Body>, Error> {
    let read = db
        .get_item()
        .table_name(table)
        .key("tenant", AttributeValue::S("reference".to_owned()))
        .key("item", AttributeValue::S("reference".to_owned()))
        .consistent_read(true)
        .send()
        .await?;
    let body = if read.item.is_some() { r#"{"found":true}"# } else { r#"{"found":false}"# };
    Ok(Response::new(Body::from(body)))
}
