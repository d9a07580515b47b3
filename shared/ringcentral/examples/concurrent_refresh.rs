//! Refreshes from two tasks at once. RingCentral lets only one of two simultaneous refreshes succeed; the session makes one
//! call, and both tasks get its tokens.

#![expect(clippy::print_stdout, reason = "an example prints its results")]

mod common;

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::text;
use ringbridge_ringcentral::{AppCredentials, Client, Session};
use tokio::task::JoinSet;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let (server, seed) = common::simulator().await?;
    let app = AppCredentials::confidential(text(&seed, "/clientId"), text(&seed, "/clientSecret"));
    let issued = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&issued);
    let session = Session::builder(Client::builder(server, app).build()?)
        .jwt(text(&seed, "/users/3/jwt"))
        .on_new_tokens(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
        })
        .build();
    let before = session.tokens().await?;

    let mut tasks = JoinSet::new();
    for _ in 0..2 {
        let session = session.clone();
        tasks.spawn(async move { session.refresh().await });
    }
    let tokens = tasks.join_all().await.into_iter().collect::<Result<Vec<_>, _>>()?;

    assert_ne!(tokens[0].access_token, before.access_token);
    assert_eq!(tokens[0].access_token, tokens[1].access_token);
    println!("both tasks have the same new token");
    println!("{} pairs were issued: one sign-in, one refresh", issued.load(Ordering::Relaxed));
    Ok(())
}
