//! `ringbridge bulk send`: each row is sent once, however often the program, the network or a response is lost.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::cli::connected;
use crate::cli_program::{CliFolder, Running};
use crate::tcp_proxy::{Network, TcpProxy};
use crate::world::{HOUR, World};

const FROM: &str = "+14155550100";
const UNAVAILABLE: &str =
    "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
const TOO_MANY: &str = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";

/// The messages of the tenant, by recipient and text.
async fn messages(world: &World) -> BTreeMap<(String, String), usize> {
    let mut found = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/v1/sms/messages?direction=outbound&limit=100{cursor}");
        let page = world.get(&path, &world.tenant().key).await.expect(200).json();
        for message in page["messages"].as_array().unwrap() {
            let text = |name: &str| message[name].as_str().unwrap().to_owned();
            *found.entry((text("to"), text("body"))).or_default() += 1;
        }
        let Some(next) = page["nextCursor"].as_str() else { return found };
        cursor = format!("&cursor={next}");
    }
}

fn row(at: usize) -> String {
    format!("+1650555{:04},Guest {at}\n", at % 100 + 100)
}

fn csv(rows: impl Iterator<Item = usize>) -> String {
    rows.fold("to,name\n".to_owned(), |mut csv, at| {
        csv.write_str(&row(at)).unwrap();
        csv
    })
}

fn through(proxy: &TcpProxy, world: &World) -> CliFolder {
    CliFolder::empty().with("RINGBRIDGE_URL", proxy.url()).with("RINGBRIDGE_KEY", &world.tenant().key)
}

const BULK: [&str; 10] =
    ["bulk", "send", "list.csv", "--campaign", "spring", "--body", "Hi {{name}}", "--from", "all", "--yes"];

/// Waits until the journal has at least this number of lines with this state.
async fn until_journaled(cli: &CliFolder, running: &mut Running, state: &str, count: usize) {
    let state = format!("\"state\":\"{state}\"");
    let journal = cli.path("list.csv.journal");
    let journaled = || std::fs::read_to_string(&journal).unwrap_or_default().matches(&state).count();
    running.until(|_, _| journaled() >= count).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_row_is_sent_once_although_the_program_is_killed_and_responses_are_lost() {
    let (world, _) = connected().await;
    let proxy = TcpProxy::to(world.gateway()).await;
    let cli = through(&proxy, &world);
    // The last row is the same message to the same recipient as the first one: it is sent too.
    cli.write("list.csv", &format!("{}{}", csv(0..150), row(0)));
    let mut running = cli.start(&BULK);
    until_journaled(&cli, &mut running, "accepted", 40).await;
    let before = proxy.failures();
    proxy.set(Network::LosesResponses);
    running.until(|_, _| proxy.failures() >= before + 4).await;
    running.kill().await;
    assert!(messages(&world).await.len() < 150, "the program was killed on the way");

    // Rows are inserted and moved, and the network is bad.
    cli.write(
        "list.csv",
        &format!("{}{}{}", csv(150..160), csv((0..150).rev()).replace("to,name\n", ""), row(0)),
    );
    proxy.set(Network::Responds(UNAVAILABLE));
    let mut running = cli.start(&[&BULK[..], &["--concurrency", "8"]].concat());
    let before = proxy.failures();
    running.until(|_, _| proxy.failures() > before).await;
    proxy.set(Network::Responds(TOO_MANY));
    let before = proxy.failures();
    running.until(|_, _| proxy.failures() > before).await;
    proxy.set(Network::Works);
    let done = running.end().await.expect(0);
    assert!(done.out.contains("161 accepted, 0 rejected, 0 invalid, 0 left"), "{done:?}");

    let mut expected: BTreeMap<(String, String), usize> = BTreeMap::new();
    for at in (0..160).chain([0]) {
        let line = row(at);
        let (to, name) = line.trim().split_once(',').unwrap();
        *expected.entry((to.to_owned(), format!("Hi {name}"))).or_default() += 1;
    }
    assert_eq!(messages(&world).await, expected);
    let again = cli.run(&[&BULK[..], &["--json"]].concat()).await.expect(0).json();
    assert_eq!((&again["accepted"], &again["left"]), (&json!(161), &json!(0)));
    assert_eq!(messages(&world).await, expected, "a run of a finished campaign sends nothing");
    let results = cli.read("list.csv.spring.results.csv");
    assert_eq!(results.lines().count(), 162);
    assert!(results.lines().skip(1).all(|line| line.contains(",accepted,msg_")), "{results}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_key_was_forgotten_is_looked_up_before_it_is_repeated() {
    let (world, _) = connected().await;
    let proxy = TcpProxy::to(world.gateway()).await;
    let cli = through(&proxy, &world);
    cli.write("list.csv", &csv(0..3));
    // Three requests are processed, and their responses are lost.
    let mut running = cli.start(&[&BULK[..], &["--dry-run"]].concat());
    running.until(|_, err| err.contains("3 to send")).await;
    running.end().await.expect(0);
    let mut running = cli.start(&[&BULK[..], &["--rate", "300", "--concurrency", "8"]].concat());
    // The first request is the one that the plan needs.
    until_journaled(&cli, &mut running, "sending", 1).await;
    proxy.set(Network::LosesResponses);
    while messages(&world).await.len() < 3 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    running.kill().await;
    // One more, which never arrived.
    cli.write("list.csv", &csv(0..4));
    proxy.set(Network::Works);
    let mut running = cli.start(&[&BULK[..], &["--concurrency", "1", "--rate", "1"]].concat());
    let cut = async {
        proxy.set(Network::Works);
        running.until(|_, err| err.contains("4 rows")).await;
        proxy.set(Network::Cut);
        until_journaled(&cli, &mut running, "sending", 4).await;
        running.kill().await;
    };
    cut.await;
    proxy.set(Network::Works);
    let journal = cli.read("list.csv.journal");
    let unknown = journal.lines().filter(|line| line.contains("\"sending\"")).count()
        - journal.lines().filter(|line| line.contains("\"accepted\"")).count();
    assert!(unknown >= 1, "{journal}");

    world.advance(25 * HOUR).await;
    let offset = (25 * HOUR).to_string();
    let later = cli.with("RINGBRIDGE_CLOCK_OFFSET_SECONDS", &offset);
    let done = later.run(&BULK).await.expect(0);
    assert!(done.out.contains("4 accepted"), "{done:?}");
    let sent = messages(&world).await;
    assert!(sent.len() == 4 && sent.values().all(|count| *count == 1), "{sent:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_shows_its_pace_stops_goes_on_and_reports_what_was_rejected() {
    let (world, cli) = connected().await;
    cli.write(
        "list.csv",
        "To,Name,From\n+16505550111,Ann,\n101,Bob,\n+16505550112,Cleo,+14155550101\n+16505550113,Dan,\n",
    );
    let refused = cli.run(&BULK).await.expect(2);
    assert!(refused.err.contains("line 3") && refused.err.contains("--skip-invalid"), "{refused:?}");
    let bulk = [&BULK[..], &["--skip-invalid"]].concat();
    let plan =
        cli.run(&[&bulk[..], &["--dry-run", "--rate", "30", "--json"]].concat()).await.expect(0).json();
    assert_eq!(
        (&plan["toSend"], &plan["acceptedInSeconds"], &plan["invalid"]),
        (&json!(3), &json!(6), &json!(1))
    );
    assert!(messages(&world).await.is_empty(), "a dry run sends nothing");
    let unasked = bulk.iter().copied().filter(|argument| *argument != "--yes").collect::<Vec<_>>();
    let asked = cli.run(&unasked).await.expect(2);
    assert!(asked.err.contains("Send 3 messages?"), "{asked:?}");

    // Ctrl-C after the first of three, which are two seconds apart.
    let mut running = cli.start(&[&bulk[..], &["--rate", "30"]].concat());
    until_journaled(&cli, &mut running, "accepted", 1).await;
    let stopped = running.interrupt().await.expect(130);
    assert!(stopped.err.contains("Run the same command again"), "{stopped:?}");
    assert_eq!(messages(&world).await.len(), 1);
    assert_eq!(cli.read("list.csv.spring.results.csv").matches("not_sent").count(), 2);

    // Dan has opted out in the meantime.
    let answer = async |text: &str| {
        for number in [FROM, "+14155550101"] {
            let message = json!({ "from": "+16505550113", "to": number, "text": text });
            world.sim(Method::POST, "/_sim/inbound", Some(message)).await;
        }
        world.idle().await;
    };
    answer("STOP").await;
    let rest = cli.run(&[&bulk[..], &["--json"]].concat()).await.expect(8).json();
    assert_eq!((&rest["accepted"], &rest["rejected"], &rest["left"]), (&json!(2), &json!(1), &json!(0)));
    let results = cli.read("list.csv.spring.results.csv");
    assert!(results.contains("rejected,,,recipient_opted_out"), "{results}");
    assert!(results.contains("3,101,,invalid"), "{results}");
    assert!(results.contains("4,+16505550112,+14155550101,accepted"), "the column from is used: {results}");
    answer("START").await;
    cli.run(&bulk).await.expect(8);
    assert_eq!(messages(&world).await.len(), 2, "what was rejected is not sent again");
    let retried = cli.run(&[&bulk[..], &["--retry-rejected", "--json"]].concat()).await.expect(8).json();
    assert_eq!((&retried["accepted"], &retried["invalid"]), (&json!(3), &json!(1)));

    // The same campaign with another text asks for a second look.
    let changed = [&bulk[..6], &["Hello {{name}}"], &bulk[7..], &["--dry-run"]].concat();
    let warned = cli.run(&changed).await.expect(0);
    assert!(warned.err.contains("already got another text"), "{warned:?}");
    let unknown = [&bulk[..7], &["--from", "+14155550199", "--yes", "--skip-invalid"]].concat();
    cli.run(&unknown).await.expect(2);
}
