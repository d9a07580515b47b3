//! `verify`: checks the signature of a webhook.

use std::io::Read;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::json;

use super::Context;
use crate::args::VerifyArguments;
use crate::environment;
use crate::error::{CliError, CliResult, Exit};
use crate::signature;

pub fn run(context: &Context, arguments: &VerifyArguments) -> CliResult<()> {
    let secret = secret(context, arguments)?;
    let webhook = signature::webhook(&secret)?;
    let input = read(arguments)?;
    let (headers, body) = match (&arguments.id, &arguments.timestamp, &arguments.signature) {
        (Some(id), Some(timestamp), Some(signature)) => {
            let named =
                [(signature::ID, id), (signature::TIMESTAMP, timestamp), (signature::SIGNATURE, signature)];
            let mut headers = HeaderMap::new();
            for (name, value) in named {
                let value = HeaderValue::from_str(value)
                    .map_err(|_| CliError::usage(format!("{name} is not a header")))?;
                headers.insert(HeaderName::from_static(name), value);
            }
            (headers, input)
        }
        _ => parse(&input)?,
    };
    let checked = signature::verify(&webhook, &headers, &body, arguments.ignore_age);
    if context.output.json {
        context.output.json(&json!({ "valid": checked.is_ok(), "reason": checked.as_ref().err() }));
    } else if checked.is_ok() {
        context.output.line("The signature is valid");
    }
    checked.map_err(|reason| {
        CliError::new(Exit::Findings, format!("the signature is not valid: {reason}"))
            .advice("Compare the secret with that of the app, and use the body exactly as it was received.")
    })
}

fn secret(context: &Context, arguments: &VerifyArguments) -> CliResult<String> {
    let named = arguments.secret.clone().or_else(|| environment::variable("RINGBRIDGE_WEBHOOK_SECRET"));
    let stored = || context.target().ok().and_then(|target| target.webhook_secret);
    named.or_else(stored).ok_or_else(|| {
        CliError::usage("the webhook secret is missing")
            .advice("Name it with --secret, or set RINGBRIDGE_WEBHOOK_SECRET.")
    })
}

fn read(arguments: &VerifyArguments) -> CliResult<Vec<u8>> {
    let Some(file) = arguments.file.as_ref().filter(|file| file.as_os_str() != "-") else {
        let mut input = Vec::new();
        let read = std::io::stdin().read_to_end(&mut input);
        read.map_err(|error| CliError::usage(format!("stdin cannot be read: {error}")))?;
        return Ok(input);
    };
    std::fs::read(file).map_err(|error| CliError::file(file, &error))
}

/// Splits a request into headers and body, at the first empty line.
fn parse(input: &[u8]) -> CliResult<(HeaderMap, Vec<u8>)> {
    let find =
        |end: &[u8]| input.windows(end.len()).position(|window| window == end).map(|at| (at, at + end.len()));
    let ends = [find(b"\r\n\r\n"), find(b"\n\n")];
    let (end, body) = ends.into_iter().flatten().min().ok_or_else(|| {
        CliError::usage("there is no empty line between headers and body")
            .advice("For a body alone, use --id, --timestamp and --signature.")
    })?;
    let mut headers = HeaderMap::new();
    // The first line may be that of the request.
    for line in String::from_utf8_lossy(&input[..end]).lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        let (name, value) = (name.trim().parse::<HeaderName>(), HeaderValue::from_str(value.trim()));
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.insert(name, value);
        }
    }
    Ok((headers, input[body..].to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_split_at_the_first_empty_line() {
        for text in ["POST /hooks HTTP/1.1\r\nWebhook-Id: a\r\n\r\n{\n\n}", "webhook-id: a\n\n{\n\n}"] {
            let (headers, body) = parse(text.as_bytes()).unwrap();
            assert_eq!(
                (headers["webhook-id"].to_str().unwrap(), body.as_slice()),
                ("a", b"{\n\n}".as_slice())
            );
        }
        assert!(parse(b"{}").is_err());
    }
}
